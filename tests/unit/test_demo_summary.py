"""The demo's verdict: what makes it exit with an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRequest, make_plan
from tests.demo.model import Move
from tests.demo.summary import Account, Assignment, Scaling, count_moves, fewest_moves
from tests.demo.watch import Removal
from tests.traffic.checker import Verdict
from tests.traffic.pods import Outcome

MOVE = Move("demo-1", "ScaleUp", "Succeeded", 5, 5, 5, 10, 10, 100, 0, "", ())
OUTCOME = Outcome(
    acked=90, sent=90, failed=0, unresolved=0, failure="", ack_gap_max_s=0.1, consumed={}
)
VERDICT = Verdict(acked=100, found=100, missing=0, reordered=0, duplicated=0, corrupt=0, unacked=0)


def account(**changes: Any) -> Account:
    """A demo in which all went well, but for these."""
    good: dict[str, Any] = {
        "scalings": [Scaling("3 -> 4", MOVE, 5, 5, 1.0, 2.0, 3.0, 4.0)],
        "removals": [Removal(3, 0)],
        "outcome": replace(OUTCOME, consumed={"consumed": 100}),
        "verdict": VERDICT,
    }
    return Account(**(good | changes))


def test_a_good_demo_has_no_fault() -> None:
    assert account().faults() == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scalings": [Scaling("out", MOVE, 6, 5, 1, 2, 3, 4)]}, "out: 6 moves, but 5 would"),
        ({"removals": [Removal(3, 2)]}, "broker 3 left with 2 replicas"),
        ({"removals": [Removal(3, None)]}, "nobody saw it empty"),
        ({"removals": []}, "broker 3 did not leave"),
        ({"verdict": None}, "not checked to its end"),
        ({"outcome": None}, "not checked to its end"),
        ({"verdict": replace(VERDICT, missing=1)}, "not what was acknowledged"),
        ({"outcome": replace(OUTCOME, consumed={"consumed": 99})}, "read 99 of the 100"),
        (
            {"outcome": replace(OUTCOME, consumed={"consumed": 100, "reordered": 2})},
            "saw 2 records reordered",
        ),
        (
            {"outcome": replace(OUTCOME, consumed={"consumed": 100}, unresolved=1)},
            "1 without an answer",
        ),
    ],
)
def test_everything_that_must_not_be_is_a_fault(changes: dict[str, Any], told: str) -> None:
    (fault,) = account(**changes).faults()
    assert told in fault


def test_moves_are_replicas_on_new_brokers_of_topics_that_were_there() -> None:
    before: Assignment = {("t", 0): {0, 1}, ("t", 1): {1, 2}}
    after: Assignment = {("t", 0): {1, 0}, ("t", 1): {3, 0}, ("new", 0): {0, 1}}
    assert count_moves(before, after) == 2


@given(st.integers(3, 6), st.integers(1, 40), st.sampled_from([-1, 1, 2]))
def test_the_count_agrees_with_the_planners_bound(brokers: int, partitions: int, by: int) -> None:
    rows = {n: (n % brokers, (n + 1) % brokers) for n in range(partitions)}
    held: Assignment = {("t", n): set(row) for n, row in rows.items()}
    every = tuple(Broker(b) for b in range(max(brokers, brokers + by)))
    targets = range(brokers + by)
    plan = make_plan(PlanRequest({"t": rows}, every, frozenset(targets)))
    assert fewest_moves(held, targets) == plan.lower_bound
