"""Requests to plan for, and how to look at a plan."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from operator import itemgetter
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRequest
from tests.unit.planner.oracle import Optimum, cap_of, rack_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker_operator.core.model import Assignment, Replicas
    from broker_operator.core.planner import Plan


def brokers(ids: Iterable[int], racks: str = "", dead: Iterable[int] = ()) -> tuple[Broker, ...]:
    """Make brokers; `racks` are one-letter names dealt out in turn."""
    lost = set(dead)
    return tuple(
        Broker(b, rack=racks[i % len(racks)] if racks else None, live=b not in lost)
        for i, b in enumerate(ids)
    )


def ring(
    partitions: int, count: int, factor: int, topics: int = 1
) -> dict[str, dict[int, Replicas]]:
    """Return an assignment as Kafka makes it: leaders in turn, followers at changing distance."""

    def replicas(number: int) -> Replicas:
        gaps = count - 1
        followers = (1 + (number // count + i) % gaps for i in range(factor - 1))
        return (number % count, *((number + distance) % count for distance in followers))

    return {f"topic-{t:03}": {n: replicas(n) for n in range(partitions)} for t in range(topics)}


@st.composite
def requests(
    draw: st.DrawFn, *, most_brokers: int = 7, most_partitions: int = 8, most_topics: int = 3
) -> PlanRequest:
    """Any start: skewed, broken racks, dead and leaving brokers, mixed replication factors."""
    ids = draw(st.lists(st.integers(0, 120), min_size=1, max_size=most_brokers, unique=True))
    racks = draw(st.sampled_from(["", "ab", "abc", "aab", "abcd"]))
    targets = draw(st.lists(st.sampled_from(ids), min_size=1, unique=True))
    others = [b for b in ids if b not in targets]
    dead = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
    live = [b for b in ids if b not in dead]
    assignment: dict[str, dict[int, Replicas]] = {}
    sizes: dict[str, dict[int, int]] = {}
    for t in range(draw(st.integers(0, most_topics))):
        factor = draw(st.integers(1, min(4, len(targets))))
        lists = st.permutations(ids).map(itemgetter(slice(factor))).map(tuple[int, ...])
        alive = lists.filter(lambda replicas: not set(replicas).isdisjoint(live))
        listed = draw(st.lists(alive, max_size=most_partitions))
        assignment[f"t{t}"] = dict(enumerate(listed))
        sizes[f"t{t}"] = draw(st.dictionaries(st.integers(0, 5), st.integers(0, 10**9)))
    all_brokers = draw(st.permutations(brokers(ids, racks, dead)))
    return PlanRequest(assignment, tuple(all_brokers), frozenset(targets), sizes)


def loads(assignment: Assignment, targets: Iterable[int]) -> dict[int, int]:
    """Return replicas per broker."""
    count = Counter(b for its in assignment.values() for r in its.values() for b in r)
    return {broker: count[broker] for broker in targets}


def leads(assignment: Assignment, targets: Iterable[int]) -> dict[int, int]:
    """Return preferred leaders per broker."""
    count = Counter(r[0] for its in assignment.values() for r in its.values())
    return {broker: count[broker] for broker in targets}


def gap(counts: Mapping[int, int]) -> int:
    """Return the difference of the fullest and the emptiest."""
    return max(counts.values()) - min(counts.values())


def topic_gaps(assignment: Assignment, targets: Iterable[int]) -> dict[str, int]:
    """Return for each topic how far its replicas per broker lie apart."""
    ids = tuple(targets)
    return {topic: gap(loads({topic: its}, ids)) for topic, its in assignment.items()}


def squares(counts: Mapping[int, int]) -> int:
    return sum(count * count for count in counts.values())


def reached(request: PlanRequest, plan: Plan) -> Optimum:
    """Return what the plan reaches, to be held against `oracle.fewest_moves`."""
    return Optimum(squares(loads(plan.target, request.targets)), plan.moves)


def reached_leaders(request: PlanRequest, plan: Plan) -> Optimum:
    return Optimum(squares(leads(plan.target, request.targets)), plan.leader_changes)


def violations(request: PlanRequest, target: Assignment) -> list[str]:
    """Return every way in which an assignment is no valid answer to the request."""
    wrong: list[str] = []
    rack = rack_of(request)
    if {t: set(ps) for t, ps in target.items()} != {
        t: set(p) for t, p in request.assignment.items()
    }:
        wrong.append("other topics or partitions")
    for topic, partitions in target.items():
        for number, replicas in partitions.items():
            factor = len(set(request.assignment[topic][number]))
            if len(replicas) != factor or len(set(replicas)) != factor:
                wrong.append(f"{topic}-{number}: replication factor")
            if not request.targets.issuperset(replicas):
                wrong.append(f"{topic}-{number}: not on target brokers")
            elif max(Counter(rack[b] for b in replicas).values()) > cap_of(factor, rack):
                wrong.append(f"{topic}-{number}: rack cap")
    return wrong


def exhaustive(request: PlanRequest) -> Optimum:
    """Return the optimum by trying everything."""
    rack = rack_of(request)
    options = []
    lists = [set(r) for its in request.assignment.values() for r in its.values()]
    for before in lists:
        cap = cap_of(len(before), rack)
        options.append(
            [
                (set(chosen), len(set(chosen) - before))
                for chosen in combinations(sorted(request.targets), len(before))
                if max(Counter(rack[b] for b in chosen).values()) <= cap
            ]
        )
    best = {tuple(0 for _ in rack): 0}
    for choices in options:
        following: dict[tuple[int, ...], int] = {}
        for counts, moves in best.items():
            for chosen, more in choices:
                key = tuple(c + (b in chosen) for c, b in zip(counts, sorted(rack), strict=True))
                following[key] = min(following.get(key, moves + more), moves + more)
        best = following
    return min(Optimum(sum(c * c for c in counts), moves) for counts, moves in best.items())
