"""The controller of a Kafka cluster in memory, and what it knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker_operator.core.model import PartitionState, RegisteredBroker, SpoiltTopic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker_operator.core.model import Assignment, BrokerId, Replicas, TopicPartition


@dataclass
class FakePartition:
    """One partition as the controller and its leader know it. `size` is bytes of a full replica."""

    state: PartitionState
    isr: list[BrokerId]
    leader: BrokerId | None
    size: int = 0
    reads: int = 0


@dataclass
class FakeController:
    """The cluster. Its fields may be changed by a test at any time.

    Attributes:
        complete_after: Reads that still see a move in flight; None: only `complete` ends moves.
        filled: Fraction of its final size that a replica being added has on disk.
        ensemble_down: ZooKeeper does not answer.
        silent: Registered brokers that do not answer.
        strays: Broker -> topic -> partition -> bytes of logs on its disks that no metadata names.
        deleting: Topics that ZooKeeper lists still and Kafka mentions no more.
        usable: Broker -> bytes left on its disks, where a broker tells.
        total: Broker -> bytes of its disks, where a broker tells.
        min_insync: `min.insync.replicas` of topics that have none of their own.
        request: `/admin/reassign_partitions`; a string stands for content nobody can parse.
        deaf: The controller does not see the next request that is created: somebody has deleted
            the one before by hand.
        unreadable: Topics whose znode was spoilt.
        writes: Every attempt to write, as the adapters' `on_write` names it.
    """

    cluster_id: str | None = "fake-cluster"
    complete_after: int | None = None
    filled: float = 0.5
    ensemble_down: bool = False
    migrating: bool = False
    silent: set[BrokerId] = field(default_factory=set)
    brokers: dict[BrokerId, RegisteredBroker] = field(default_factory=dict)
    topics: dict[str, dict[int, FakePartition]] = field(default_factory=dict)
    strays: dict[BrokerId, dict[str, dict[int, int]]] = field(default_factory=dict)
    deleting: set[str] = field(default_factory=set)
    usable: dict[BrokerId, int] = field(default_factory=dict)
    total: dict[BrokerId, int] = field(default_factory=dict)
    min_insync: int = 1
    request: dict[str, dict[int, Replicas]] | str | None = None
    deaf: bool = False
    unreadable: dict[str, SpoiltTopic] = field(default_factory=dict)
    broker_configs: dict[BrokerId, dict[str, str]] = field(default_factory=dict)
    topic_configs: dict[str, dict[str, str]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)

    @property
    def controller(self) -> BrokerId | None:
        """The lowest live broker id."""
        return min(self.brokers, default=None)

    def start_broker(self, broker: BrokerId, rack: str | None = None) -> None:
        """Register a broker; its replicas are in sync at once, and lead where nobody does."""
        self.brokers[broker] = RegisteredBroker(broker, rack, (f"broker-{broker}",))
        for partition in self._partitions():
            if broker in partition.state.replicas and broker not in partition.state.adding:
                partition.isr = sorted({*self._live(partition.isr), broker})
                partition.leader = broker if partition.leader is None else partition.leader

    def stop_broker(self, broker: BrokerId) -> None:
        """Unregister a broker; the last replica in sync stays in the ISR and nobody leads."""
        del self.brokers[broker]
        for partition in self._partitions():
            partition.isr = self._live(partition.isr) or partition.isr
            if partition.leader == broker:
                self._elect(partition)

    def create_topic(self, name: str, assignment: Mapping[int, Replicas], size: int = 0) -> None:
        """Create a topic of `size` bytes a partition, or add partitions to it."""
        topic = self.topics.setdefault(name, {})
        for number, replicas in assignment.items():
            partition = FakePartition(PartitionState(replicas), self._live(replicas), None, size)
            self._elect(partition)
            topic[number] = partition

    def delete_topic(self, name: str) -> None:
        """Delete a topic and what is configured for it."""
        del self.topics[name]
        self.topic_configs.pop(name, None)

    def move(self, batch: Assignment) -> None:
        """Start moving, as the controller does for an Admin API request, whoever sent it.

        It drops a request that nobody can parse, and sees the next one again once there is none.
        """
        if isinstance(self.request, str):
            self.request = None
        for topic, partitions in batch.items():
            for number, target in partitions.items():
                self._forget(topic, number)
                if number in self.topics.get(topic, {}):
                    self._start(self.topics[topic][number], target)
        self.deaf = self.deaf and self.request is not None

    def ask_for(self, batch: Assignment) -> None:
        """Create `/admin/reassign_partitions`, whoever does it; the controller starts at once."""
        self.request = {topic: dict(partitions) for topic, partitions in batch.items()}
        if self.deaf:
            return
        for topic, partitions in batch.items():
            for number, target in partitions.items():
                if number in self.topics.get(topic, {}):
                    self._start(self.topics[topic][number], target)
        self._settle()

    def complete(self, *partitions: TopicPartition) -> None:
        """Let these moves catch up and finish, all by default; dead targets keep theirs open."""
        for topic, numbers in self.topics.items():
            for number, partition in numbers.items():
                if not partitions or (topic, number) in partitions:
                    self._finish(partition)
        self._settle()

    def count_read(self) -> None:
        """Let time pass for moves by one read."""
        for partition in self._partitions():
            partition.reads += partition.state.in_flight
            if self.complete_after is not None and partition.reads > self.complete_after:
                self._finish(partition)
        self._settle()

    def _start(self, partition: FakePartition, target: Replicas) -> None:
        origin = partition.state.origin
        held = (*target, *(broker for broker in origin if broker not in target))
        adding = tuple(broker for broker in target if broker not in origin)
        removing = tuple(broker for broker in origin if broker not in target)
        partition.state = PartitionState(held, adding, removing)
        partition.isr = [broker for broker in partition.isr if broker in origin]
        partition.reads = 0
        if not adding and set(target) <= set(partition.isr):
            self._finish(partition)

    def _finish(self, partition: FakePartition) -> None:
        state = partition.state
        if not state.in_flight:
            return
        if not all(broker in self.brokers for broker in state.adding):
            return
        partition.state = PartitionState(state.target)
        partition.isr = self._live(state.target) or list(state.target)
        if partition.leader not in partition.isr:
            self._elect(partition)

    def _settle(self) -> None:
        """Take what is done out of the request node, and the node away with the last of it."""
        if isinstance(self.request, dict) and not self.deaf:
            for topic, partitions in list(self.request.items()):
                for number in list(partitions):
                    moving = self.topics.get(topic, {}).get(number)
                    if moving is None or not moving.state.in_flight:
                        self._forget(topic, number)

    def _forget(self, topic: str, number: int) -> None:
        if isinstance(self.request, dict):
            self.request.get(topic, {}).pop(number, None)
            self.request = {name: parts for name, parts in self.request.items() if parts} or None

    def _elect(self, partition: FakePartition) -> None:
        choice = (broker for broker in partition.state.replicas if broker in partition.isr)
        partition.leader = next((broker for broker in choice if broker in self.brokers), None)

    def _live(self, brokers: Iterable[BrokerId]) -> list[BrokerId]:
        return [broker for broker in brokers if broker in self.brokers]

    def _partitions(self) -> list[FakePartition]:
        return [partition for topic in self.topics.values() for partition in topic.values()]
