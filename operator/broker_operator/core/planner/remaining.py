"""How far the live state is from the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.core.model import TopicPartition
from broker_operator.core.planner.problem import mean_size, partition_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import Assignment, PartitionState, Sizes


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of a reassignment.

    Attributes:
        moves: Replicas of the target that are no full members yet: absent or still being filled.
        bytes: Their size. What a replica under way has already copied is not taken off.
        partitions: Those not finished, by name: to be moved, to be reordered, or in flight.
    """

    moves: int
    bytes: int
    partitions: tuple[TopicPartition, ...]

    @property
    def done(self) -> bool:
        """Whether the live state is the target."""
        return not self.partitions


def remaining(
    topics: Mapping[str, Mapping[int, PartitionState]],
    target: Assignment,
    sizes: Sizes | None = None,
    *,
    mean: int | None = None,
) -> Remaining:
    """Compare the live state with the target; partitions that only one of them has do not count.

    Args:
        topics: Live state of every partition.
        target: Where the plan leads.
        sizes: Bytes per partition.
        mean: Bytes of a partition that is missing there; if left out, the mean of the others.
    """
    moves: dict[TopicPartition, int] = {}
    for topic, partitions in target.items():
        states = topics.get(topic, {})
        for number, replicas in partitions.items():
            state = states.get(number)
            if state and (state.in_flight or state.replicas != replicas):
                members = set(state.replicas).difference(state.adding)
                moves[TopicPartition(topic, number)] = len(set(replicas) - members)
    names = sorted(moves)
    mean = mean_size(target, sizes or {}) if mean is None else mean
    weights = partition_sizes(names, sizes or {}, mean)
    return Remaining(
        moves=sum(moves.values()),
        bytes=sum(moves[name] * size for name, size in zip(names, weights, strict=True)),
        partitions=tuple(names),
    )
