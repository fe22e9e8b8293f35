"""What was foretold of a reassignment, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.outcome import foretold, outcome

PLAN = {"hash": "abc", "moves": 4, "bytes": 1000, "predictedSeconds": 20}
FORETOLD = {"predictedMoves": 4, "predictedBytes": 1000, "predictedSeconds": 20}
STARTED, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"


def test_the_first_plan_foretells() -> None:
    assert foretold({}, PLAN) == FORETOLD


def test_no_time_is_foretold_where_the_plan_knows_none() -> None:
    assert foretold({}, {"moves": 4, "bytes": 1000}) == {
        "predictedMoves": 4,
        "predictedBytes": 1000,
    }


@pytest.mark.parametrize(
    ("status", "moves"),
    [
        ({"outcome": FORETOLD, "startedAt": STARTED}, 4),
        ({"outcome": FORETOLD}, 9),
        ({"outcome": None, "startedAt": STARTED}, 9),
        ({"outcome": {"moves": 1}, "startedAt": STARTED}, 9),
    ],
    ids=["started: kept", "never began", "nothing foretold", "only what came of it"],
)
def test_a_plan_made_anew_half_way_changes_no_promise(
    status: dict[str, object], moves: int
) -> None:
    assert foretold(status, PLAN | {"moves": 9})["predictedMoves"] == moves


def test_what_came_of_it_stands_next_to_what_was_foretold() -> None:
    status = {
        "startedAt": STARTED,
        "plan": PLAN | {"moves": 9},
        "outcome": FORETOLD,
        "progress": {"movesDone": 9, "bytesDone": 1500},
    }
    assert outcome(status, ENDED) == FORETOLD | {"moves": 9, "bytes": 1500, "seconds": 90}


def test_one_that_never_began_took_no_time() -> None:
    assert outcome({"plan": PLAN}, ENDED) == FORETOLD | {"moves": 0, "bytes": 0}
    assert outcome({}, ENDED) == {"moves": 0, "bytes": 0}


@given(st.integers(-(10**6), 10**6))
def test_no_clock_makes_the_time_taken_negative(seconds: int) -> None:
    ended = datetime.fromisoformat(STARTED).astimezone(UTC) + timedelta(seconds=seconds)
    took = outcome({"startedAt": STARTED}, ended.isoformat())["seconds"]
    assert took == max(0, seconds)
