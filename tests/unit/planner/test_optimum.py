"""Every plan against the exact optimum of a flow that knows nothing of the planner."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from broker_operator.core.planner import PlanRequest, make_plan
from tests.unit.planner.cases import (
    brokers,
    exhaustive,
    reached,
    reached_leaders,
    requests,
    violations,
)
from tests.unit.planner.oracle import fewest_leader_changes, fewest_moves

if TYPE_CHECKING:
    from broker_operator.core.model import Replicas

THOROUGH = settings(max_examples=100)


@settings(max_examples=150)
@given(requests(most_brokers=4, most_partitions=4, most_topics=2))
def test_the_oracle_finds_what_trying_everything_finds(request_: PlanRequest) -> None:
    assert fewest_moves(request_) == exhaustive(request_)


@THOROUGH
@given(requests())
def test_balance_and_moves_are_the_best_possible(request_: PlanRequest) -> None:
    plan = make_plan(request_)
    assert violations(request_, plan.target) == []
    assert reached(request_, plan) == fewest_moves(request_)
    assert plan.lower_bound <= plan.moves
    assert plan.optimal


@THOROUGH
@given(requests())
def test_preferred_leaders_are_as_even_as_possible_with_the_fewest_changes(
    request_: PlanRequest,
) -> None:
    plan = make_plan(request_)
    assert reached_leaders(request_, plan) == fewest_leader_changes(plan)


@THOROUGH
@given(requests())
def test_a_finished_plan_needs_no_further_plan(request_: PlanRequest) -> None:
    target = make_plan(request_).target
    again = make_plan(PlanRequest(target, request_.brokers, request_.targets, request_.sizes))
    assert again.changes == {}
    assert (again.moves, again.lower_bound, again.leader_changes, again.bytes) == (0, 0, 0, 0)


def scattered(seed: int, partitions: int) -> PlanRequest:
    """Make a larger case: 3 to 12 brokers, skewed, some leaving, some dead."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    ids = rng.sample(range(200), rng.randint(5, 12))
    targets = sorted(ids)[: rng.randint(4, len(ids))]
    leaving = [b for b in ids if b not in targets]
    dead = leaving[: rng.randint(0, 1)]
    taste = {b: rng.random() ** rng.choice([0, 0.5, 2]) for b in ids}
    assignment: dict[str, dict[int, Replicas]] = {}
    for t in range(5):
        factor = rng.randint(2, 3)
        draws = (sorted(ids, key=lambda b: -taste[b] * rng.random()) for _ in count())
        lists = (tuple(order[:factor]) for order in draws)
        assignment[f"topic-{t}"] = {n: next(lists) for n in range(partitions // 5)}
    racks = rng.choice(["", "ab", "abc", "abcd"])
    return PlanRequest(assignment, brokers(ids, racks, dead), frozenset(targets))


@pytest.mark.parametrize("seed", range(20))
def test_larger_skewed_starts_reach_the_optimum_too(seed: int) -> None:
    request = scattered(seed, partitions=60)
    plan = make_plan(request)
    assert violations(request, plan.target) == []
    assert reached(request, plan) == fewest_moves(request)
    assert reached_leaders(request, plan) == fewest_leader_changes(plan)


def test_counting_alone_proves_the_optimum_where_partitions_far_outnumber_brokers() -> None:
    """Without racks and with replication factors well below the number of brokers."""
    rng = random.Random(7)  # noqa: S311 - repeatable on purpose
    for _ in range(60):
        before, after = rng.sample(range(5, 11), 2)
        ids = range(max(before, after))
        lists = {n: tuple(rng.sample(range(before), 3)) for n in range(150)}
        plan = make_plan(PlanRequest({"orders": lists}, brokers(ids), frozenset(range(after))))
        assert plan.moves == plan.lower_bound
