"""How fast a reassignment goes, and when it will be done."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.copying import Flight, Gain, Look
from broker_operator.core.model import TopicPartition
from broker_operator.core.pace import LAST_SECONDS, Batch, Pace, begin, go_on, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.core.copying import Move

A: Move = (TopicPartition("t", 0), 3)
SIZE = 10_000


def seen(at: float, copied: int, *, trouble: str = "", flying: bool = True) -> Look:
    """Look at one move of 10 kB from broker 0 to broker 3, on its way since 0."""
    flights = {A: Flight(copied, 0, trouble, 0.0)} if flying else {}
    return Look(at, {A: SIZE}, flights, {A: 0})


def follow(looks: Iterable[Look], rate: int | None = None, done: int = 0) -> Pace:
    first, *others = looks
    pace = begin("uid", "plan", first, done, rate)
    for now in others:
        gained = pace.look.rest(A) - now.rest(A)
        pace = go_on(pace, now, Gain({3: gained}, {0: gained}), rate)
    return pace


def steady(seconds: int, per_second: int = 100, rate: int | None = None) -> Pace:
    return follow([seen(t, t * per_second) for t in range(seconds + 1)], rate)


def test_the_first_look_tells_no_rate() -> None:
    pace = follow([seen(0, 500)], done=500)
    assert (pace.done, pace.base) == (500, {A: SIZE})
    assert (pace.bytes_per_second, pace.seconds_left) == (None, None)
    assert (pace.received(3), pace.sent(0)) == (None, None)


def test_what_has_no_samples_tells_nothing() -> None:
    pace = Pace("uid", "plan", seen(0, 0), {}, 0)
    assert (pace.bytes_per_second, pace.seconds_left) == (None, None)
    assert (pace.received(3), pace.sent(0)) == (None, None)


def test_the_least_time_is_that_of_the_busiest_broker_at_the_throttle() -> None:
    assert steady(10, rate=500).least_seconds == (SIZE - 1000) / 500
    assert steady(10).least_seconds is None, "there is no throttle"
    assert follow([seen(0, 0, flying=False)], rate=500).least_seconds == 0.0


def test_two_seconds_are_too_few_for_a_rate() -> None:
    assert steady(2).bytes_per_second is None
    assert steady(2).received(3) is None


@pytest.mark.parametrize("rate", [None, 100, 400])
def test_a_steady_pace_goes_on(rate: int | None) -> None:
    pace = steady(20, rate=rate)
    assert pace.bytes_per_second == 100
    assert pace.seconds_left == pytest.approx(80 + LAST_SECONDS)
    assert (pace.received(3), pace.sent(0)) == (100, 100)
    assert pace.done == 2000


def test_nobody_goes_faster_than_its_throttle_for_long() -> None:
    last = steady(10, per_second=100, rate=50).samples[-1]
    due = 10_000 / 50 - 10  # a second of 100 bytes is two seconds of the throttle
    assert last.end == pytest.approx(10 + (9000 / 50 + due) / 2 + LAST_SECONDS)


def test_the_end_is_a_mean_of_what_the_last_ten_seconds_foretold() -> None:
    pace = follow([seen(0, 0), seen(4, 400), seen(8, 1600), seen(16, 1600)])
    ends = [end + LAST_SECONDS for end in (100, 50, 100)]
    assert [s.end for s in pace.samples] == [None, *map(pytest.approx, ends)]
    assert pace.seconds_left == pytest.approx((ends[1] + ends[2]) / 2 - 16)


def test_a_new_throttle_voids_what_was_foretold() -> None:
    before = steady(20, rate=100)
    half = seen(20.5, 2050)
    pace = go_on(before, half, Gain({3: 50}, {0: 50}), 50)
    assert pace.rate == 50
    assert pace.seconds_left == pytest.approx(7950 / 50 + LAST_SECONDS)
    assert pace.bytes_per_second == 100


@pytest.mark.parametrize("rates", [(100, None), (None, 100)])
def test_a_throttle_that_comes_or_goes_begins_anew(rates: tuple[int | None, int | None]) -> None:
    before, after = rates
    pace = go_on(steady(20, rate=before), seen(21, 2100), Gain({3: 100}, {0: 100}), after)
    assert len(pace.samples) == 1
    assert (pace.bytes_per_second, pace.seconds_left, pace.done) == (None, None, 2100)


def test_only_the_last_minute_counts() -> None:
    looks = [seen(t, 0 if t < 100 else 50 * (t - 100)) for t in range(0, 161, 2)]
    assert follow(looks).bytes_per_second == 50
    assert follow(looks[:51]).bytes_per_second == 0


def test_a_broker_is_judged_by_the_last_half_minute() -> None:
    looks = [seen(t, min(t, 20) * 100) for t in range(0, 51, 2)]
    pace = follow(looks)
    assert (pace.received(3), pace.sent(0)) == (0, 0)
    assert pace.bytes_per_second == 40


def test_a_broker_with_nothing_under_way_has_no_rate() -> None:
    pace = steady(20)
    assert (pace.received(4), pace.sent(4)) == (None, None)


def test_a_broker_that_has_brought_nothing_has_a_rate_of_zero() -> None:
    pace = steady(20)
    late = {(TopicPartition("t", 1), 4): Flight(0, 1, "", 0.0)}
    look = replace(pace.look, flights={**pace.look.flights, **late})
    pace = replace(pace, look=look)
    assert (pace.received(4), pace.sent(1)) == (0, 0)


@pytest.mark.parametrize("per_second", [0, -10])
def test_nothing_copied_foretells_no_end(per_second: int) -> None:
    looks = [seen(t, 1000 + per_second * t) for t in range(11)]
    assert follow(looks).seconds_left is None


def test_what_was_lost_is_no_pace() -> None:
    before = follow([seen(0, 500), seen(20, 2000)], done=500)
    pace = go_on(before, seen(21, 0), Gain(lost=2000, causes=("gone",)), None)
    assert (pace.done, pace.bytes_per_second, pace.causes) == (0, None, ("gone",))
    again = go_on(pace, seen(22, 0), Gain(lost=10**9, causes=("gone", "worse")), None)
    assert (again.done, again.causes) == (0, ("gone", "worse"))


def test_trouble_foretells_no_end() -> None:
    pace = go_on(steady(20), seen(21, 2100, trouble="gone"), Gain({3: 100}, {0: 100}), None)
    assert pace.seconds_left is None
    assert pace.bytes_per_second == 100


def test_a_gap_between_batches_is_no_halt_but_a_wait_is() -> None:
    pace = steady(20)
    for at in (21, 30):
        pace = go_on(pace, replace(seen(at, 0, flying=False), left={A: 8000}), Gain(), None)
        assert pace.seconds_left is not None
    assert pace.idle_since == 21
    pace = go_on(pace, replace(seen(31, 0, flying=False), left={A: 8000}), Gain(), None)
    assert (pace.bytes_per_second, pace.seconds_left) == (None, None)
    assert go_on(pace, seen(32, 2000), Gain(), None).idle_since is None


def test_all_that_is_done_leaves_no_time() -> None:
    pace = steady(20)
    pace = go_on(pace, Look(21, {}, {}, {}), Gain({3: 8000}, {0: 8000}), None)
    assert pace.look.left == {}
    assert pace.samples[-1].end == 21


B, C = (TopicPartition("t", 1), 4), (TopicPartition("t", 2), 4)


def batch(at: float, left: dict[Move, int], copied: dict[Move, int]) -> Look:
    """Look at moves from broker 0, those of `copied` on their way."""
    flights = {move: Flight(count, 0, "", 0.0) for move, count in copied.items()}
    return Look(at, left, flights, dict.fromkeys(left, 0))


def test_the_batch_under_way_comes_before_what_waits() -> None:
    # Broker 0 sends all, 3 and 4 receive: side by side in the batch, one after the other with it.
    sizes = {A: 1000, B: 400, C: 3000}
    pace = begin("uid", "plan", batch(0, sizes, {}), 0, None)
    pace = go_on(pace, batch(10, sizes, {A: 500, B: 500 - 100}), Gain({3: 500, 4: 400}), None)
    assert pace.batch == Batch(0, 1400)
    assert pace.samples[-1].end == pytest.approx(10 + (500 + 3000) / 90 + LAST_SECONDS)


def test_a_batch_begins_at_the_last_look_before_it() -> None:
    sizes = {A: 1000, B: 400}
    pace = begin("uid", "plan", batch(5, sizes, {A: 100}), 0, 1000)
    assert pace.batch == Batch(5, 900)
    pace = go_on(pace, batch(6, sizes, {A: 200}), Gain({3: 100}), 1000)
    assert pace.batch == Batch(5, 900)
    pace = go_on(pace, batch(7, {B: 400}, {}), Gain({3: 800}), 1000)
    assert pace.batch == Batch(5, 900)
    pace = go_on(pace, batch(8, {B: 400}, {B: 300}), Gain({4: 300}), 1000)
    assert pace.batch == Batch(7, 400)


def test_a_move_that_was_done_before_begins_where_it_is_found() -> None:
    pace = begin("uid", "plan", batch(0, {A: 1000}, {}), 0, 1000)
    pace = go_on(pace, batch(1, {A: 1000, B: 400}, {A: 0, B: 0}), Gain(), 1000)
    assert pace.batch == Batch(0, 1000)


def test_a_new_throttle_counts_from_now() -> None:
    pace = begin("uid", "plan", batch(0, {A: 1000}, {A: 0}), 0, 1000)
    pace = go_on(pace, batch(1, {A: 1000}, {A: 200}), Gain({3: 200}), 500)
    assert pace.batch == Batch(1, 800)


def test_what_a_gap_had_sent_at_once_is_half_paid_for_by_waiting() -> None:
    pace = begin("uid", "plan", batch(0, {A: 1000}, {A: 0}), 0, 100)
    pace = go_on(pace, batch(4, {A: 1000}, {A: 800}), Gain({3: 800}), 100)
    # At the throttle it has 6 s to go since it began, at the same rate 2 s from now.
    assert pace.samples[-1].end == pytest.approx(4 + (6 + 2) / 2 + LAST_SECONDS)


def test_the_busiest_broker_counts_in_either_direction() -> None:
    b, c = (TopicPartition("t", 1), 4), (TopicPartition("t", 2), 4)
    now = Look(0, {A: 100, b: 50, c: 60}, {A: Flight(40, 0, "", 0)}, {A: 0, b: 0, c: 1})
    assert load(now.left, now) == {
        ("receive", 3): 60,
        ("receive", 4): 110,
        ("send", 0): 110,
        ("send", 1): 60,
    }


steps = st.lists(
    st.tuples(
        st.floats(0.1, 100), st.integers(0, SIZE), st.booleans(), st.sampled_from([None, 1, 5000])
    ),
    max_size=12,
)


@given(steps)
def test_no_rate_and_no_time_is_negative(
    steps: list[tuple[float, int, bool, int | None]],
) -> None:
    at, pace = 0.0, begin("uid", "plan", seen(0, 0), 0, None)
    for pause, copied, flying, rate in steps:
        at += pause
        now = seen(at, copied, flying=flying)
        change = pace.look.rest(A) - now.rest(A)
        gain = Gain({3: change}, {0: change}) if change > 0 else Gain(lost=-change)
        pace = go_on(pace, now, gain, rate)
        told = (pace.bytes_per_second, pace.seconds_left, pace.received(3), pace.sent(0))
        assert all(figure is None or figure >= 0 for figure in told)
        assert pace.done == SIZE - now.rest(A)
        assert all(a.at < b.at and a.allowed <= b.allowed for a, b in pairwise(pace.samples))
        assert at - pace.samples[0].at <= 60
