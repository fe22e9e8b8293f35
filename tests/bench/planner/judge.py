"""How good a plan is. Shares no code with any planner, ours included."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.bench.planner.shapes import Shape, Topics


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plan in numbers.

    Attributes:
        valid: Every partition has as many replicas as before, on different target brokers.
        moves: Replicas on a broker that did not hold them.
        replica_spread: Replicas of the fullest target broker less those of the emptiest.
        leader_spread: The same of preferred leaders (first replicas).
        topic_spread: The same of the replicas of one topic; of the worst topic.
        rack_violations: Replicas that share a rack with more of their partition than they must.
        leader_changes: Partitions with another preferred leader.
    """

    valid: bool
    moves: int
    replica_spread: int
    leader_spread: int
    topic_spread: int
    rack_violations: int
    leader_changes: int


def judge(shape: Shape, planned: Topics) -> Verdict:
    """Return what becomes of a cluster by a plan; `planned` is the whole assignment afterwards."""
    before = dict(_lists(shape.topics))
    after = dict(_lists(planned))
    targets = set(shape.targets)
    cap = rack_cap(shape)
    return Verdict(
        valid=before.keys() == after.keys()
        and all(
            len(replicas) == len(before[name]) == len(set(replicas))
            and targets.issuperset(replicas)
            for name, replicas in after.items()
        ),
        moves=sum(len(set(r).difference(before.get(name, ()))) for name, r in after.items()),
        replica_spread=_spread(Counter(b for r in after.values() for b in r), targets),
        leader_spread=_spread(Counter(r[0] for r in after.values() if r), targets),
        topic_spread=max(
            _spread(Counter(b for r in lists for b in r), targets) for lists in planned.values()
        ),
        rack_violations=sum(
            max(0, count - cap)
            for replicas in after.values()
            for count in Counter(shape.racks[b] for b in replicas).values()
        ),
        leader_changes=sum(r[:1] != before.get(name, [])[:1] for name, r in after.items()),
    )


def rack_cap(shape: Shape) -> int:
    """Return how many replicas of a partition a rack has to take at most."""
    factor = len(next(iter(shape.topics.values()))[0])
    sizes = Counter(shape.racks[broker] for broker in shape.targets).values()
    return next(c for c in range(1, factor + 1) if sum(min(c, n) for n in sizes) >= factor)


def least_spread(shape: Shape) -> int:
    """Return the replica spread of the best balance that the racks allow.

    Racks of few brokers may be unable to take an even share: a rack takes `rack_cap` replicas of
    each partition at most. Such racks are filled to that, the others share the rest evenly.
    """
    factor = len(next(iter(shape.topics.values()))[0])
    most = rack_cap(shape) * shape.partitions
    open_racks = Counter(shape.racks[broker] for broker in shape.targets)
    left, loads = factor * shape.partitions, []
    while full := [
        rack for rack, n in open_racks.items() if n * left > most * sum(open_racks.values())
    ]:
        for rack in full:
            brokers = open_racks.pop(rack)
            loads += [most // brokers, -(-most // brokers)]
            left -= most
    if brokers := sum(open_racks.values()):
        loads += [left // brokers, -(-left // brokers)]
    return max(loads) - min(loads)


def _lists(topics: Topics) -> Iterable[tuple[tuple[str, int], list[int]]]:
    for topic, lists in topics.items():
        for partition, replicas in enumerate(lists):
            yield (topic, partition), replicas


def _spread(counts: Mapping[int, int], brokers: Iterable[int]) -> int:
    loads = [counts.get(broker, 0) for broker in brokers]
    return max(loads) - min(loads)
