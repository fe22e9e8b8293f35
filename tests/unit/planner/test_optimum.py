"""Every plan against the exact optimum of a flow that knows nothing of the planner.

2,000 small requests and 200 medium ones, each made from its seed, and every difference is a bug.
To look at one: `seeded(SEED, SMALL)`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from broker_operator.core.planner import PlanRequest, make_plan
from tests.unit.planner.cases import (
    MEDIUM,
    SMALL,
    TINY,
    Everything,
    Shape,
    brokers,
    every_leader,
    reached,
    reached_leaders,
    reached_topics,
    requests,
    seeded,
    violations,
)
from tests.unit.planner.oracle import (
    fewest_leader_changes,
    fewest_moves,
    most_even_topics,
    weight_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SMALL_BATCHES = [range(start, start + 100) for start in range(0, 2000, 100)]
MEDIUM_BATCHES = [range(start, start + 20) for start in range(0, 200, 20)]
BATCHES = [
    *(pytest.param(SMALL, seeds, id=f"small {seeds[0]}") for seeds in SMALL_BATCHES),
    *(pytest.param(MEDIUM, seeds, id=f"medium {seeds[0]}") for seeds in MEDIUM_BATCHES),
]


def differences(
    shape: Shape, seeds: Iterable[int], judge: Callable[[PlanRequest], list[str]]
) -> dict[str, list[str]]:
    """Return what is wrong with the plans, by seed."""
    found: dict[str, list[str]] = {}
    for seed in seeds:
        request = seeded(seed, shape)
        try:
            wrong = judge(request)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        if wrong:
            found[f"seed {seed}"] = wrong
    return found


def judge_moves(request: PlanRequest) -> list[str]:
    plan = make_plan(request)
    wrong = violations(request, plan.target)
    if wrong:
        return wrong
    found, best = reached(request, plan), fewest_moves(request)
    if found.imbalance != best.imbalance:
        wrong.append(f"imbalance {found.imbalance}, but {best.imbalance} is possible")
    elif found.changes != best.changes:
        wrong.append(f"{found.changes} moves, but {best.changes} are enough")
    if plan.moves != found.changes:
        wrong.append(f"says {plan.moves} moves, makes {found.changes}")
    if plan.lower_bound > best.changes:
        wrong.append(f"lower bound {plan.lower_bound} above the optimum of {best.changes}")
    if not plan.optimal:
        wrong.append("does not say that it is optimal")
    return wrong


def judge_leaders(request: PlanRequest) -> list[str]:
    plan = make_plan(request)
    found, best = reached_leaders(request, plan), fewest_leader_changes(request, plan.target)
    wrong = [] if found == best else [f"{found}, but {best} is possible"]
    if plan.leader_changes != found.changes:
        wrong.append(f"says {plan.leader_changes} changes, makes {found.changes}")
    return wrong


def judge_topics(request: PlanRequest) -> list[str]:
    plan = make_plan(request)
    found, best = reached_topics(request, plan), most_even_topics(request)
    return [] if found == best else [f"topics are uneven by {found}, but {best} is possible"]


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, 500, 100)])
def test_the_oracle_finds_what_trying_everything_finds(seeds: range) -> None:
    for seed in seeds:
        request = seeded(seed, TINY)
        every = Everything(request)
        assert fewest_moves(request) == every.optimum, f"seed {seed}"
        assert most_even_topics(request) == every.topics, f"seed {seed}"


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, 300, 100)])
def test_the_oracle_of_leaders_finds_what_trying_everything_finds(seeds: range) -> None:
    """The start with what is not on a target broker left out is as good a placement as any."""
    for seed in seeds:
        request = seeded(seed, TINY)
        target = {
            topic: {n: tuple(b for b in r if b in request.targets) for n, r in partitions.items()}
            for topic, partitions in request.assignment.items()
        }
        found = fewest_leader_changes(request, target)
        assert found == every_leader(request, target), f"seed {seed}"


@pytest.mark.parametrize(("shape", "seeds"), BATCHES)
def test_balance_and_moves_are_the_best_possible(shape: Shape, seeds: range) -> None:
    assert differences(shape, seeds, judge_moves) == {}


@pytest.mark.parametrize(("shape", "seeds"), BATCHES)
def test_preferred_leaders_are_as_even_as_can_be_with_the_fewest_changes(
    shape: Shape, seeds: range
) -> None:
    assert differences(shape, seeds, judge_leaders) == {}


@pytest.mark.parametrize("seeds", SMALL_BATCHES)
def test_topics_are_as_even_as_balance_and_moves_allow(seeds: range) -> None:
    assert differences(SMALL, (s for s in seeds if not unequal(s)), judge_topics) == {}


@pytest.mark.parametrize("seeds", SMALL_BATCHES)
def test_topics_follow_the_weights_as_far_as_balance_and_moves_allow(seeds: range) -> None:
    assert differences(SMALL, (s for s in seeds if unequal(s)), judge_topics) == {}


def unequal(seed: int) -> bool:
    return len(set(weight_of(seeded(seed, SMALL)).values())) > 1


@settings(max_examples=100)
@given(requests(half_moved=True))
def test_whatever_hypothesis_makes_up_is_no_worse_than_the_optimum(request_: PlanRequest) -> None:
    assert judge_moves(request_) == []


def test_counting_alone_proves_the_optimum_where_partitions_far_outnumber_brokers() -> None:
    """Without racks and with replication factors well below the number of brokers."""
    rng = random.Random(7)  # noqa: S311 - repeatable on purpose
    for _ in range(60):
        before, after = rng.sample(range(5, 11), 2)
        ids = range(max(before, after))
        lists = {n: tuple(rng.sample(range(before), 3)) for n in range(150)}
        plan = make_plan(PlanRequest({"orders": lists}, brokers(ids), frozenset(range(after))))
        assert plan.moves == plan.lower_bound
