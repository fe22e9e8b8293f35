"""Pace, latency and silence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.traffic.meters import BUCKET_RATIO, AckClock, Latencies, Pacer, percentile


@given(st.floats(1, 2000), st.lists(st.floats(0.001, 0.1), min_size=1, max_size=200))
def test_the_pace_is_kept_on_the_long_run(rate: float, steps: list[float]) -> None:
    pacer, now, sent = Pacer(rate, started=100.0), 100.0, 0
    for step in steps:
        now += step
        sent += pacer.due(now)
    assert sent <= rate * sum(steps) + 1e-6
    assert sent >= rate * sum(steps) - 1 - 1e-6 or rate * max(steps) > max(1.0, rate / 4) - 1


def test_a_stall_is_not_made_up_for_by_a_burst() -> None:
    pacer = Pacer(1000, started=0.0)
    assert pacer.due(30.0) == 250


def test_latencies_are_taken_once() -> None:
    latencies = Latencies()
    for number in range(1, 101):
        latencies.add(number / 1000)
    taken = latencies.take()
    assert sum(taken.pop("counts").values()) == 100
    assert taken == {"p50_ms": 50.0, "p99_ms": 99.0, "max_ms": 100.0}
    assert latencies.take() == {"p50_ms": None, "p99_ms": None, "max_ms": None, "counts": {}}


@given(st.lists(st.lists(st.floats(1e-5, 60)), max_size=5), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_over_windows_is_at_most_a_bucket_too_high(
    windows: list[list[float]], quantile: float
) -> None:
    counts = []
    for window in windows:
        latencies = Latencies()
        for seconds in window:
            latencies.add(seconds)
        counts.append(latencies.take()["counts"])
    everything = sorted(seconds * 1000 for window in windows for seconds in window)
    found = percentile(counts, quantile)
    if not everything:
        assert found is None
        return
    exact = everything[math.ceil(quantile * len(everything)) - 1]
    assert found is not None
    assert exact * 0.999 - 0.01 <= found <= exact * BUCKET_RATIO + 0.01


def test_silence_counts_only_while_something_is_in_flight() -> None:
    clock = AckClock()
    clock.sent(0.0)
    clock.settled(0.5)
    assert clock.take(10.0) == 0.5  # idle since then
    clock.sent(20.0)
    clock.sent(21.0)
    assert clock.take(22.0) == 2.0  # still waiting
    clock.settled(23.0)
    clock.settled(23.1)
    assert clock.take(24.0) == 3.0
    assert clock.longest == 3.0
    assert clock.in_flight == 0


def test_silence_of_the_past_does_not_stain_the_next_window() -> None:
    clock = AckClock()
    clock.sent(0.0)
    clock.settled(5.0)
    clock.take(5.0)
    clock.sent(6.0)
    clock.settled(6.1)
    assert clock.take(7.0) == pytest.approx(0.1)
    assert clock.longest == 5.0
