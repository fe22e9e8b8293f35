"""The whole way in batches: every step within the limits, and hardly longer than it must be."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_operator.core.model import PartitionState
from broker_operator.core.planner import PlanRequest, make_batches, make_plan, remaining, smooth
from tests.unit.planner.cases import (
    again,
    brokers,
    loads,
    newcomers,
    reached,
    requests,
    ring,
    violations,
)
from tests.unit.planner.oracle import rack_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker_operator.core.model import Assignment, Replicas, Sizes
    from broker_operator.core.planner import Batch, Plan

Lists = dict[str, dict[int, "Replicas"]]
GIB = 1 << 30


class Traffic:
    """What each broker has to do for a set of partitions, kept by partition."""

    def __init__(self) -> None:
        self.into: dict[int, list[int]] = {}
        self.out_of: dict[int, list[int]] = {}
        self.sent: dict[int, list[int]] = {}
        self.sizes_out: dict[int, list[int]] = {}
        self.bytes_in: Counter[int] = Counter()
        self.bytes_sent: Counter[int] = Counter()

    def add(self, before: Replicas, after: Replicas, size: int, live: frozenset[int]) -> None:
        """Count one partition: its first live replica sends once to each new one."""
        new = [b for b in after if b not in before]
        for broker in new:
            self.into.setdefault(broker, []).append(1)
            self.bytes_in[broker] += size
        for broker in before:
            if broker not in after:
                self.out_of.setdefault(broker, []).append(1)
                self.sizes_out.setdefault(broker, []).append(size)
        if new:
            sender = next(b for b in before if b in live)
            self.sent.setdefault(sender, []).append(len(new))
            self.bytes_sent[sender] += size * len(new)

    @property
    def most_bytes(self) -> int:
        return max(chain(self.bytes_in.values(), self.bytes_sent.values()), default=0)

    def least_bytes(self, limit: int) -> int:
        """Return what no walk can stay below: all the bytes of one broker, one after the other.

        Nor can one that lets a broker give up so many replicas at once: however they are grouped,
        the largest of each group must arrive.
        """
        groups = (sum(sorted(its, reverse=True)[::limit]) for its in self.sizes_out.values())
        return max(self.most_bytes, *groups)

    @property
    def most_moves(self) -> int:
        return max(sum(its) for its in chain(self.into.values(), self.sent.values()))


def copied(assignment: Assignment) -> Lists:
    return {topic: dict(its) for topic, its in assignment.items()}


def whole_sizes(assignment: Assignment, sizes: Sizes) -> dict[str, dict[int, int]]:
    """Return the size of every partition, those missing as the mean of the rest."""
    given_ = [size for t, its in sizes.items() for n, size in its.items() if n in assignment[t]]
    mean = sum(given_) // len(given_) if given_ else 0
    return {t: {n: sizes.get(t, {}).get(n, mean) for n in its} for t, its in assignment.items()}


def traffic_of(
    before: Assignment, entries: Assignment, sizes: Mapping[str, Mapping[int, int]],
    live: frozenset[int],
) -> Traffic:  # fmt: skip
    traffic = Traffic()
    for topic, partitions in entries.items():
        for number, after in partitions.items():
            traffic.add(before[topic][number], after, sizes[topic][number], live)
    return traffic


def distance(state: Assignment, target: Assignment) -> tuple[int, int]:
    """Return the moves left, and the partitions that are not as the target has them."""
    pairs = [(state[t][n], after) for t, its in target.items() for n, after in its.items()]
    return (
        sum(len(set(after) - set(before)) for before, after in pairs),
        sum(before != after for before, after in pairs),
    )


def problems(
    plan: Plan, batches: list[Batch], sizes: Mapping[str, Mapping[int, int]], *,
    live: frozenset[int], limit: int, most_bytes: int | None = None,
) -> list[str]:  # fmt: skip
    """Walk the batches and return every rule that one of them breaks."""
    target = plan.target
    state, wrong = copied(plan.origin), []
    left = distance(state, target)
    for at, batch in enumerate(batches, 1):
        traffic = traffic_of(state, batch.entries, sizes, live)
        ways = (("in", traffic.into), ("out", traffic.out_of), ("sent", traffic.sent))
        wrong += [
            f"batch {at}: {sum(its)} moves {way} at broker {broker}, limit {limit}"
            for way, brokers_ in ways
            for broker, its in brokers_.items()
            if sum(its) > limit and len(its) > 1
        ]
        heavy = (("in", traffic.bytes_in, traffic.into), ("sent", traffic.bytes_sent, traffic.sent))
        wrong += [
            f"batch {at}: {count} bytes {way} at broker {broker}, limit {most_bytes}"
            for way, counts, parts in heavy
            for broker, count in counts.items()
            if most_bytes is not None and count > most_bytes and len(parts[broker]) > 1
        ]
        if batch.bytes != traffic.most_bytes:
            wrong.append(f"batch {at}: says {batch.bytes} bytes, not {traffic.most_bytes}")
        for topic, partitions in batch.entries.items():
            for number, after in partitions.items():
                if after != target[topic][number] or after == state[topic][number]:
                    wrong.append(f"batch {at}: {topic}-{number} is no step to the target")
                state[topic][number] = after
        before, left = left, distance(state, target)
        if left[0] > before[0] or left[1] >= before[1]:
            wrong.append(f"batch {at}: from {before} to {left} is no way down")
    if state != target:
        wrong.append(f"{left[1]} partitions never arrive")
    return wrong


# ---- rules


@settings(max_examples=150)
@given(
    requests(),
    st.integers(1, 5),
    st.none() | st.integers(1, 2 * 10**9),
)
def test_every_batch_keeps_the_limits_and_is_a_step_to_the_target(
    request_: PlanRequest, limit: int, most_bytes: int | None
) -> None:
    plan = make_plan(request_)
    live = frozenset(b.id for b in request_.brokers if b.live)
    batches = make_batches(
        plan.origin,
        plan.target,
        sizes=request_.sizes,
        max_moves_per_broker=limit,
        max_bytes_per_broker=most_bytes,
        live=live,
    )
    # What a missing size counts as is judged where all are known, below.
    known = whole_sizes(request_.assignment, request_.sizes)
    sized = make_batches(
        plan.origin,
        plan.target,
        sizes=known,
        max_moves_per_broker=limit,
        max_bytes_per_broker=most_bytes,
        live=live,
    )
    wrong = problems(plan, sized, known, live=live, limit=limit, most_bytes=most_bytes)
    assert wrong == []
    merged: Lists = {}
    for batch in batches:
        for topic, partitions in batch.entries.items():
            merged.setdefault(topic, {}).update(partitions)
    assert merged == plan.changes


@settings(max_examples=100)
@given(requests(), st.integers(1, 3))
def test_after_every_batch_factors_and_racks_hold_where_they_held(
    request_: PlanRequest, limit: int
) -> None:
    """A partition is where it was, or where it shall be: nothing else ever exists."""
    plan = make_plan(request_)
    state = copied(plan.origin)
    live = frozenset(b.id for b in request_.brokers if b.live)
    steps = make_batches(plan.origin, plan.target, sizes={}, max_moves_per_broker=limit, live=live)
    wrong = set(violations(request_, state))
    for batch in steps:
        for topic, partitions in batch.entries.items():
            for number, after in partitions.items():
                assert request_.targets.issuperset(after)
                assert len(set(after)) == len(after)
                state[topic][number] = after
        before, wrong = wrong, set(violations(request_, state))
        assert wrong <= before
    assert wrong == set()


def test_nothing_to_do_takes_no_batch() -> None:
    origin: Assignment = {"orders": {0: (0, 1)}, "empty": {}}
    assert make_batches(origin, origin, sizes={}, max_moves_per_broker=5) == []


def test_a_partition_larger_than_the_limit_goes_alone() -> None:
    origin = {"orders": dict.fromkeys(range(4), (0,))}
    target = {"orders": dict.fromkeys(range(4), (1,))}
    sizes = {"orders": {0: 10, 1: 10, 2: 100, 3: 10}}
    batches = make_batches(
        origin, target, sizes=sizes, max_moves_per_broker=5, max_bytes_per_broker=30
    )
    assert sorted(batch.bytes for batch in batches) == [30, 100]
    assert {"orders": {2: (1,)}} in [batch.entries for batch in batches]


def test_a_lead_that_only_changes_hands_copies_nothing() -> None:
    origin = {"orders": {0: (0, 1), 1: (0, 1)}}
    target = {"orders": {0: (1, 0), 1: (0, 1)}}
    [batch] = make_batches(origin, target, sizes={"orders": {0: 7, 1: 7}}, max_moves_per_broker=1)
    assert (batch.entries, batch.bytes) == ({"orders": {0: (1, 0)}}, 0)


def test_a_replica_that_is_dropped_copies_nothing() -> None:
    origin = {"orders": {0: (0, 1, 2)}}
    target = {"orders": {0: (0, 1)}}
    [batch] = make_batches(origin, target, sizes={"orders": {0: 7}}, max_moves_per_broker=1)
    assert (batch.entries, batch.bytes) == (target, 0)


def test_the_sender_sends_once_to_each_new_replica() -> None:
    origin = {"orders": {0: (0,)}}
    target = {"orders": {0: (0, 1, 2)}}
    [batch] = make_batches(origin, target, sizes={"orders": {0: 7}}, max_moves_per_broker=5)
    assert batch.bytes == 14


def test_the_first_live_replica_sends() -> None:
    origin = {"orders": {0: (9, 0), 1: (9, 1)}}
    target = {"orders": {0: (2, 0), 1: (3, 1)}}
    sizes = {"orders": {0: 5, 1: 7}}
    both = make_batches(
        origin, target, sizes=sizes, max_moves_per_broker=1, live=frozenset(range(4))
    )
    # Broker 9 gives up two, and is dead; who sends is what counts for the bytes.
    assert [batch.bytes for batch in both] in ([7], [7, 5], [5, 7])


def test_of_a_partition_half_way_only_what_is_not_there_yet_is_copied() -> None:
    """The first goes on to a third broker, the second goes back to where it came from."""
    going = {"orders": {0: (1, 2), 1: (1, 2)}}
    target = {"orders": {0: (3, 2), 1: (0, 2)}}
    held = {"orders": {0: (0, 2), 1: (0, 2)}}
    sizes = {"orders": {0: 5, 1: 7}}
    [batch] = make_batches(going, target, sizes=sizes, max_moves_per_broker=5, held=held)
    assert batch.entries == target
    assert batch.bytes == 5


def test_batches_do_not_depend_on_the_order_of_dicts() -> None:
    request = PlanRequest(ring(20, 3, 3, topics=3), brokers(range(4)), frozenset(range(4)))
    plan = make_plan(request)
    rng = random.Random(3)  # noqa: S311 - repeatable on purpose

    def shuffled(assignment: Assignment) -> Lists:
        topics = rng.sample(sorted(assignment), len(assignment))
        return {
            t: dict(rng.sample(sorted(assignment[t].items()), len(assignment[t]))) for t in topics
        }

    one = make_batches(plan.origin, plan.target, sizes={}, max_moves_per_broker=2)
    other = make_batches(
        shuffled(plan.origin), shuffled(plan.target), sizes={}, max_moves_per_broker=2
    )
    assert repr(one) == repr(other)


# ---- time


def add_two() -> PlanRequest:
    return PlanRequest(even(ring(60, 6, 3, topics=5), 6), brokers(range(8)), frozenset(range(8)))


def remove_one() -> PlanRequest:
    return PlanRequest(even(ring(60, 7, 3, topics=5), 7), brokers(range(7)), frozenset(range(6)))


def replace_one() -> PlanRequest:
    return PlanRequest(
        even(ring(60, 6, 3, topics=5), 6), brokers(range(7)), frozenset({0, 1, 2, 3, 4, 6})
    )


def replace_dead() -> PlanRequest:
    return PlanRequest(
        even(ring(60, 6, 3, topics=5), 6),
        brokers(range(7), dead=[5]),
        frozenset({0, 1, 2, 3, 4, 6}),
    )


def rebalance() -> PlanRequest:
    rng = random.Random(11)  # noqa: S311 - repeatable on purpose
    taste = [rng.random() for _ in range(8)]
    lists = {
        n: tuple(sorted(range(8), key=lambda b: -taste[b] * rng.random())[:3]) for n in range(400)
    }
    return PlanRequest({"orders": lists}, brokers(range(8)), frozenset(range(8)))


def racks_restored() -> PlanRequest:
    start = {"orders": {n: ((n * 3) % 9, (n * 3 + 3) % 9, (n * 3 + 1) % 9) for n in range(300)}}
    return PlanRequest(start, brokers(range(9), "abc"), frozenset(range(9)))


def even(start: Assignment, count: int) -> Assignment:
    return make_plan(PlanRequest(start, brokers(range(count)), frozenset(range(count)))).target


@pytest.mark.parametrize("sized", ["equal", "lognormal"])
@pytest.mark.parametrize(
    "case",
    [add_two, remove_one, replace_one, replace_dead, rebalance, racks_restored],
    ids=lambda case: case.__name__,
)
def test_the_whole_takes_hardly_longer_than_the_busiest_broker_needs(
    case: Callable[[], PlanRequest], sized: str
) -> None:
    """At one throttle for all, a batch takes as long as its busiest broker."""
    request = case()
    rng = random.Random(5)  # noqa: S311 - repeatable on purpose
    sizes = {
        t: {n: GIB if sized == "equal" else int(rng.lognormvariate(20, 1)) for n in its}
        for t, its in request.assignment.items()
    }
    plan = make_plan(replace(request, sizes=sizes))
    live = frozenset(b.id for b in request.brokers if b.live)
    batches = make_batches(plan.origin, plan.target, sizes=sizes, max_moves_per_broker=5, live=live)
    assert problems(plan, batches, sizes, live=live, limit=5) == []
    whole = traffic_of(plan.origin, plan.changes, sizes, live)
    assert whole.most_moves >= 40, "the case is too small to say anything"
    total, best = sum(batch.bytes for batch in batches), whole.least_bytes(5)
    assert total <= 1.1 * best, f"{total / best:.3f} times the bytes of the busiest broker"


# ---- cut off


@settings(max_examples=100)
@given(requests(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_walk_cut_off_anywhere_goes_on_to_the_same_loads_with_what_is_left(
    request_: PlanRequest, limit: int, rng: random.Random
) -> None:
    """Whole batches are done; of the last one some have arrived, and some are on their way."""
    plan = make_plan(request_)
    live = frozenset(b.id for b in request_.brokers if b.live)
    batches = make_batches(
        plan.origin, plan.target, sizes=request_.sizes, max_moves_per_broker=limit, live=live
    )
    state, held = copied(plan.origin), Lists()
    cut = rng.randint(0, len(batches))
    for batch in batches[:cut]:
        for topic, partitions in batch.entries.items():
            state[topic].update(partitions)
    for batch in batches[cut : cut + 1]:
        for topic, partitions in batch.entries.items():
            for number, after in partitions.items():
                if rng.random() < 0.5:
                    held.setdefault(topic, {})[number] = state[topic][number]
                state[topic][number] = after
    rest_request = replace(again(request_, state), held=held)
    rest = make_plan(rest_request)
    before = newcomers(request_, plan.target)
    arrived = {
        (t, n): its
        for (t, n), its in before.items()
        if state[t][n] == plan.target[t][n] and n not in held.get(t, {})
    }
    assert sum(map(len, arrived.values())) + rest.moves == plan.moves
    assert reached(rest_request, rest).imbalance == reached(request_, plan).imbalance
    if len({b.weight for b in request_.brokers}) == 1 and len(set(rack_of(request_).values())) < 2:
        assert sorted(loads(rest.target, request_.targets).values()) == (
            sorted(loads(plan.target, request_.targets).values())
        )


def test_a_large_walk_cut_off_half_way_ends_where_it_would_have() -> None:
    request = add_two()
    plan = make_plan(request)
    batches = make_batches(plan.origin, plan.target, sizes={}, max_moves_per_broker=5)
    state = copied(plan.origin)
    for batch in batches[: len(batches) // 2]:
        for topic, partitions in batch.entries.items():
            state[topic].update(partitions)
    states = {t: {n: PartitionState(r) for n, r in its.items()} for t, its in state.items()}
    left = remaining(states, plan.target)
    rest = make_plan(again(request, state))
    assert 0 < rest.moves == left.moves < plan.moves
    assert loads(rest.target, request.targets) == loads(plan.target, request.targets)


def test_the_search_for_better_batches_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no try left, the batches are as they were, and as valid."""
    request = remove_one()
    rng = random.Random(5)  # noqa: S311 - repeatable on purpose
    sizes = {
        t: {n: int(rng.lognormvariate(20, 1)) for n in its} for t, its in request.assignment.items()
    }
    plan = make_plan(replace(request, sizes=sizes))
    live = frozenset(b.id for b in request.brokers)
    best = make_batches(plan.origin, plan.target, sizes=sizes, max_moves_per_broker=5, live=live)
    monkeypatch.setattr(smooth, "_TRIES", 1)
    rough = make_batches(plan.origin, plan.target, sizes=sizes, max_moves_per_broker=5, live=live)
    assert problems(plan, rough, sizes, live=live, limit=5) == []
    assert sum(batch.bytes for batch in rough) > sum(batch.bytes for batch in best)
