"""What users may ask for, and the plans for it."""

from __future__ import annotations

from typing import Any

import pytest

from broker_operator.core.planner import PlanRefusedError, PlanRequest
from broker_operator.core.requests import matching, objection, plan_request
from tests.unit.core.samples import ensemble, request
from tests.unit.planner.cases import brokers, gap, loads, violations

FOUR = frozenset(range(4))

# All on the first three brokers of four, two replicas each.
BASE = PlanRequest(
    assignment={
        "orders": {0: (0, 1), 1: (1, 2)},
        "orders-old": {0: (2, 0)},
        "clicks": {0: (0, 1), 1: (1, 0)},
    },
    brokers=brokers(range(4)),
    targets=FOUR,
)


# ---- what is wrong with a request


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"evacuate": [1, 2]},
        {"replace": {"broker": 1, "by": 3}},
        {"topics": ["orders"]},
        {"topics": ["o*", "orders"], "replicationFactor": 3},
    ],
    ids=["balance", "evacuate", "replace", "a topic", "patterns that overlap"],
)
def test_what_the_cluster_has_may_be_asked_for(spec: dict[str, Any]) -> None:
    assert objection(request(**spec), ensemble(0, 1, 2, 3), FOUR) == ""


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        pytest.param(
            {"evacuate": [1, 9]},
            "spec.evacuate names broker 9, which is none of this cluster's: it has 0, 1, 2 and 1 "
            "more; make another Reassignment that names these",
            id="a broker that is not there",
        ),
        pytest.param(
            {"replace": {"broker": 7, "by": 8}}, "spec.replace names broker 7, 8,", id="neither is"
        ),
        pytest.param(
            {"replace": {"broker": 1, "by": 4}},
            "spec.replace names broker 4,",
            id="the one that takes its place is not",
        ),
        pytest.param(
            {"evacuate": [0, 1, 2, 3]},
            "spec.evacuate names all 4 brokers; leave at least one for the data",
            id="all of them",
        ),
        pytest.param(
            {"topics": ["order", "orders", "c*"]},
            "spec.topics: order, c* matches none of the 1 topics; make another Reassignment "
            "without it",
            id="topics that are not there",
        ),
    ],
)
def test_what_it_has_not_is_named(spec: dict[str, Any], what: str) -> None:
    assert objection(request(**spec), ensemble(0, 1, 2, 3), FOUR).startswith(what)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], set()),
        (["orders"], {"orders"}),
        (["orders*"], {"orders", "orders-old"}),
        (["?licks", "orders"], {"clicks", "orders"}),
        (["ORDERS"], set()),
        (["*"], {"orders", "orders-old", "clicks"}),
    ],
)
def test_a_pattern_stands_for_whole_names_of_that_case(
    patterns: list[str], expected: set[str]
) -> None:
    assert matching(patterns, BASE.assignment) == expected


# ---- the plan for it


def test_without_more_words_everything_is_balanced() -> None:
    plan = plan_request(request(), BASE)
    assert gap(loads(plan.target, FOUR)) <= 1
    assert plan.moves == plan.lower_bound == 2


def test_an_evacuated_broker_holds_nothing_and_gets_nothing() -> None:
    plan = plan_request(request(evacuate=[1]), BASE)
    assert loads(plan.target, FOUR)[1] == 0
    assert gap(loads(plan.target, FOUR - {1})) <= 1


def test_one_broker_takes_the_place_of_another_in_every_list() -> None:
    plan = plan_request(request(replace={"broker": 1, "by": 3}), BASE)
    assert plan.target == {
        "orders": {0: (0, 3), 1: (3, 2)},
        "orders-old": {0: (2, 0)},
        "clicks": {0: (0, 3), 1: (3, 0)},
    }


def test_a_replacement_by_one_that_holds_the_same_is_refused() -> None:
    with pytest.raises(PlanRefusedError, match="evacuate broker 1 instead") as refused:
        plan_request(request(replace={"broker": 1, "by": 0}), BASE)
    assert refused.value.reason == "BothHold"


def test_only_the_topics_that_are_named_move() -> None:
    plan = plan_request(request(topics=["orders*"]), BASE)
    assert set(plan.changes) <= {"orders", "orders-old"}
    assert plan.target["clicks"] == BASE.assignment["clicks"]
    assert loads(plan.target, FOUR)[3] == 2, "its share of all, from these topics alone"
    assert violations(BASE, plan.target) == []


def test_only_these_topics_get_another_replication_factor() -> None:
    plan = plan_request(request(topics=["orders*"], replicationFactor=3), BASE)
    factors = {t: {len(r) for r in its.values()} for t, its in plan.target.items()}
    assert factors == {"orders": {3}, "orders-old": {3}, "clicks": {2}}
    assert plan.target["clicks"] == BASE.assignment["clicks"]


def test_topics_that_leave_a_broker_leave_the_others_where_they_are() -> None:
    plan = plan_request(request(topics=["clicks"], evacuate=[1]), BASE)
    assert set(plan.changes) == {"clicks"}
    assert loads({"clicks": plan.target["clicks"]}, FOUR)[1] == 0
    assert {t: plan.target[t] for t in ("orders", "orders-old")} == {
        t: BASE.assignment[t] for t in ("orders", "orders-old")
    }
    assert plan.origin == BASE.assignment
    assert (plan.moves, plan.lower_bound, plan.optimal) == (2, 2, True)
