"""How far a plan is, by what the cluster is now. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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


def stand(cluster: Cluster, plan: Assignment, undo: Assignment) -> Standing:
    """Compare a cluster with a plan.

    Args:
        cluster: Where everything is now.
        plan: The partitions that the plan changes, where it takes them.
        undo: The same partitions, where they were.
    """
    unfinished: list[PartitionStanding] = []
    partitions = moves = moves_done = 0
    for topic, its in sorted(plan.items()):
        now, held = cluster.assignment.get(topic, {}), cluster.held.get(topic, {})
        for number, target in sorted(its.items()):
            before = undo.get(topic, {}).get(number, ())
            replicas = now.get(number, ())
            members = held.get(number, replicas)
            added = set(target).difference(before)
            partitions += 1
            moves += len(added)
            moves_done += len(added.intersection(members))
            state = _state(replicas, target, before, in_flight=number in held)
            if state != "done":
                name = TopicPartition(topic, number)
                unfinished.append(PartitionStanding(name, replicas, target, state))
    return Standing(partitions, tuple(unfinished), moves, moves_done)


def _state(replicas: Replicas, target: Replicas, before: Replicas, *, in_flight: bool) -> State:
    if replicas == target:
        return "in progress" if in_flight else "done"
    return "not started" if replicas == before and not in_flight else "elsewhere"
