"""What to submit next, decided from the live state alone.

There is no memory of earlier batches: whatever was submitted, finished, cancelled or changed by
somebody else in the meantime, the next batch is a step from what is now towards the target.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from broker_operator.core.model import TopicPartition
from broker_operator.core.planner.problem import partition_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import Assignment, BrokerId, PartitionState, Replicas, Sizes


class _Candidate(NamedTuple):
    name: TopicPartition
    replicas: Replicas
    source: BrokerId
    into: tuple[BrokerId, ...]
    out_of: tuple[BrokerId, ...]


def next_batch(
    topics: Mapping[str, Mapping[int, PartitionState]],
    target: Assignment,
    *,
    live: frozenset[BrokerId],
    sizes: Sizes,
    max_moves_per_broker: int,
    max_entries: int = 200,
) -> dict[str, dict[int, Replicas]]:
    """Return the partitions to submit next, with their replica lists from `target`.

    Moves under way into live brokers count against the limit. Every partition goes straight to
    its final list, so replication factors and racks hold at every moment. Reordered lists copy
    nothing and cost no move. Preferred leaders, which send the copies, take turns, each with its
    largest partition first: that keeps the partitions of one batch alike in size.

    Args:
        topics: Live state of every partition.
        target: Where the plan leads. Partitions it does not name are left alone.
        live: Registered brokers; a partition waits until all its target brokers are among them.
        sizes: Bytes per partition.
        max_moves_per_broker: Most replicas on their way into any one broker, and out of any one.
            Less than 1 counts as 1, so that something always goes.
        max_entries: Most partitions in the batch.

    Returns:
        Topic -> partition -> replicas, sorted; empty when nothing is left to submit, or when the
        moves under way already reach the limit.
    """
    batch = _Batch(max(1, max_moves_per_broker), max_entries)
    batch.count_moves_under_way(topics, live)
    candidates = _candidates(topics, target, live)
    weights = partition_sizes([c.name for c in candidates], sizes)
    ordered = sorted(zip(weights, candidates, strict=True), key=lambda it: (-it[0], it[1].name))
    batch.fill([candidate for _, candidate in ordered])
    return batch.entries()


def _candidates(
    topics: Mapping[str, Mapping[int, PartitionState]],
    target: Assignment,
    live: frozenset[BrokerId],
) -> list[_Candidate]:
    """Return the partitions that may be submitted now, in no particular order."""
    found: list[_Candidate] = []
    for topic, partitions in target.items():
        states = topics.get(topic, {})
        for number, replicas in partitions.items():
            state = states.get(number)
            if state is None or state.in_flight or state.replicas == replicas:
                continue
            if live.issuperset(replicas):
                into = tuple(b for b in replicas if b not in state.replicas)
                out_of = tuple(b for b in state.replicas if b not in replicas)
                name = TopicPartition(topic, number)
                found.append(_Candidate(name, replicas, state.replicas[0], into, out_of))
    return found


class _Batch:
    """A batch being filled, with what each broker already has to send and to receive."""

    def __init__(self, max_moves_per_broker: int, max_entries: int) -> None:
        self._limit = max_moves_per_broker
        self._max_entries = max_entries
        self._into: Counter[BrokerId] = Counter()
        self._out_of: Counter[BrokerId] = Counter()
        self._chosen: list[_Candidate] = []

    def count_moves_under_way(
        self, topics: Mapping[str, Mapping[int, PartitionState]], live: frozenset[BrokerId]
    ) -> None:
        """Count what is in flight. A move into a dead broker copies nothing, and may for long."""
        for partitions in topics.values():
            for state in partitions.values():
                if live.issuperset(state.adding):
                    self._into.update(state.adding)
                    self._out_of.update(state.removing)

    def fill(self, candidates: list[_Candidate]) -> None:
        """Choose from the candidates in their order, sources taking turns, reorderings last."""
        queues: dict[BrokerId, deque[_Candidate]] = {}
        for candidate in candidates:
            if candidate.into or candidate.out_of:
                queues.setdefault(candidate.source, deque()).append(candidate)
        turns = deque(queue for _, queue in sorted(queues.items()))
        while turns and len(self._chosen) < self._max_entries:
            queue = turns.popleft()
            if self._choose_from(queue):
                turns.append(queue)
        reorderings = [c for c in candidates if not (c.into or c.out_of)]
        self._chosen += reorderings[: self._max_entries - len(self._chosen)]

    def entries(self) -> dict[str, dict[int, Replicas]]:
        """Return what was chosen, sorted by name."""
        batch: dict[str, dict[int, Replicas]] = {}
        for candidate in sorted(self._chosen):
            topic, number = candidate.name
            batch.setdefault(topic, {})[number] = candidate.replicas
        return batch

    def _choose_from(self, queue: deque[_Candidate]) -> bool:
        """Choose the first that fits. What does not fit now will not fit later in this batch."""
        while queue:
            candidate = queue.popleft()
            if self._fits(candidate):
                self._into.update(candidate.into)
                self._out_of.update(candidate.out_of)
                self._chosen.append(candidate)
                return True
        return False

    def _fits(self, candidate: _Candidate) -> bool:
        return all(self._into[b] < self._limit for b in candidate.into) and all(
            self._out_of[b] < self._limit for b in candidate.out_of
        )
