"""A Kafka cluster in memory: one controller, seen through both of the operator's Kafka ports.

`tests/contract/kafka_contract.py` holds it to what live brokers do. Moves finish when `complete`
is called, or by themselves after `complete_after` reads; a test decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.adapters import znodes
from broker_operator.core.model import (
    FOLLOWER_REPLICAS,
    LEADER_REPLICAS,
    MIN_INSYNC,
    BrokerLogs,
    Ensemble,
    Leadership,
    SpoiltRequest,
    ThrottleConfigs,
    Unknown,
)
from broker_operator.ports import ReassignmentInProgressError, RejectedError, TransientError
from tests.fakes.controller import FakeController, FakePartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker_operator.core.model import (
        Assignment,
        BrokerId,
        PartitionState,
        Replicas,
        Throttle,
        TopicPartition,
    )

__all__ = ["FakeBrokerAdmin", "FakeClients", "FakeCoordination", "FakeKafka", "FakePartition"]


@dataclass
class FakeKafka(FakeController):
    """A cluster with its two ports: `coordination` and `admin`."""

    def __post_init__(self) -> None:
        self.coordination = FakeCoordination(self)
        self.admin = FakeBrokerAdmin(self)


class FakeCoordination:
    """`ports.Coordination` of a fake cluster."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.closed = False

    async def read(self) -> Ensemble:
        """See the port."""
        self._reach()
        kafka = self._kafka
        kafka.count_read()
        return Ensemble(
            cluster_id=kafka.cluster_id,
            brokers=dict(kafka.brokers),
            controller=kafka.controller,
            migrating=kafka.migrating,
            topics={
                topic: {number: partition.state for number, partition in partitions.items()}
                for topic, partitions in kafka.topics.items()
                if topic not in kafka.unreadable
            },
            requested=_requested(kafka.request),
            unreadable=dict(kafka.unreadable),
        )

    async def submit(
        self,
        batch: Assignment,
        seen: Mapping[str, Mapping[int, PartitionState]] | None = None,
    ) -> None:
        """See the port."""
        znodes.encode_reassignment(batch)
        self._reach()
        kafka = self._kafka
        states = {
            topic: {number: partition.state for number, partition in partitions.items()}
            for topic, partitions in kafka.topics.items()
        }
        if problems := list(znodes.world_problems(batch, kafka.brokers, states, seen)):
            raise ValueError("; ".join(problems))
        if kafka.migrating:
            raise TransientError("/migration exists")
        kafka.writes.append("create /admin/reassign_partitions")
        if kafka.request is not None:
            raise ReassignmentInProgressError("/admin/reassign_partitions exists")
        kafka.ask_for(batch)

    async def close(self) -> None:
        """See the port."""
        self.closed = True

    def _reach(self) -> None:
        if self.closed:
            raise TransientError("the client is closed")
        if self._kafka.ensemble_down:
            raise TransientError("ZooKeeper is not connected")


class FakeBrokerAdmin:
    """`ports.BrokerAdmin` of a fake cluster. `bootstrap` is what it was last told to ask."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.bootstrap: tuple[str, ...] = ()
        self.closed = False

    async def leadership(self) -> dict[str, dict[int, Leadership]]:
        """See the port."""
        self._reach()
        return {
            topic: {
                number: Leadership(partition.leader, frozenset(partition.isr))
                for number, partition in partitions.items()
            }
            for topic, partitions in self._kafka.topics.items()
            if topic not in self._kafka.deleting
        }

    async def log_dirs(self, brokers: Iterable[BrokerId]) -> dict[BrokerId, BrokerLogs | Unknown]:
        """See the port."""
        self._reach()
        return {broker: self._logs(broker) for broker in brokers}

    async def reassign(self, batch: Assignment) -> None:
        """See the port."""
        if problems := list(znodes.shape_problems(batch)):
            raise RejectedError("; ".join(problems))
        self._reach()
        self._kafka.writes.append("AlterPartitionReassignments")
        refused = []
        for topic, partitions in batch.items():
            for number, target in partitions.items():
                problem, dead = self._refusal(topic, number, target)
                if problem:
                    refused.append(problem)
                if not dead:
                    self._kafka.move({topic: {number: target}})
        if refused:
            raise RejectedError("; ".join(refused))

    async def elect_preferred(self, partitions: Iterable[TopicPartition]) -> None:
        """See the port."""
        wanted = list(partitions)
        if not wanted:
            return
        self._reach()
        self._kafka.writes.append("ElectLeaders")
        unknown, unable = [], []
        for topic, number in wanted:
            partition = self._kafka.topics.get(topic, {}).get(number)
            if partition is None:
                unknown.append(f"{topic}-{number}: no such partition")
            elif (preferred := partition.state.replicas[0]) in partition.isr:
                partition.leader = preferred
            else:
                unable.append(f"{topic}-{number}: {preferred} is not in sync")
        if unknown:
            raise RejectedError("; ".join(unknown + unable))
        if unable:
            raise TransientError("; ".join(unable))

    async def throttles(
        self, brokers: Iterable[BrokerId], topics: Iterable[str]
    ) -> ThrottleConfigs:
        """See the port."""
        self._reach()
        asked = list(brokers)
        if mute := [broker for broker in asked if not self._answers(broker)]:
            raise TransientError(f"brokers {mute} do not answer")
        of_brokers, of_topics = self._kafka.broker_configs, self._kafka.topic_configs
        lists = {topic: _only_lists(of_topics.get(topic, {})) for topic in topics}
        return ThrottleConfigs(
            brokers={each: dict(of_brokers[each]) for each in asked if of_brokers.get(each)},
            topics={topic: found for topic, found in lists.items() if found},
        )

    async def min_insync(self, topics: Iterable[str]) -> dict[str, int]:
        """See the port."""
        wanted = sorted(set(topics))
        if not wanted:
            return {}
        self._reach()
        kafka = self._kafka
        return {
            topic: int(kafka.topic_configs.get(topic, {}).get(MIN_INSYNC, kafka.min_insync))
            for topic in wanted
            if topic in kafka.topics and topic not in kafka.deleting
        }

    async def set_throttle(self, throttle: Throttle) -> None:
        """See the port."""
        self._reach()
        lists = _lists(throttle)
        if lists:
            self._kafka.writes.append("IncrementalAlterConfigs")
        for topic, values in lists.items():
            if topic in self._kafka.topics:
                self._kafka.topic_configs.setdefault(topic, {}).update(values)
        if unknown := sorted(set(lists) - set(self._kafka.topics)):
            raise TransientError(f"no such topics: {unknown}")
        keys, rate = throttle.rate_keys, str(throttle.rate)
        for broker in self._writable(keys):
            self._kafka.broker_configs.setdefault(broker, {}).update(
                dict.fromkeys(keys[broker], rate)
            )
        self._complain(keys)

    async def clear_throttle(self, throttle: Throttle) -> None:
        """See the port."""
        self._reach()
        keys = throttle.rate_keys
        for broker in self._writable(keys):
            for key in keys[broker]:
                self._kafka.broker_configs.get(broker, {}).pop(key, None)
        lists = _lists(throttle)
        if lists:
            self._kafka.writes.append("IncrementalAlterConfigs")
        for topic, values in lists.items():
            for key in values:
                self._kafka.topic_configs.get(topic, {}).pop(key, None)
        self._complain(keys)

    async def close(self) -> None:
        """See the port."""
        self.closed = True

    def _logs(self, broker: BrokerId) -> BrokerLogs | Unknown:
        if not self._answers(broker):
            return Unknown(f"broker {broker} does not answer")
        sizes: dict[str, dict[int, int]] = {}
        for topic, partitions in self._kafka.topics.items():
            for number, partition in partitions.items():
                if broker in partition.state.replicas:
                    share = self._kafka.filled if broker in partition.state.adding else 1
                    sizes.setdefault(topic, {})[number] = int(partition.size * share)
        for topic, left in self._kafka.strays.get(broker, {}).items():
            sizes[topic] = left | sizes.get(topic, {})
        return BrokerLogs(
            sizes, usable=self._kafka.usable.get(broker), total=self._kafka.total.get(broker)
        )

    def _refusal(self, topic: str, number: int, target: Replicas) -> tuple[str, list[BrokerId]]:
        """Say why a target is refused, and which of the brokers it adds are dead."""
        partition = self._kafka.topics.get(topic, {}).get(number)
        origin = partition.state.origin if partition else ()
        dead = [b for b in target if b not in origin and b not in self._kafka.brokers]
        if partition is None:
            return f"{topic}-{number}: no such partition", dead
        return (f"{topic}-{number}: not alive: {dead}" if dead else ""), dead

    def _writable(self, brokers: Iterable[BrokerId]) -> list[BrokerId]:
        asked = list(brokers)
        self._kafka.writes += ["IncrementalAlterConfigs"] * len(asked)
        return [broker for broker in asked if self._answers(broker)]

    def _complain(self, brokers: Iterable[BrokerId]) -> None:
        if mute := [broker for broker in brokers if not self._answers(broker)]:
            raise TransientError(f"brokers {mute} do not answer")

    def _answers(self, broker: BrokerId) -> bool:
        return broker in self._kafka.brokers and broker not in self._kafka.silent

    def _reach(self) -> None:
        if self.closed:
            raise TransientError("the client is closed")
        if not any(self._answers(broker) for broker in self._kafka.brokers):
            raise TransientError("no Kafka broker answers")


class FakeClients:
    """`ports.Clients` over fake clusters, one per connect string. Unknown ones do not answer."""

    def __init__(self, clusters: Mapping[str, FakeKafka]) -> None:
        self.clusters = dict(clusters)
        self.released: list[tuple[str, str]] = []

    def coordination(self, connect: str, namespace: str) -> FakeCoordination:  # noqa: ARG002
        """See the port. Every namespace means the same cluster."""
        return self._cluster(connect).coordination

    def admin(
        self,
        connect: str,
        namespace: str,  # noqa: ARG002
        bootstrap: tuple[str, ...],
    ) -> FakeBrokerAdmin:
        """See the port. Every namespace means the same cluster."""
        admin = self._cluster(connect).admin
        admin.bootstrap = bootstrap
        return admin

    async def release(self, connect: str, namespace: str) -> None:
        """See the port. The cluster itself lives on and may be connected to again."""
        self.released.append((connect, namespace))
        cluster = self._cluster(connect)
        await cluster.coordination.close()
        await cluster.admin.close()
        cluster.coordination = FakeCoordination(cluster)
        cluster.admin = FakeBrokerAdmin(cluster)

    def _cluster(self, connect: str) -> FakeKafka:
        return self.clusters.setdefault(connect, FakeKafka(ensemble_down=True))


def _requested(
    request: dict[str, dict[int, Replicas]] | str | None,
) -> Assignment | SpoiltRequest | None:
    match request:
        case None:
            return None
        case str():
            return SpoiltRequest(f"/admin/reassign_partitions: {request}")
        case dict():
            return {topic: dict(partitions) for topic, partitions in request.items()}


def _only_lists(configs: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in configs.items() if k in (LEADER_REPLICAS, FOLLOWER_REPLICAS)}


def _lists(throttle: Throttle) -> dict[str, dict[str, str]]:
    lists: dict[str, dict[str, str]] = {}
    for topic, value in throttle.leader_replicas.items():
        lists.setdefault(topic, {})[LEADER_REPLICAS] = value
    for topic, value in throttle.follower_replicas.items():
        lists.setdefault(topic, {})[FOLLOWER_REPLICAS] = value
    return lists
