"""Brokers, partitions and everything else that one pass can observe.

All of it is immutable and compares by value. What could not be read is `Unknown`, never empty:
a step that destroys something may only act on facts that a successful read has proved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BrokerId: TypeAlias = int
Replicas: TypeAlias = "tuple[BrokerId, ...]"
"""Brokers that hold a partition; the first one is the preferred leader."""
Assignment: TypeAlias = "Mapping[str, Mapping[int, Replicas]]"
"""Topic -> partition -> replicas."""
Sizes: TypeAlias = "Mapping[str, Mapping[int, int]]"
"""Topic -> partition -> bytes of its largest replica."""

T = TypeVar("T")


class TopicPartition(NamedTuple):
    """One partition of one topic; sorts by topic, then number."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """What a failed read leaves behind. `reason` is a sentence for people."""

    reason: str

    def __bool__(self) -> bool:
        """Refuse to be mistaken for something empty."""
        raise TypeError("Unknown is neither true nor empty; test with isinstance")


@dataclass(frozen=True, slots=True)
class SpoiltRequest(Unknown):
    """`/admin/reassign_partitions` with something in it that no controller can carry out.

    Attributes:
        names: Partitions that the controller reads in it all the same; a reassignment of each of
            these through the Admin API takes it out. Without any, that of any partition clears it.
        fatal: It makes the controller stumble whenever it looks: no reassignment through the Admin
            API gets an answer, and no other broker can become controller.
    """

    names: tuple[TopicPartition, ...] = ()
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class SpoiltTopic(Unknown):
    """`/brokers/topics/T` with something in it that Kafka does not write.

    Attributes:
        present: Spoilt partition -> its replicas, as far as it still tells.
    """

    present: Mapping[int, Replicas] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker as the planner sees it.

    Attributes:
        id: Kafka's `broker.id`.
        rack: `broker.rack`, None where not set.
        live: Registered under `/brokers/ids`.
        weight: Capacity relative to the others; the ideal load is proportional to it.
    """

    id: BrokerId
    rack: str | None = None
    live: bool = True
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One entry of `/brokers/topics/T` (KIP-455: `partitions` is not the target during a move).

    Attributes:
        replicas: RS, all replicas including those being added and removed.
        adding: AR, being filled.
        removing: RR, dropped when the move completes.
    """

    replicas: Replicas
    adding: Replicas = ()
    removing: Replicas = ()

    @property
    def target(self) -> Replicas:
        """Where the controller is taking this partition: RS minus RR."""
        if not self.removing:
            return self.replicas
        return tuple(b for b in self.replicas if b not in self.removing)

    @property
    def origin(self) -> Replicas:
        """The set it came from: RS minus AR. Its order may differ from the true origin's."""
        if not self.adding:
            return self.replicas
        return tuple(b for b in self.replicas if b not in self.adding)

    @property
    def in_flight(self) -> bool:
        """Whether the controller is still working on it."""
        return bool(self.adding or self.removing)


@dataclass(frozen=True, slots=True)
class RegisteredBroker:
    """An entry of `/brokers/ids`.

    Attributes:
        hosts: Host names of its endpoints, as advertised.
    """

    id: BrokerId
    rack: str | None
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Ensemble:
    """What ZooKeeper says, read in one pass. No slots: what it has counted, it keeps.

    Attributes:
        cluster_id: `/cluster/id`, None before the first broker has made it.
        brokers: `/brokers/ids`.
        controller: Broker id of the active controller, None while there is none.
        migrating: `/migration` exists: a KRaft migration owns the metadata.
        topics: `/brokers/topics/*`, those that can be read.
        requested: Content of `/admin/reassign_partitions`, None if the node is absent.
        unreadable: The other topics, and why: they exist, and where their replicas are is Unknown.
    """

    cluster_id: str | None
    brokers: Mapping[BrokerId, RegisteredBroker]
    controller: BrokerId | None
    migrating: bool
    topics: Mapping[str, Mapping[int, PartitionState]]
    requested: Assignment | SpoiltRequest | None
    unreadable: Mapping[str, SpoiltTopic] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Topics that exist, readable or not."""
        return frozenset(self.topics).union(self.unreadable)

    def partitions(self) -> Iterator[tuple[TopicPartition, PartitionState]]:
        """Every partition of a readable topic with its state, in no particular order."""
        for topic, partitions in self.topics.items():
            for number, state in partitions.items():
                yield TopicPartition(topic, number), state

    @cached_property
    def replicas(self) -> Mapping[BrokerId, int]:
        """Replicas per broker in any list of any partition; requested ones count too.

        The least that there are, while a topic is unreadable.
        """
        counts: dict[BrokerId, int] = {}
        for _, state in self.partitions():
            for broker in {*state.replicas, *state.adding, *state.removing}:
                counts[broker] = counts.get(broker, 0) + 1
        if self.requested is not None and not isinstance(self.requested, Unknown):
            for partitions in self.requested.values():
                for replicas in partitions.values():
                    for broker in replicas:
                        counts[broker] = counts.get(broker, 0) + 1
        return counts

    @cached_property
    def in_flight(self) -> bool:
        """Whether any partition is being moved, or anything is requested, readable or not."""
        return self.requested is not None or any(s.in_flight for _, s in self.partitions())

    @property
    def assignment(self) -> dict[str, dict[int, Replicas]]:
        """Where every partition is, or is being taken: each one's target."""
        return {
            topic: {number: state.target for number, state in partitions.items()}
            for topic, partitions in self.topics.items()
        }


@dataclass(frozen=True, slots=True)
class Leadership:
    """Leader (None: offline) and in-sync replicas of one partition, from Kafka's Metadata."""

    leader: BrokerId | None
    isr: frozenset[BrokerId]


@dataclass(frozen=True, slots=True)
class BrokerLogs:
    """What one broker has on its disks (DescribeLogDirs).

    Attributes:
        sizes: Topic -> partition -> bytes, future replicas left out.
        failed: A log dir answered with an error, so `sizes` is not the whole truth.
        usable: Bytes left on their file systems, None if the broker does not tell.
        total: Bytes of these file systems, full or not; None if the broker does not tell (KIP-827
            came with Kafka 3.3).
    """

    sizes: Sizes
    failed: bool = False
    usable: int | None = None
    total: int | None = None

    @property
    def partitions(self) -> int:
        """Number of replicas on disk."""
        return sum(len(partitions) for partitions in self.sizes.values())

    @property
    def bytes(self) -> int:
        """Bytes of all replicas on disk."""
        return sum(size for partitions in self.sizes.values() for size in partitions.values())


@dataclass(frozen=True, slots=True)
class KafkaView:
    """What the brokers themselves say.

    Attributes:
        leadership: Topic -> partition -> leader and ISR.
        logs: Per broker asked; Unknown for one that did not answer.
    """

    leadership: Mapping[str, Mapping[int, Leadership]]
    logs: Mapping[BrokerId, BrokerLogs | Unknown]


@dataclass(frozen=True, slots=True)
class Throttle:
    """A replication throttle (KIP-73).

    Attributes:
        rate: Bytes per second and broker, leader and follower side alike.
        brokers: Brokers whose rate is set.
        leader_only, follower_only: Further brokers of which one side alone is ours: the other has
            somebody else's rate.
        leader_replicas: Topic -> value of `leader.replication.throttled.replicas`.
        follower_replicas: Topic -> value of `follower.replication.throttled.replicas`.
    """

    rate: int
    brokers: tuple[BrokerId, ...]
    leader_replicas: Mapping[str, str] = field(default_factory=dict)
    follower_replicas: Mapping[str, str] = field(default_factory=dict)
    leader_only: tuple[BrokerId, ...] = ()
    follower_only: tuple[BrokerId, ...] = ()

    @property
    def rate_keys(self) -> dict[BrokerId, tuple[str, ...]]:
        """Which configs of each broker carry the rate."""
        return {
            **dict.fromkeys(self.brokers, (LEADER_RATE, FOLLOWER_RATE)),
            **dict.fromkeys(self.leader_only, (LEADER_RATE,)),
            **dict.fromkeys(self.follower_only, (FOLLOWER_RATE,)),
        }


LEADER_RATE = "leader.replication.throttled.rate"
FOLLOWER_RATE = "follower.replication.throttled.rate"
LEADER_REPLICAS = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS = "follower.replication.throttled.replicas"
MIN_INSYNC = "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class ThrottleConfigs:
    """Throttle settings found on live brokers and topics, whoever made them.

    Each maps a config key to its value; brokers and topics without any are absent.
    """

    brokers: Mapping[BrokerId, Mapping[str, str]]
    topics: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class BrokerSet:
    """One StatefulSet of brokers as it is in Kubernetes: the brokers of one rack.

    Attributes:
        name: The StatefulSet's name.
        rack: The rack it serves, None for a cluster without racks.
        start: `spec.ordinals.start`: the first broker id.
        replicas: `spec.replicas`: how many ids exist.
        revision: `status.updateRevision`: what new pods are made from; empty while the controller
            has not seen the present spec.
    """

    name: str
    rack: str | None
    start: int
    replicas: int
    revision: str = ""

    @property
    def ids(self) -> range:
        """Broker ids this StatefulSet keeps pods for."""
        return range(self.start, self.start + self.replicas)


@dataclass(frozen=True, slots=True)
class Pod:
    """A broker's pod.

    Attributes:
        ready: Its Ready condition is True and it is not being deleted.
        problem: Why it does not start, in the kubelet's or scheduler's words; empty if it is well.
        revision: Of the StatefulSet's template that it was made from; empty if unknown.
        uid: Of the object.
    """

    name: str
    broker: BrokerId
    ready: bool
    problem: str = ""
    revision: str = ""
    uid: str = ""


KubeObject: TypeAlias = "dict[str, Any]"
"""A Kubernetes object as JSON."""
