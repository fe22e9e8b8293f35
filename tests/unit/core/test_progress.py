"""How far a reassignment is, as it is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.copying import Flight, Look
from broker_operator.core.model import TopicPartition
from broker_operator.core.pace import Pace, Sample
from broker_operator.core.planner.remaining import Remaining
from broker_operator.core.progress import Progress, falls, measure, monotone
from tests.unit.core.samples import reassignment

PLAN = {"hash": "abc", "moves": 4, "bytes": 4000}
ACTIVE = reassignment(plan=PLAN)
TPS = [TopicPartition("t", n) for n in range(4)]
LEAST = Progress("abc", 0, 0, 0)
counts = st.integers(0, 10**6)


def left(moves: int) -> Remaining:
    return Remaining(moves, moves * 1000, tuple(TPS[:moves]))


def pace(
    sizes: list[int], copied: list[int], *, base: list[int] | None = None, done: int = 0
) -> Pace:
    """Return one of moves to broker 3 that have these sizes, the first ones on their way."""
    moves = [(tp, 3) for tp in TPS]
    look = Look(
        10.0,
        dict(zip(moves, sizes, strict=False)),
        {m: Flight(c, 0, "", 0.0) for m, c in zip(moves, copied, strict=False)},
        dict.fromkeys(moves, 0),
    )
    samples = (
        Sample(0.0, 0.0, 2000, 0, {}, {}),
        Sample(10.0, 10.0, 1000, 1000, {3: 1000}, {0: 1000}, end=20.0),
    )
    bases = dict(zip(moves, sizes if base is None else base, strict=False))
    return Pace("uid-1", "abc", look, bases, done, samples)


def test_bytes_tell_more_than_moves() -> None:
    progress = measure(ACTIVE, left(2), pace([1000, 1000], [500, 0], done=2500))
    assert progress == Progress(
        plan="abc",
        moves_done=2,
        bytes_done=2500,
        percent=62,
        bytes_per_second=100,
        seconds_left=10.0,
        slowest=(
            (TPS[1], "0% has arrived at broker 3"),
            (TPS[0], "50% has arrived at broker 3"),
        ),
    )
    assert progress.eta == "10s"


@pytest.mark.parametrize(
    ("plan", "moves_left", "percent"),
    [(PLAN, 3, 25), (PLAN, 0, 100), (PLAN, 4, 0), ({"hash": "abc"}, 1, 0)],
)
def test_moves_tell_what_kafka_has_never_told(
    plan: dict[str, Any], moves_left: int, percent: int
) -> None:
    progress = measure(reassignment(plan=plan), left(moves_left), None)
    done = max(0, plan.get("moves", 0) - moves_left)
    assert progress == Progress("abc", done, 0, percent)


def test_moves_tell_of_a_plan_without_bytes() -> None:
    active = reassignment(plan=PLAN | {"bytes": 0})
    assert measure(active, left(1), pace([0], [0])).percent == 75


def test_leaders_that_wait_for_their_order_leave_it_at_99() -> None:
    assert measure(ACTIVE, Remaining(0, 0, (TPS[0],)), pace([], [], done=4000)).percent == 99


def test_producers_do_not_turn_it_back() -> None:
    grown = pace([9000], [4500], base=[1000])
    assert measure(ACTIVE, left(1), grown).percent == 100 * 3500 // 4000
    filled = pace([0], [0], base=[1000])
    assert measure(ACTIVE, left(1), filled).percent == 75


def test_more_left_than_planned_is_no_negative_progress() -> None:
    active = reassignment(plan={"hash": "abc", "moves": 2, "bytes": 10})
    progress = measure(active, left(4), pace([1000] * 4, []))
    assert (progress.moves_done, progress.percent) == (0, 0)


@given(
    moves=st.integers(0, 4),
    size=counts,
    flights=st.lists(st.tuples(counts, st.integers(0, 100), counts), max_size=4),
)
def test_a_hundred_percent_means_that_all_is_done(
    moves: int, size: int, flights: list[tuple[int, int, int]]
) -> None:
    now = pace(
        [s for s, _, _ in flights],
        [s * share // 100 for s, share, _ in flights],
        base=[b for *_, b in flights],
    )
    rest = left(len(flights))
    active = reassignment(plan={"hash": "abc", "moves": moves, "bytes": size})
    for look in (now, None):
        progress = measure(active, rest, look)
        assert 0 <= progress.percent <= 100
        assert (progress.percent == 100) is rest.done
        assert 0 <= progress.moves_done <= moves


@st.composite
def progresses(draw: st.DrawFn) -> Progress:
    return Progress(
        plan=draw(st.sampled_from(["abc", "def"])),
        moves_done=draw(counts),
        bytes_done=draw(counts),
        percent=draw(st.integers(0, 100)),
        bytes_per_second=draw(st.none() | counts),
        seconds_left=draw(st.none() | st.floats(0, 10**6)),
    )


@given(progresses())
def test_an_eta_needs_a_rate_and_something_to_do(progress: Progress) -> None:
    told = (
        bool(progress.bytes_per_second)
        and progress.seconds_left is not None
        and progress.percent < 100
    )
    assert bool(progress.eta) is told
    assert ("eta" in progress.as_status()) is told


def test_the_status_names_what_there_is_to_name() -> None:
    progress = Progress("abc", 1, 500, 50, 100, 5.0, ((TPS[3], "slow"),), "was more")
    bare = {"plan": "abc", "movesDone": 1, "bytesDone": 500, "percent": 50}
    assert progress.as_status() == bare | {
        "bytesPerSecond": 100,
        "eta": "5s",
        "slowest": [{"topic": "t", "partition": 3, "reason": "slow"}],
        "note": "was more",
    }
    assert Progress("abc", 1, 500, 50).as_status() == bare
    assert Progress("abc", 1, 500, 50, 0, 5.0).as_status() == bare | {"bytesPerSecond": 0}


@pytest.mark.parametrize(
    ("shown", "back"),
    [
        ({"percent": 51}, True),
        ({"movesDone": 3}, True),
        ({"bytesDone": 501}, True),
        ({"percent": 50, "movesDone": 2, "bytesDone": 500}, False),
        ({"plan": "def", "percent": 99}, False),
        ({"plan": None, "percent": 99}, False),
    ],
)
def test_a_figure_that_would_go_back_falls(shown: dict[str, Any], *, back: bool) -> None:
    assert falls({"plan": "abc"} | shown, Progress("abc", 2, 500, 50)) is back


def test_without_a_cause_each_figure_stays_where_it_is() -> None:
    shown = Progress("abc", 3, 400, 60, note="was 70 % before").as_status()
    held = monotone(shown, Progress("abc", 2, 500, 50, 7, 9.0), ())
    assert held == Progress("abc", 3, 500, 60, 7, 9.0, note="was 70 % before")


def test_a_cause_lets_it_fall_and_is_said() -> None:
    shown = Progress("abc", 3, 2048, 60, note="older").as_status()
    fallen = monotone(shown, Progress("abc", 2, 500, 50), ["a broker is gone", "so is its disk"])
    assert fallen == Progress(
        "abc", 2, 500, 50, note="was 60 % and 2.0 KiB before: a broker is gone; so is its disk"
    )


def test_a_cause_that_takes_nothing_back_is_not_said() -> None:
    shown = Progress("abc", 2, 500, 50, note="older").as_status()
    risen = Progress("abc", 3, 600, 60)
    assert monotone(shown, risen, ["a broker is gone"]) == replace(risen, note="older")


@pytest.mark.parametrize("shown", [{}, Progress("def", 4, 4000, 100).as_status()])
def test_another_plan_is_no_measure(shown: dict[str, Any]) -> None:
    assert monotone(shown, LEAST, ()) == LEAST


def test_a_hundred_is_never_held() -> None:
    assert monotone(Progress("abc", 4, 4000, 100).as_status(), LEAST, ()).percent == 99


@given(st.lists(progresses(), min_size=1, max_size=8))
def test_what_is_shown_of_a_plan_never_goes_back(measured: list[Progress]) -> None:
    last = LEAST
    for found in measured:
        shown = monotone(last.as_status(), replace(found, plan="abc"), ())
        assert shown.moves_done >= last.moves_done
        assert shown.bytes_done >= last.bytes_done
        assert min(shown.percent, 99) >= min(last.percent, 99)
        assert (shown.percent == 100) is (found.percent == 100)
        last = shown
