"""What users do: add brokers, remove brokers, replace brokers, with racks and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_operator.core.planner import PlanRequest, make_plan
from tests.unit.planner.cases import (
    brokers,
    gap,
    leads,
    loads,
    ring,
    topic_gaps,
    violations,
)

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment

GIB = 1 << 30


def rescale(before: int, after: int, *, partitions: int = 60, topics: int = 4) -> PlanRequest:
    """Ask for another number of brokers, from a balanced start."""
    everybody = brokers(range(max(before, after)))
    now = frozenset(range(before))
    start = make_plan(PlanRequest(ring(partitions, before, 3, topics), everybody, now)).target
    return PlanRequest(start, everybody, frozenset(range(after)))


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [(3, 4, 180), (4, 3, 180), (3, 5, 288), (5, 3, 288), (6, 7, 102), (6, 5, 120), (5, 5, 0)],
)
def test_scaling_takes_exactly_the_share_of_the_brokers_that_come_or_go(
    before: int, after: int, moves: int
) -> None:
    request = rescale(before, after)
    plan = make_plan(request)
    assert violations(request, plan.target) == []
    assert (plan.moves, plan.lower_bound, plan.optimal) == (moves, moves, True)
    assert gap(loads(plan.target, request.targets)) <= 1
    assert gap(leads(plan.target, request.targets)) <= 1
    assert max(topic_gaps(plan.target, request.targets).values()) <= 2


@given(st.integers(3, 9), st.integers(1, 3), st.integers(1, 40))
@settings(max_examples=50)
def test_adding_brokers_moves_nothing_between_old_ones(old: int, new: int, partitions: int) -> None:
    plan = make_plan(rescale(old, old + new, partitions=partitions))
    for topic, changed in plan.changes.items():
        for number, replicas in changed.items():
            added = set(replicas) - set(plan.origin[topic][number])
            assert all(broker >= old for broker in added)


def test_adding_a_broker_gives_it_a_part_of_every_topic_and_never_a_whole_one() -> None:
    request = rescale(6, 7, partitions=28, topics=10)
    plan = make_plan(request)
    for topic, partitions in plan.target.items():
        assert loads({topic: partitions}, [6])[6] == pytest.approx(28 * 3 / 7, abs=1), topic


def test_a_new_broker_leads_its_share_and_nobody_else_changes() -> None:
    plan = make_plan(rescale(3, 4))
    assert leads(plan.target, range(4)) == dict.fromkeys(range(4), 60)
    assert plan.leader_changes == 60


def test_leaders_that_all_sit_on_one_broker_are_spread_without_a_move() -> None:
    origin = {"orders": dict.fromkeys(range(30), (0, 1, 2))}
    plan = make_plan(PlanRequest(origin, brokers(range(3)), frozenset(range(3))))
    assert (plan.moves, plan.leader_changes) == (0, 20)
    assert leads(plan.target, range(3)) == dict.fromkeys(range(3), 10)


def test_replacing_a_broker_moves_what_it_held_and_nothing_else() -> None:
    origin = ring(60, 4, 3, topics=4)
    plan = make_plan(PlanRequest(origin, brokers(range(5)), frozenset({0, 1, 2, 4})))
    assert plan.moves == plan.lower_bound == 180
    for topic, partitions in plan.target.items():
        for number, replicas in partitions.items():
            assert {4 if b == 3 else b for b in origin[topic][number]} == set(replicas)


def test_a_dead_broker_that_is_no_target_counts_as_lost() -> None:
    origin = ring(60, 4, 3)
    plan = make_plan(PlanRequest(origin, brokers(range(4), dead=[2]), frozenset({0, 1, 3})))
    assert plan.moves == 45
    assert 2 not in loads(plan.target, plan.target["topic-000"][0])


def test_brokers_of_one_rack_hold_each_partition_once_where_the_racks_allow() -> None:
    origin = {"orders": dict.fromkeys(range(30), (0, 3, 6))}  # all three in rack a
    request = PlanRequest(origin, brokers(range(9), "abc"), frozenset(range(9)))
    plan = make_plan(request)
    assert violations(request, plan.target) == []
    assert loads(plan.target, range(9)) == dict.fromkeys(range(9), 10)
    assert plan.moves == plan.lower_bound == 60


def test_a_broker_added_to_one_rack_relieves_only_that_rack() -> None:
    origin = {
        "orders": {n: (n % 3 * 3, (n // 3 % 3) * 3 + 1, 8 - n // 9 % 3 * 3) for n in range(81)}
    }
    request = PlanRequest(origin, brokers(range(10), "abc"), frozenset(range(10)))
    plan = make_plan(request)
    after = loads(plan.target, range(10))
    assert {b: after[b] for b in (1, 2, 4, 5, 7, 8)} == dict.fromkeys((1, 2, 4, 5, 7, 8), 27)
    assert sorted(after[b] for b in (0, 3, 6, 9)) == [20, 20, 20, 21]
    assert plan.moves == plan.lower_bound == 20


def test_racks_mean_nothing_while_a_target_broker_has_none() -> None:
    some = (*brokers(range(3), "a"), *brokers(range(3, 6), "b"), *brokers([6]))
    origin = {"orders": {0: (0, 1, 2)}}
    assert make_plan(PlanRequest(origin, some, frozenset(range(7)))).moves == 0
    assert make_plan(PlanRequest(origin, some, frozenset(range(6)))).moves == 1


def test_more_replicas_than_racks_lie_as_evenly_over_them_as_they_can() -> None:
    origin = {"orders": dict.fromkeys(range(8), (0, 2, 4, 6))}
    request = PlanRequest(origin, brokers(range(8), "ab"), frozenset(range(8)))
    plan = make_plan(request)
    assert violations(request, plan.target) == []
    assert gap(loads(plan.target, range(8))) == 0


def test_mixed_replication_factors_fill_the_rack_that_single_replicas_may_choose() -> None:
    origin: Assignment = {
        "ledger": dict.fromkeys(range(12), (0, 1, 2)),
        "logs": {n: (n % 3,) for n in range(24)},
    }
    request = PlanRequest(origin, brokers(range(4), "abc"), frozenset(range(4)))
    plan = make_plan(request)
    assert loads(plan.target, range(4)) == dict.fromkeys(range(4), 15)
    assert plan.moves == plan.lower_bound == 15


def test_the_smallest_partitions_go_where_nothing_else_decides() -> None:
    origin = {"orders": dict.fromkeys(range(6), (0,))}
    sizes = {"orders": dict(enumerate([5 * GIB, GIB, 4 * GIB, 2 * GIB, 3 * GIB, 6 * GIB]))}
    plan = make_plan(PlanRequest(origin, brokers(range(2)), frozenset({0, 1}), sizes))
    assert plan.changes == {"orders": {1: (1,), 3: (1,), 4: (1,)}}
    assert plan.bytes == 6 * GIB


def test_unknown_sizes_count_as_the_mean_of_the_known_ones() -> None:
    origin = {"orders": {0: (0,), 1: (0,)}}
    both = brokers(range(2))
    known = PlanRequest(origin, both, frozenset({1}), {"orders": {0: 100}})
    assert make_plan(known).bytes == 200
    assert make_plan(PlanRequest(origin, both, frozenset({1}))).bytes == 0


def test_a_newcomer_takes_the_place_of_the_replica_it_replaces() -> None:
    origin = {"orders": {0: (0, 1, 2), 1: (1, 2, 0), 2: (2, 0, 1)}}
    plan = make_plan(PlanRequest(origin, brokers(range(4)), frozenset({0, 1, 3})))
    assert plan.target == {"orders": {0: (0, 1, 3), 1: (1, 3, 0), 2: (3, 0, 1)}}


def test_partitions_without_replicas_and_empty_topics_stay_as_they_are() -> None:
    origin = {"orders": {0: ()}, "empty": {}}
    plan = make_plan(PlanRequest(origin, brokers(range(2)), frozenset({0, 1})))
    assert plan.target == origin
    assert (plan.moves, plan.lower_bound, plan.changes) == (0, 0, {})


def test_a_large_cluster_takes_the_fewest_moves_and_stays_even_in_every_respect() -> None:
    request = PlanRequest(ring(500, 30, 3, topics=20), brokers(range(31)), frozenset(range(31)))
    plan = make_plan(request)
    assert plan.moves == plan.lower_bound
    assert loads(plan.target, [30])[30] == pytest.approx(30_000 / 31, abs=1)
    assert gap(loads(plan.target, request.targets)) <= 1
    assert gap(leads(plan.target, request.targets)) <= 1
    assert max(topic_gaps(plan.target, request.targets).values()) <= 1


def test_a_plan_names_its_changes_and_is_known_by_its_origin_and_its_target() -> None:
    origin = {"orders": {0: (0, 1), 1: (1, 2)}, "logs": {0: (2, 3)}}
    everybody, targets = brokers(range(4)), frozenset({1, 2, 3})
    plan = make_plan(PlanRequest(origin, everybody, targets))
    assert plan.changes == {"orders": {0: (3, 1)}}
    assert plan.hash == "a45fd219fbd7"
    assert make_plan(PlanRequest(origin, everybody, targets)).hash == plan.hash
    assert make_plan(PlanRequest(plan.target, everybody, targets)).hash != plan.hash
