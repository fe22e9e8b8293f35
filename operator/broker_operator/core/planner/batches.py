"""What to submit together, so that no broker has too much to do and none waits for long.

`next_batch` decides from the live state alone. There is no memory of earlier batches: whatever was
submitted, finished, cancelled or changed by somebody else in the meantime, the next batch is a step
from what is now towards the target. `make_batches` foretells them all.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from broker_operator.core.model import PartitionState, TopicPartition
from broker_operator.core.planner.problem import mean_size, partition_sizes
from broker_operator.core.planner.schedule import Candidate, Filling, Schedule, Task, Way
from broker_operator.core.planner.smooth import smooth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from broker_operator.core.model import Assignment, BrokerId, Replicas, Sizes


_Step: TypeAlias = "tuple[TopicPartition, Replicas, Replicas]"
"""A partition, who has copies of it, and its replicas afterwards."""


class Batch(NamedTuple):
    """Partitions to be submitted together.

    Attributes:
        entries: Topic -> partition -> replicas, sorted.
        bytes: Most bytes that any one broker sends or receives; divided by the throttle, the
            seconds that the batch takes.
    """

    entries: dict[str, dict[int, Replicas]]
    bytes: int


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
    nothing and cost no move.

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
    candidates = _candidates(_startable(topics, target, live), target, sizes)
    schedule = Schedule(candidates, max_moves_per_broker, None, max_entries)
    return _batch(schedule.take(_under_way(topics, live))).entries


def make_batches(
    origin: Assignment,
    target: Assignment,
    *,
    sizes: Sizes,
    max_moves_per_broker: int,
    max_bytes_per_broker: int | None = None,
    live: Iterable[BrokerId] | None = None,
    held: Assignment | None = None,
) -> list[Batch]:
    """Return all batches from origin to target, each to be submitted when the one before has ended.

    Args:
        origin: Where every replica is.
        target: Where they go.
        sizes: Bytes per partition; a missing one counts as the mean of the known ones.
        max_moves_per_broker: Most replicas that any one broker receives, sends or gives up in one
            batch; a partition that takes more goes alone. Less than 1 counts as 1.
        max_bytes_per_broker: Most bytes that any one broker receives or sends in one batch; a
            larger partition goes alone.
        live: Brokers that can send; everybody by default. A partition is sent by its first one.
        held: As in the PlanRequest: what is copied, sent and given up counts from there.
    """
    copies = held or {}
    steps = (
        (TopicPartition(topic, number), copies.get(topic, {}).get(number, before), after)
        for topic, partitions in target.items()
        for number, after in partitions.items()
        if (before := origin[topic][number]) != after
    )
    senders = None if live is None else frozenset(live)
    candidates = _candidates(steps, target, sizes, senders)
    schedule = Schedule(candidates, max_moves_per_broker, max_bytes_per_broker, len(candidates))
    fillings: list[Filling] = []
    while schedule.left:
        fillings.append(schedule.take(Counter()))
    smooth(fillings)
    return [_batch(filling) for filling in fillings if filling.chosen]


def _batch(filling: Filling) -> Batch:
    entries: dict[str, dict[int, Replicas]] = {}
    for candidate in sorted(filling.chosen, key=lambda it: it.name):
        topic, number = candidate.name
        entries.setdefault(topic, {})[number] = candidate.replicas
    return Batch(entries, filling.bytes)


def _startable(
    topics: Mapping[str, Mapping[int, PartitionState]],
    target: Assignment,
    live: frozenset[BrokerId],
) -> Iterator[_Step]:
    """Yield the partitions that may be submitted now, in no particular order."""
    for topic, partitions in target.items():
        states = topics.get(topic, {})
        for number, replicas in partitions.items():
            state = states.get(number)
            if state is None or state.in_flight or state.replicas == replicas:
                continue
            if live.issuperset(replicas):
                yield TopicPartition(topic, number), state.replicas, replicas


def _candidates(
    steps: Iterable[_Step],
    target: Assignment,
    sizes: Sizes,
    senders: frozenset[BrokerId] | None = None,
) -> list[Candidate]:
    """Return what is to be done for each step, the largest first, reorderings last."""
    chosen = list(steps)
    names = [name for name, _, _ in chosen]
    weights = partition_sizes(names, sizes, mean_size(target, sizes))
    candidates = [
        Candidate(size, name, after, _load(before, after, senders))
        for size, (name, before, after) in zip(weights, chosen, strict=True)
    ]
    return sorted(candidates, key=lambda it: (not it.load, -it.size, it.name))


def _load(
    before: Replicas, after: Replicas, senders: frozenset[BrokerId] | None
) -> dict[Task, int]:
    """Return what a move from one list to another asks of whom."""
    load = {(Way.GIVE_UP, broker): 1 for broker in before if broker not in after}
    into = [broker for broker in after if broker not in before]
    load |= {(Way.RECEIVE, broker): 1 for broker in into}
    if into:
        able = (b for b in before if senders is None or b in senders)
        load[Way.SEND, next(able, before[0])] = len(into)
    return load


def _under_way(
    topics: Mapping[str, Mapping[int, PartitionState]], live: frozenset[BrokerId]
) -> Counter[Task]:
    """Count what is in flight. A move into a dead broker copies nothing, and may for long."""
    busy: Counter[Task] = Counter()
    for partitions in topics.values():
        for state in partitions.values():
            if state.in_flight and live.issuperset(state.adding):
                busy.update((Way.RECEIVE, broker) for broker in state.adding)
                busy.update((Way.GIVE_UP, broker) for broker in state.removing)
                if state.adding:
                    busy[Way.SEND, state.origin[0]] += len(state.adding)
    return busy
