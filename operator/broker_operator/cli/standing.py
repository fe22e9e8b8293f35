"""How far a plan is, by what the cluster is now. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from broker_operator.core.model import TopicPartition

if TYPE_CHECKING:
    from broker_operator.cli.cluster import Cluster
    from broker_operator.core.model import Assignment, Replicas

State: TypeAlias = Literal["done", "in progress", "not started", "elsewhere"]


class PartitionStanding(NamedTuple):
    """One partition of a plan.

    Attributes:
        replicas: Where it is, or is being taken; empty if it is gone.
        target: Where the plan takes it.
        state: `done` and `in progress` are what `kafka-reassign-partitions --verify` calls
            completed and still in progress. `elsewhere`: somebody else has changed it since.
    """

    name: TopicPartition
    replicas: Replicas
    target: Replicas
    state: State


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a plan stands.

    Attributes:
        partitions: Number of partitions of the plan.
        unfinished: Those not done, by name.
        moves: Replicas that the plan copies.
        moves_done: Those that are full members by now.
    """

    partitions: int
    unfinished: tuple[PartitionStanding, ...]
    moves: int
    moves_done: int

    @property
    def complete(self) -> bool:
        """Whether every partition is where the plan takes it."""
        return not self.unfinished

    @property
    def counts(self) -> dict[State, int]:
        """Partitions by state."""
        found = Counter(standing.state for standing in self.unfinished)
        return {
            "done": self.partitions - len(self.unfinished),
            "in progress": found["in progress"],
            "not started": found["not started"],
            "elsewhere": found["elsewhere"],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "complete": self.complete,
            "partitions": self.partitions,
            **{state.replace(" ", "_"): count for state, count in self.counts.items()},
            "moves": self.moves,
            "moves_done": self.moves_done,
            "unfinished": [
                {
                    "topic": standing.name.topic,
                    "partition": standing.name.partition,
                    "state": standing.state,
                    "replicas": list(standing.replicas),
                    "target": list(standing.target),
                }
                for standing in self.unfinished
            ],
        }


@dataclass(frozen=True, slots=True)
class MadePlan:
    """A plan as its folder has it.

    Attributes:
        target: The partitions that it changes, where it takes them, and those that were half-way
            to where it leaves them.
        before: The same partitions where they were, or were being taken.
        held: Brokers with full copies then, of those partitions alone that were half-way.
    """

    target: Assignment
    before: Assignment
    held: Assignment = field(default_factory=dict)


def stand(cluster: Cluster, plan: MadePlan, *, listed: bool = False) -> Standing:
    """Compare a cluster with a plan.

    Args:
        cluster: Where everything is now.
        plan: The plan.
        listed: The cluster is Kafka's list of replicas, which names those that are being removed
            after those of the target while a partition is on its way.
    """
    unfinished: list[PartitionStanding] = []
    partitions = moves = moves_done = 0
    for topic, its in sorted(plan.target.items()):
        now, held = cluster.assignment.get(topic, {}), cluster.held.get(topic, {})
        then = plan.held.get(topic, {})
        for number, target in sorted(its.items()):
            before = plan.before.get(topic, {}).get(number, ())
            copies = then.get(number, before)
            replicas = now.get(number, ())
            added = set(target).difference(copies)
            partitions += 1
            moves += len(added)
            state, members = _state(replicas, target, before, in_flight=number in held), replicas
            if number in held:
                members = held[number]
            elif listed and _on_its_way(replicas, target, copies):
                state, members = "in progress", copies
            elif listed and _on_its_way(replicas, before, copies):
                state, members = "not started", copies
            moves_done += len(added.intersection(members))
            if state != "done":
                name = TopicPartition(topic, number)
                unfinished.append(PartitionStanding(name, replicas, target, state))
    return Standing(partitions, tuple(unfinished), moves, moves_done)


def _state(replicas: Replicas, target: Replicas, before: Replicas, *, in_flight: bool) -> State:
    if replicas == target:
        return "in progress" if in_flight else "done"
    return "not started" if replicas == before else "elsewhere"


def _on_its_way(replicas: Replicas, to: Replicas, copies: Replicas) -> bool:
    """Whether a list is what Kafka shows in mid-move: the target and what is being removed.

    The order tells only where the move adds nothing, for old releases do not keep to it.
    """
    together = set(to).union(copies)
    if len(replicas) <= len(to) or set(replicas) != together:
        return False
    return together != set(copies) or replicas[: len(to)] == to
