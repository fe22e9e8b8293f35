"""The rules of a plan, one by one: what users may rely on, whatever their cluster looks like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_operator.core.planner import PlanRefusedError, PlanRequest, make_plan, to_json
from tests.unit.planner.cases import (
    SMALL,
    again,
    brokers,
    gap,
    leads,
    loads,
    newcomers,
    reached,
    reached_topics,
    requests,
    ring,
    topic_gaps,
    violations,
)
from tests.unit.planner.oracle import fewest_moves, held_by, most_even_topics

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from broker_operator.core.model import Assignment, Replicas
    from broker_operator.core.planner import Plan

MANY = settings(max_examples=100)
SOME = settings(max_examples=40)


# ---- what every plan has


@MANY
@given(requests(half_moved=True))
def test_a_plan_is_valid_and_its_figures_are_those_of_its_target(request_: PlanRequest) -> None:
    plan = make_plan(request_)
    assert violations(request_, plan.target) == []
    assert plan.moves == reached(request_, plan).changes
    assert plan.origin == request_.assignment
    assert plan.leader_changes == sum(
        replicas[:1] != request_.assignment[topic][number][:1]
        for topic, partitions in plan.target.items()
        for number, replicas in partitions.items()
    )


@MANY
@given(requests(half_moved=True), st.randoms(use_true_random=False))
def test_bytes_are_those_of_the_newcomers(request_: PlanRequest, rng: random.Random) -> None:
    sizes = {t: {n: rng.randint(0, 9) for n in its} for t, its in request_.assignment.items()}
    sized = replace(request_, sizes=sizes)
    plan = make_plan(sized)
    new = newcomers(sized, plan.target)
    assert plan.bytes == sum(sizes[t][n] * len(comers) for (t, n), comers in new.items())


@MANY
@given(requests(half_moved=True))
def test_the_plan_of_a_finished_plan_changes_neither_replicas_nor_leaders_nor_order(
    request_: PlanRequest,
) -> None:
    plan = make_plan(request_)
    next_plan = make_plan(again(request_, plan.target))
    assert next_plan.target == plan.target
    assert next_plan.changes == {}
    figures = (next_plan.moves, next_plan.lower_bound, next_plan.bytes, next_plan.leader_changes)
    assert figures == (0, 0, 0, 0)
    assert next_plan.optimal


@MANY
@given(requests(half_moved=True), st.randoms(use_true_random=False))
def test_the_same_input_in_any_order_gives_the_same_bytes(
    request_: PlanRequest, rng: random.Random
) -> None:
    def shuffled(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
        items = list(mapping.items())
        rng.shuffle(items)
        return dict(items)

    def deeply(mapping: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[int, Any]]:
        return shuffled({topic: shuffled(its) for topic, its in mapping.items()})

    def set_of(ids: frozenset[Any]) -> frozenset[Any]:
        return frozenset(rng.sample(sorted(ids), len(ids)))

    plan = make_plan(request_)
    other = make_plan(
        PlanRequest(
            assignment=deeply(request_.assignment),
            brokers=tuple(rng.sample(request_.brokers, len(request_.brokers))),
            targets=set_of(request_.targets),
            sizes=deeply(request_.sizes),
            excluded=set_of(request_.excluded),
            pinned=set_of(request_.pinned),
            factors=shuffled(request_.factors),
            held=deeply(request_.held),
        )
    )
    assert to_json(other.target) == to_json(plan.target)
    assert repr(other.target) == repr(plan.target)
    assert figures(other) == figures(plan)


def figures(plan: Plan) -> tuple[object, ...]:
    return plan.moves, plan.bytes, plan.lower_bound, plan.leader_changes, plan.optimal, plan.hash


@MANY
@given(requests(half_moved=True))
def test_names_of_topics_and_brokers_do_not_change_how_good_a_plan_is(
    request_: PlanRequest,
) -> None:
    """Ids and names only break ties: counted backwards, they give a plan that is as good."""

    def renamed(replicas: Replicas) -> Replicas:
        return tuple(999 - b for b in replicas)

    def deeply(assignment: Assignment) -> dict[str, dict[int, Replicas]]:
        return {
            f"x{99 - int(t[1:])}": {99 - n: renamed(r) for n, r in its.items()}
            for t, its in assignment.items()
        }

    other = PlanRequest(
        assignment=deeply(request_.assignment),
        brokers=tuple(replace(b, id=999 - b.id) for b in request_.brokers),
        targets=frozenset(renamed(tuple(request_.targets))),
        excluded=frozenset(renamed(tuple(request_.excluded))),
        pinned=frozenset(f"x{99 - int(t[1:])}" for t in request_.pinned),
        factors={f"x{99 - int(t[1:])}": f for t, f in request_.factors.items()},
        held=deeply(request_.held),
    )
    assert reached(other, make_plan(other)) == reached(request_, make_plan(request_))


# ---- adding, removing, replacing


@st.composite
def balanced(
    draw: st.DrawFn, *, racks: str = "", least: int = 2, weighted: bool = False
) -> tuple[PlanRequest, int]:
    """Return brokers to be added to a balanced start, and how many old ones there are."""
    old, new = draw(st.integers(least, 8)), draw(st.integers(1, 3))
    factor = draw(st.integers(1, min(3, old)))
    topics, partitions = draw(st.integers(1, 4)), draw(st.integers(1, 25))
    weights = {}
    if weighted:
        weights = {b: draw(st.sampled_from([0.5, 1.0, 2.0, 3.0])) for b in range(old + new)}
    everybody = brokers(range(old + new), racks, weights=weights)
    start = ring(partitions, old, factor, topics)
    even = make_plan(PlanRequest(start, everybody, frozenset(range(old)))).target
    return PlanRequest(even, everybody, frozenset(range(old + new))), old


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_adding_brokers_moves_nothing_between_old_ones(weighted: bool) -> None:  # noqa: FBT001 - a parameter
    @MANY
    @given(balanced(weighted=weighted))
    def check(case: tuple[PlanRequest, int]) -> None:
        request, old = case
        plan = make_plan(request)
        new = [b for b in request.targets if b >= old]
        assert {b for comers in newcomers(request, plan.target).values() for b in comers} <= {*new}
        assert plan.moves == sum(loads(plan.target, new).values())

    check()


@pytest.mark.parametrize("racks", ["ab", "abc", "aab"])
def test_adding_brokers_moves_between_old_ones_what_racks_force_and_no_more(racks: str) -> None:
    @SOME
    @given(balanced(racks=racks))
    def check(case: tuple[PlanRequest, int]) -> None:
        request, _ = case
        plan = make_plan(request)
        assert violations(request, plan.target) == []
        assert reached(request, plan) == fewest_moves(request)

    check()


@SOME
@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 30))
def test_brokers_added_to_every_rack_take_nothing_from_old_to_old(
    before: int, more: int, partitions: int
) -> None:
    """As many in each rack before and after: then the racks force nothing."""
    old, everybody = 3 * before, brokers(range(3 * (before + more)), "abc")
    start = {"orders": {n: (n % old, (n + 1) % old, (n + 2) % old) for n in range(partitions)}}
    even = make_plan(PlanRequest(start, everybody, frozenset(range(old)))).target
    request = PlanRequest(even, everybody, frozenset(range(len(everybody))))
    comers = newcomers(request, make_plan(request).target).values()
    assert all(b >= old for its in comers for b in its)


@MANY
@given(balanced(least=4), st.randoms(use_true_random=False))
def test_replacing_a_broker_moves_what_it_held(
    case: tuple[PlanRequest, int], rng: random.Random
) -> None:
    request, old = case
    gone = rng.randrange(old)
    swapped = frozenset({*range(old), old} - {gone})
    plan = make_plan(replace(request, targets=swapped))
    assert plan.moves == plan.lower_bound == loads(request.assignment, [gone])[gone]


@pytest.mark.parametrize(
    ("old", "topics", "partitions", "factor"),
    [(2, 6, 2, 1), (3, 6, 3, 1), (3, 10, 4, 2), (3, 40, 4, 3), (5, 12, 6, 3), (9, 30, 3, 3)],
)
def test_a_new_broker_never_gets_a_whole_topic(
    old: int, topics: int, partitions: int, factor: int
) -> None:
    everybody = brokers(range(old + 1))
    start = ring(partitions, old, factor, topics)
    even = make_plan(PlanRequest(start, everybody, frozenset(range(old)))).target
    request = PlanRequest(even, everybody, frozenset(range(old + 1)))
    plan = make_plan(request)
    shares = [loads({t: its}, [old])[old] for t, its in plan.target.items()]
    assert max(shares) < partitions
    assert max(shares) - min(shares) <= 1
    assert reached_topics(request, plan) == most_even_topics(request)


# ---- leaders


@SOME
@given(st.integers(2, 7), st.integers(2, 4), st.randoms(use_true_random=False))
def test_leaders_are_within_one_of_each_other_where_partitions_are_many(
    count: int, factor: int, rng: random.Random
) -> None:
    factor = min(factor, count)
    taste = [rng.random() for _ in range(count)]
    lists = {
        n: tuple(sorted(range(count), key=lambda b: -taste[b] * rng.random())[:factor])
        for n in range(20 * count)
    }
    targets = frozenset(range(count + rng.randint(0, 2)))
    plan = make_plan(PlanRequest({"orders": lists}, brokers(targets), targets))
    assert gap(leads(plan.target, targets)) <= 1


def test_leaders_that_must_change_are_the_only_ones_that_do() -> None:
    origin = ring(60, 4, 3)
    plan = make_plan(PlanRequest(origin, brokers(range(5)), frozenset({0, 1, 2, 4})))
    assert plan.leader_changes == 15
    assert leads(plan.target, [0, 1, 2, 4]) == dict.fromkeys([0, 1, 2, 4], 15)


# ---- weights


def test_loads_and_leaders_are_in_proportion_to_the_weights() -> None:
    origin = {"orders": dict.fromkeys(range(40), (0,))}
    everybody = brokers(range(3), weights={2: 2.0})
    plan = make_plan(PlanRequest(origin, everybody, frozenset(range(3))))
    assert loads(plan.target, range(3)) == {0: 10, 1: 10, 2: 20}
    assert leads(plan.target, range(3)) == {0: 10, 1: 10, 2: 20}
    assert plan.moves == plan.lower_bound == 30


def test_a_broker_holds_each_partition_once_however_large_its_weight() -> None:
    origin = ring(30, 4, 2)
    everybody = brokers(range(4), weights={3: 100.0})
    plan = make_plan(PlanRequest(origin, everybody, frozenset(range(4))))
    assert loads(plan.target, range(4)) == {0: 10, 1: 10, 2: 10, 3: 30}


def test_weights_count_within_a_rack_as_well_as_between_them() -> None:
    origin = {"orders": dict.fromkeys(range(30), (0, 1))}
    everybody = brokers(range(4), "ab", weights={0: 2.0})
    plan = make_plan(PlanRequest(origin, everybody, frozenset(range(4))))
    assert loads(plan.target, range(4)) == {0: 20, 1: 15, 2: 10, 3: 15}


@MANY
@given(requests(), st.sampled_from([2.0, 4.0, 0.5]))
def test_only_the_proportions_of_the_weights_count(request_: PlanRequest, scale: float) -> None:
    scaled = tuple(replace(b, weight=b.weight * scale) for b in request_.brokers)
    other = make_plan(replace(request_, brokers=scaled))
    assert other.target == make_plan(request_).target


@MANY
@given(requests(half_moved=True))
def test_weights_and_racks_of_brokers_that_are_no_targets_do_not_count(
    request_: PlanRequest,
) -> None:
    changed = tuple(
        b if b.id in request_.targets else replace(b, rack=None, weight=7.0)
        for b in request_.brokers
    )
    assert make_plan(replace(request_, brokers=changed)).target == make_plan(request_).target


# ---- pins, exclusions


def test_pinned_replicas_count_and_stay_however_bad_they_lie() -> None:
    origin: dict[str, dict[int, Replicas]] = {
        "fixed": dict.fromkeys(range(10), (0, 1)),
        "free": {n: (n % 2, 2) for n in range(10)},
    }
    request = PlanRequest(
        origin, brokers(range(4)), frozenset(range(4)), pinned=frozenset({"fixed"})
    )
    plan = make_plan(request)
    assert plan.target["fixed"] == origin["fixed"]
    assert loads(plan.target, range(4)) == dict.fromkeys(range(4), 10)
    assert leads(plan.target, range(4)) == {0: 10, 1: 0, 2: 5, 3: 5}
    assert (plan.moves, plan.lower_bound) == (10, 10)


def test_pinning_every_topic_leaves_nothing_to_do() -> None:
    origin = {"orders": dict.fromkeys(range(9), (0, 1))}
    request = PlanRequest(origin, brokers(range(3)), frozenset(range(3)), pinned=frozenset(origin))
    plan = make_plan(request)
    assert (plan.changes, plan.moves, plan.lower_bound, plan.leader_changes) == ({}, 0, 0, 0)
    assert plan.optimal


def test_an_excluded_broker_keeps_what_it_has_and_receives_nothing() -> None:
    origin = {"orders": {n: (n % 2,) for n in range(20)}, "logs": dict.fromkeys(range(4), (2,))}
    request = PlanRequest(origin, brokers(range(4)), frozenset(range(4)), excluded=frozenset({2}))
    plan = make_plan(request)
    after = loads(plan.target, range(4))
    assert (after[2], after[3]) == (4, 6)
    assert plan.target["logs"] == origin["logs"]
    assert plan.moves == 6


def test_an_excluded_broker_that_has_too_much_may_give() -> None:
    origin = {"orders": dict.fromkeys(range(12), (0,))}
    request = PlanRequest(origin, brokers(range(3)), frozenset(range(3)), excluded=frozenset({0}))
    assert loads(make_plan(request).target, range(3)) == {0: 4, 1: 4, 2: 4}


def test_a_rack_whose_brokers_are_all_excluded_lifts_the_cap_where_it_must() -> None:
    """Three racks of two; rack c receives nothing, and only the first partition is there."""
    origin: dict[str, dict[int, Replicas]] = {"orders": {0: (0, 1, 2), 1: (0, 1, 3)}}
    request = PlanRequest(
        origin, brokers(range(6), "abc"), frozenset(range(6)), excluded=frozenset({2, 5})
    )
    plan = make_plan(request)
    assert violations(request, plan.target) == []
    assert 2 in plan.target["orders"][0]
    assert set(plan.target["orders"][1]) < {0, 1, 3, 4}


@MANY
@given(requests(half_moved=True))
def test_excluded_brokers_receive_nothing_and_pinned_topics_stay(request_: PlanRequest) -> None:
    plan = make_plan(request_)
    for comers in newcomers(request_, plan.target).values():
        assert request_.excluded.isdisjoint(comers)
    for topic in request_.pinned:
        assert plan.target[topic] == request_.assignment[topic]


# ---- replication factors


def test_fewer_replicas_move_nothing_where_dropping_alone_balances() -> None:
    request = PlanRequest(
        ring(60, 3, 3), brokers(range(3)), frozenset(range(3)), factors={"topic-000": 2}
    )
    plan = make_plan(request)
    assert (plan.moves, plan.lower_bound, plan.leader_changes) == (0, 0, 0)
    assert loads(plan.target, range(3)) == dict.fromkeys(range(3), 40)


def test_more_replicas_cost_one_move_each_and_change_no_leader() -> None:
    request = PlanRequest(
        ring(60, 4, 2), brokers(range(4)), frozenset(range(4)), factors={"topic-000": 3}
    )
    plan = make_plan(request)
    assert (plan.moves, plan.lower_bound, plan.leader_changes) == (60, 60, 0)
    assert loads(plan.target, range(4)) == dict.fromkeys(range(4), 45)


def test_each_topic_may_get_a_factor_of_its_own_and_the_others_keep_theirs() -> None:
    origin = ring(30, 5, 2, topics=3)
    request = PlanRequest(
        origin,
        brokers(range(5)),
        frozenset(range(5)),
        factors={"topic-000": 3, "topic-001": 1},
    )
    plan = make_plan(request)
    factors = {t: {len(r) for r in its.values()} for t, its in plan.target.items()}
    assert factors == {"topic-000": {3}, "topic-001": {1}, "topic-002": {2}}
    assert plan.moves == 30
    assert gap(loads(plan.target, range(5))) == 0


def test_fewer_replicas_are_taken_from_the_rack_that_has_too_many() -> None:
    origin = {"orders": dict.fromkeys(range(9), (0, 3, 1))}
    request = PlanRequest(
        origin, brokers(range(6), "abc"), frozenset(range(6)), factors={"orders": 2}
    )
    plan = make_plan(request)
    assert violations(request, plan.target) == []
    assert reached(request, plan) == fewest_moves(request)


def test_a_factor_that_is_met_changes_nothing() -> None:
    origin = make_plan(PlanRequest(ring(60, 4, 3), brokers(range(4)), frozenset(range(4)))).target
    request = PlanRequest(origin, brokers(range(4)), frozenset(range(4)), factors={"topic-000": 3})
    assert make_plan(request).changes == {}


# ---- half-moved starts


def test_a_move_under_way_that_is_still_wanted_is_kept_and_counted() -> None:
    balanced_ = {"orders": {n: (n % 3,) for n in range(9)}}
    held: dict[str, dict[int, Replicas]] = {"orders": {2: (0,), 5: (1,)}}
    plan = make_plan(PlanRequest(balanced_, brokers(range(3)), frozenset(range(3)), held=held))
    assert plan.moves == plan.lower_bound == 2
    assert sorted(loads(plan.target, range(3)).values()) == [3, 3, 3]


def test_a_move_under_way_that_is_no_longer_wanted_goes_home_for_nothing() -> None:
    taken = {"orders": {0: (0,), 1: (1,), 2: (2,), 3: (2,)}}
    held: dict[str, dict[int, Replicas]] = {"orders": {2: (0,), 3: (1,)}}
    plan = make_plan(PlanRequest(taken, brokers(range(3)), frozenset({0, 1}), held=held))
    assert plan.target == {"orders": {0: (0,), 1: (1,), 2: (0,), 3: (1,)}}
    assert (plan.moves, plan.bytes) == (0, 0)


def test_a_broker_that_dies_while_it_receives_loses_nothing() -> None:
    everybody = brokers(range(3), dead=[2])
    held: dict[str, dict[int, Replicas]] = {"orders": {0: (0,)}}
    request = PlanRequest({"orders": {0: (2,)}}, everybody, frozenset({0, 1}), held=held)
    plan = make_plan(request)
    assert (plan.target, plan.moves) == ({"orders": {0: (0,)}}, 0)


def test_a_copy_that_is_not_there_yet_is_no_live_replica() -> None:
    everybody = brokers(range(3), dead=[2])
    held: dict[str, dict[int, Replicas]] = {"orders": {0: (2,)}}
    request = PlanRequest({"orders": {0: (0,)}}, everybody, frozenset({0, 1}), held=held)
    assert refusal(request).reason == "NoLiveReplica"


def test_an_excluded_broker_that_is_receiving_may_not_go_on() -> None:
    """It has no copy yet, and it shall receive nothing."""
    held: dict[str, dict[int, Replicas]] = {"orders": {0: (0,)}}
    request = PlanRequest(
        {"orders": {0: (1,)}},
        brokers(range(2)),
        frozenset({0, 1}),
        excluded=frozenset({1}),
        held=held,
    )
    assert make_plan(request).target == {"orders": {0: (0,)}}


@MANY
@given(requests(half_moved=False), st.randoms(use_true_random=False))
def test_a_plan_cut_off_half_way_goes_on_to_an_end_as_good_with_what_is_left(
    request_: PlanRequest, rng: random.Random
) -> None:
    """Some partitions have arrived, some are on their way, some have not begun."""
    plan = make_plan(request_)
    assignment: dict[str, dict[int, Replicas]] = {}
    held: dict[str, dict[int, Replicas]] = {}
    done = 0
    for topic, partitions in plan.target.items():
        for number, after in partitions.items():
            before = request_.assignment[topic][number]
            state = rng.choice(["arrived", "on its way", "not begun"])
            assignment.setdefault(topic, {})[number] = before if state == "not begun" else after
            if state == "on its way":
                held.setdefault(topic, {})[number] = before
            elif state == "arrived":
                done += len(set(after) - held_by(request_, topic, number))
    # An excluded broker that has given up a replica cannot have it back, pinned ones never move.
    cut = replace(again(request_, {**plan.target, **assignment}), held=held)
    rest = make_plan(cut)
    assert done + rest.moves == plan.moves
    assert reached(cut, rest).imbalance == reached(request_, plan).imbalance


# ---- bytes


@MANY
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20))
def test_of_one_topic_the_smallest_partitions_go_from_one_broker_to_another(
    sizes: list[int],
) -> None:
    origin = {"orders": dict.fromkeys(range(len(sizes)), (0,))}
    request = PlanRequest(
        origin, brokers(range(2)), frozenset({0, 1}), {"orders": dict(enumerate(sizes))}
    )
    plan = make_plan(request)
    assert plan.moves == len(sizes) // 2
    assert plan.bytes == sum(sorted(sizes)[: len(sizes) // 2])


@MANY
@given(st.lists(st.integers(0, 10**6), min_size=12, max_size=12))
def test_every_giver_gives_its_smallest(sizes: list[int]) -> None:
    origin = {"orders": {n: (n % 2,) for n in range(12)}}
    request = PlanRequest(
        origin, brokers(range(3)), frozenset(range(3)), {"orders": dict(enumerate(sizes))}
    )
    plan = make_plan(request)
    fewest = sum(sum(sorted(sizes[giver::2])[:2]) for giver in (0, 1))
    assert (plan.moves, plan.bytes) == (4, fewest)


@MANY
@given(st.lists(st.integers(0, 10**6), min_size=12, max_size=12))
def test_no_smaller_partition_could_move_instead(sizes: list[int]) -> None:
    """Not between the same two brokers, and led by the giver if the larger one is."""
    origin = {"orders": {n: (0, 1) if n % 2 else (1, 0) for n in range(12)}}
    request = PlanRequest(
        origin, brokers(range(3)), frozenset(range(3)), {"orders": dict(enumerate(sizes))}
    )
    plan = make_plan(request)
    assert (plan.moves, plan.leader_changes) == (8, 4)
    target = plan.target["orders"]
    for giver in (0, 1):
        for led in (True, False):
            its = [n for n, r in origin["orders"].items() if (r[0] == giver) is led]
            gone = [sizes[n] for n in its if giver not in target[n]]
            stay = [sizes[n] for n in its if target[n] == origin["orders"][n]]
            assert max(gone, default=0) <= min(stay, default=10**6)


@MANY
@given(requests(half_moved=True), st.randoms(use_true_random=False))
def test_a_missing_size_counts_as_the_mean_of_the_known_ones(
    request_: PlanRequest, rng: random.Random
) -> None:
    """Known sizes come in pairs that lie as far above the mean as below it.

    Whether the sizes of pinned topics are among the known ones is left open.
    """
    mean = 50
    names = [
        (topic, n)
        for topic, its in request_.assignment.items()
        for n in its
        if topic not in request_.pinned
    ]
    pairs = rng.randint(1, max(1, len(names) // 2))
    known: dict[str, dict[int, int]] = {}
    for at, (topic, number) in enumerate(rng.sample(names, min(2 * pairs, len(names) // 2 * 2))):
        distance = at // 2 % mean
        known.setdefault(topic, {})[number] = mean + (distance if at % 2 else -distance)
    whole = {
        t: {n: known.get(t, {}).get(n, mean) for n in its} for t, its in request_.assignment.items()
    }
    plan = make_plan(replace(request_, sizes=whole))
    assert make_plan(replace(request_, sizes=known)).target == plan.target


@MANY
@given(requests(half_moved=True))
def test_sizes_decide_between_equals_only(request_: PlanRequest) -> None:
    plan, blind = make_plan(request_), make_plan(replace(request_, sizes={}))
    assert reached(request_, plan) == reached(request_, blind)
    assert reached_topics(request_, plan) == reached_topics(request_, blind)


# ---- large and odd shapes


def test_one_huge_topic_among_many_tiny_ones() -> None:
    tiny = {f"tiny-{t:03}": {0: (t % 9, (t + 1) % 9)} for t in range(300)}
    huge = {"huge": ring(10_000, 9, 3)["topic-000"]}
    everybody, old = brokers(range(10)), frozenset(range(9))
    start = make_plan(PlanRequest({**huge, **tiny}, everybody, old)).target
    plan = make_plan(PlanRequest(start, everybody, frozenset(range(10))))
    assert plan.moves == plan.lower_bound == 30_600 // 10
    assert gap(leads(plan.target, range(10))) <= 1
    assert topic_gaps(plan.target, range(10))["huge"] <= 60


def test_a_single_broker_holds_everything_and_leads_it() -> None:
    plan = make_plan(PlanRequest({"orders": {0: (0,), 1: (0,)}}, brokers([0]), frozenset({0})))
    assert (plan.changes, plan.moves, plan.optimal) == ({}, 0, True)


# ---- refusals


def refusal(request: PlanRequest) -> PlanRefusedError:
    with pytest.raises(PlanRefusedError) as refused:
        make_plan(request)
    return refused.value


ORIGIN: Assignment = {"orders": {0: (0, 1, 2), 1: (1, 2, 0)}, "logs": {0: (0, 1)}}


@pytest.mark.parametrize(
    ("request_", "reason", "said"),
    [
        pytest.param(
            PlanRequest(ORIGIN, brokers(range(4)), frozenset()),
            "NoTargetBrokers", [],
            id="nobody is left",
        ),
        pytest.param(
            PlanRequest(ORIGIN, brokers(range(4)), frozenset({0, 1})),
            "ReplicationFactorTooHigh", ["orders", "3", "2 brokers"],
            id="more replicas than brokers",
        ),
        pytest.param(
            PlanRequest(ORIGIN, brokers(range(4)), frozenset(range(4)), factors={"logs": 5}),
            "ReplicationFactorTooHigh", ["logs", "5", "4 brokers"],
            id="more replicas wanted than there are brokers",
        ),
        pytest.param(
            PlanRequest(ORIGIN, brokers(range(4)), frozenset({0, 1, 7, 9})),
            "UnknownBroker", ["7", "9"],
            id="a target that does not exist",
        ),
        pytest.param(
            PlanRequest(ORIGIN, brokers(range(4)), frozenset(range(4)), excluded=frozenset({8})),
            "UnknownBroker", ["8"],
            id="an excluded broker that does not exist",
        ),
        pytest.param(
            PlanRequest(
                ORIGIN, brokers(range(4)), frozenset(range(4)), pinned=frozenset({"log", "x"})
            ),
            "UnknownTopic", ["log", "x"],
            id="a pinned topic that does not exist",
        ),
        pytest.param(
            PlanRequest(ORIGIN, brokers(range(4)), frozenset(range(4)), factors={"log": 2}),
            "UnknownTopic", ["log"],
            id="a factor for a topic that does not exist",
        ),
        pytest.param(
            PlanRequest(
                {"orders": {0: (0, 1, 5)}}, brokers(range(6)), frozenset(range(4)),
                excluded=frozenset({2, 3}),
            ),
            "ReplicationFactorTooHigh", ["orders", "3", "2 brokers"],
            id="too many brokers excluded",
        ),
        pytest.param(
            PlanRequest(
                ORIGIN, brokers(range(4)), frozenset({1, 2, 3}), pinned=frozenset({"orders"})
            ),
            "PinnedTopicOnLeavingBroker", ["orders", "0"],
            id="a pinned topic on a broker that leaves",
        ),
        pytest.param(
            PlanRequest(
                ORIGIN, brokers(range(4), dead=[2]), frozenset({0, 1, 3}),
                pinned=frozenset({"orders"}),
            ),
            "PinnedTopicOnLeavingBroker", ["orders", "2"],
            id="a pinned topic on a dead broker",
        ),
        pytest.param(
            PlanRequest({"orders": {0: (3,)}}, brokers(range(4), dead=[3]), frozenset({0, 1})),
            "NoLiveReplica", ["1", "orders-0"],
            id="nothing to copy from",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_reason_and_numbers(
    request_: PlanRequest, reason: str, said: list[str]
) -> None:
    refused = refusal(request_)
    assert refused.reason == reason
    for word in said:
        assert word in refused.message
    assert len(refused.message.splitlines()) == 1


def test_excluded_brokers_count_for_the_partitions_that_they_hold() -> None:
    """Two may receive, the third already has its replica: that is enough."""
    origin = {"orders": {0: (0, 1, 2)}}
    request = PlanRequest(origin, brokers(range(3)), frozenset(range(3)), excluded=frozenset({2}))
    assert make_plan(request).changes == {}


def test_each_partition_counts_by_itself_where_factors_are_mixed() -> None:
    """The large one lies on the excluded broker already, the small one needs no third."""
    origin: dict[str, dict[int, Replicas]] = {"orders": {0: (0, 1, 2), 1: (0,)}}
    request = PlanRequest(origin, brokers(range(3)), frozenset(range(3)), excluded=frozenset({2}))
    plan = make_plan(request)
    assert set(plan.target["orders"][0]) == {0, 1, 2}


def test_a_lower_factor_makes_room_for_fewer_brokers() -> None:
    request = PlanRequest(ORIGIN, brokers(range(4)), frozenset({0, 1}), factors={"orders": 2})
    plan = make_plan(request)
    assert (plan.moves, loads(plan.target, {0, 1})) == (0, {0: 3, 1: 3})


def test_a_pinned_topic_may_have_more_replicas_than_brokers_may_receive() -> None:
    request = PlanRequest(
        ORIGIN,
        brokers(range(3)),
        frozenset(range(3)),
        excluded=frozenset({1, 2}),
        pinned=frozenset({"orders"}),
    )
    assert make_plan(request).target["orders"] == ORIGIN["orders"]


@SOME
@given(requests(SMALL, half_moved=True))
def test_a_request_that_has_a_plan_is_not_refused(request_: PlanRequest) -> None:
    make_plan(request_)
