"""The controller of the throttle `Adaptive`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core import adaptive
from broker_operator.core.adaptive import USUAL, Course, Decision, Level, decide, ladder
from broker_operator.core.health import Health
from broker_operator.core.model import TopicPartition

MI = 1024**2
RUNGS = ladder(4 * MI, 500 * MI)
LEVEL = Level(p99=0.010, mean=0.002)
LOST = frozenset({(TopicPartition("orders", 7), 2)})
RATE = RUNGS[4]


def health(seconds: float = 100.0, used: float | None = RATE, **changes: object) -> Health:
    """Return what well brokers show while the throttle binds."""
    well = Health(seconds, p99=0.010, mean=0.002, handlers_idle=0.9, used=used, counted=used)
    return replace(well, **changes)  # type: ignore[arg-type]


def course(**changes: object) -> Course:
    """Return the course of one who has been calm for long."""
    return replace(Course(calm=0.0, p99=0.010), **changes)  # type: ignore[arg-type]


def said(rate: int, seen: Health, way: Course, level: Level = LEVEL) -> Decision:
    """Decide twice on the same, so that a reason to stay is told."""
    return decide(RUNGS, rate, seen, level, decide(RUNGS, rate, seen, level, way).course)


# The ladder


def test_rungs_go_from_least_to_most_and_two_of_them_are_one_half() -> None:
    assert RUNGS[0] == 4 * MI
    assert RUNGS[-1] == 500 * MI
    assert len(RUNGS) == 15
    assert all(RUNGS[i + 2] == pytest.approx(2 * RUNGS[i], abs=2) for i in range(12))


@given(st.integers(1, 10**9), st.integers(0, 10**12))
def test_any_limits_make_a_rising_ladder_between_them(least: int, more: int) -> None:
    rungs = ladder(least, least + more)
    assert rungs[0] == least
    assert rungs[-1] == least + more
    assert list(rungs) == sorted(set(rungs))
    assert len(rungs) < 90


def test_it_starts_at_the_usual_rate_or_where_the_limits_let_it() -> None:
    assert adaptive.first_rate(RUNGS) == RUNGS[7] <= 50 * MI < RUNGS[8]
    assert adaptive.first_rate(ladder(7, 7)) == 7
    assert adaptive.first_rate(ladder(60 * MI, 500 * MI)) == 60 * MI


def test_a_rate_from_elsewhere_goes_down_to_a_rung() -> None:
    assert adaptive.nearest(RUNGS, 50 * MI) == RUNGS[7]
    assert adaptive.nearest(RUNGS, 1) == RUNGS[0]
    assert adaptive.nearest(RUNGS, 10**12) == RUNGS[-1]


# Up


def test_it_rises_by_a_rung_while_all_is_well_and_more_is_needed() -> None:
    found = decide(RUNGS, RATE, health(), LEVEL, course())
    assert found.rate == RUNGS[5]
    assert found.reason == (
        "raised to 22.6 MiB/s: produce p99 10 ms (10 ms before), handlers 90% idle"
    )


def test_it_rises_without_any_client_to_harm() -> None:
    found = decide(RUNGS, RATE, Health(100.0, used=RATE, counted=RATE), Level(), course())
    assert found.rate == RUNGS[5]
    assert found.reason.endswith("no clients at work")


def test_it_is_patient_before_it_rises() -> None:
    way = course(calm=100.0)
    assert decide(RUNGS, RATE, health(119.0), LEVEL, way).rate == RATE
    assert decide(RUNGS, RATE, health(120.0), LEVEL, way).rate == RUNGS[5]


def test_it_is_more_patient_above_what_is_usual() -> None:
    rate = next(rung for rung in RUNGS if rung > USUAL)
    for seconds, expected in ((159.0, rate), (160.0, RUNGS[RUNGS.index(rate) + 1])):
        seen = health(seconds, used=rate)
        assert decide(RUNGS, rate, seen, LEVEL, course(calm=100.0)).rate == expected


def test_a_rate_that_holds_nothing_back_is_not_raised() -> None:
    found = said(RATE, health(used=0.6 * RATE), course())
    assert found.rate == RATE
    assert found.reason == "kept, for it holds nothing back: moves take 9.6 MiB/s"


def test_what_replicas_in_sync_take_of_a_rate_makes_it_hold_moves_back() -> None:
    seen = health(120.0, used=0.2 * RATE, counted=0.9 * RATE)
    assert decide(RUNGS, RATE, seen, LEVEL, course(calm=100.0)).rate == RUNGS[5]


def test_between_two_batches_it_is_remembered_that_the_rate_was_binding() -> None:
    way = decide(RUNGS, RATE, health(102.0), LEVEL, course(calm=100.0)).course
    assert decide(RUNGS, RATE, health(120.0, used=0.0), LEVEL, way).rate == RUNGS[5]


def test_at_the_most_it_stays() -> None:
    found = said(RUNGS[-1], health(used=RUNGS[-1]), course())
    assert found.rate == RUNGS[-1]
    assert found.reason.startswith("kept, for it is the most allowed: produce p99")


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (
            health(unknown="broker 3 (timed out)"),
            "for metrics are missing: broker 3 (timed out)",
        ),
        (health(used=None), "for brokers do not tell what moves take of them"),
        (health(doubtful=LOST), "for replicas seem to be out of sync: orders-7 on broker 2"),
        (health(p99=0.016, mean=0.0025), "until the produce p99 has come down: "),
        (health(handlers_idle=0.45), "for brokers have enough to do: "),
    ],
    ids=["unknown", "no counters", "out of sync", "high p99", "busy"],
)
def test_it_stays_where_something_speaks_against_more(seen: Health, why: str) -> None:
    found = said(RATE, seen, course(p99=0.016))
    assert found.rate == RATE
    assert found.reason.startswith(f"kept, {why}")
    assert found.course.calm == seen.seconds


def test_a_reason_to_stay_is_told_when_it_is_one_for_the_second_time() -> None:
    first = decide(RUNGS, RATE, health(unknown="broker 3 (x)"), LEVEL, course())
    assert first.reason == ""
    assert decide(RUNGS, RATE, health(unknown="broker 1 (y)"), LEVEL, first.course).reason


# Down


@pytest.mark.parametrize(
    "seen",
    [
        health(mean=0.0046),
        health(p99=0.0200),
        health(handlers_idle=0.29),
        health(mean=0.0046, unknown="broker 3 (x)"),
        health(mean=0.0046, p99=None, handlers_idle=None),
    ],
    ids=["mean", "rising p99", "no idle handlers", "though one is unknown", "mean alone"],
)
def test_it_is_halved_when_clients_suffer(seen: Health) -> None:
    found = decide(RUNGS, RATE, seen, LEVEL, course(suspicion=1.0))
    assert found.rate == RATE // 2
    assert found.reason.startswith("lowered to 8.0 MiB/s: ")
    assert found.course.barred == RATE


def test_looks_in_which_moves_begin_or_end_count_half() -> None:
    """Four of them in a row, though, are what moves cost at this rate."""
    way, rates = course(), list[int]()
    for look in range(4):
        seen = health(100.0 + 5 * look, mean=0.1, turned=True)
        found = decide(RUNGS, RATE, seen, LEVEL, way)
        way, rates = found.course, [*rates, found.rate]
    assert rates == [RATE, RATE, RATE, RATE // 2]


def test_the_reason_has_the_figures() -> None:
    found = decide(RUNGS, RATE, health(mean=0.0046, p99=0.02), LEVEL, course(suspicion=1.0))
    assert found.reason == (
        "lowered to 8.0 MiB/s: mean 5 ms, produce p99 20 ms (10 ms before), handlers 90% idle"
    )


def test_half_of_what_is_used_is_less_than_half_of_a_rate_that_does_not_bind() -> None:
    found = decide(RUNGS, RUNGS[12], health(used=16 * MI, mean=0.1), LEVEL, course(suspicion=1.0))
    assert found.rate == 8 * MI


def test_without_counters_the_rate_itself_is_halved() -> None:
    assert (
        decide(RUNGS, RATE, health(used=None, mean=0.1), LEVEL, course(suspicion=1.0)).rate
        == 8 * MI
    )


def test_clients_that_suffer_while_hardly_anything_moves_suffer_from_something_else() -> None:
    """However much of the rate replicas in sync take: these are never held back."""
    found = said(RATE, health(used=MI, counted=RATE, mean=0.1), course(suspicion=1.0))
    assert found.rate == RATE
    assert found.reason.startswith("kept, for clients wait and moves take hardly any: mean 100 ms")


def test_at_the_least_it_stays() -> None:
    found = decide(RUNGS, RUNGS[0], health(used=4 * MI, mean=0.1), LEVEL, course(suspicion=1.0))
    again = decide(RUNGS, RUNGS[0], health(113.0, used=4 * MI, mean=0.1), LEVEL, found.course)
    assert again.rate == RUNGS[0]
    assert again.reason.startswith("kept, for it is the least allowed: mean 100 ms")


def test_it_waits_to_see_what_lowering_brings_before_it_lowers_again() -> None:
    way = decide(RUNGS, RATE, health(100.0, mean=0.1), LEVEL, course(suspicion=1.0)).course
    early = decide(RUNGS, RATE // 2, health(111.0, mean=0.1), LEVEL, way)
    late = decide(RUNGS, RATE // 2, health(112.0, mean=0.1), LEVEL, way)
    assert (early.rate, early.reason) == (RATE // 2, "")
    assert late.rate == RATE // 4


def test_what_the_first_copying_costs_is_no_reason_to_lower() -> None:
    rate, way, seconds = RATE, course(begun=100.0), 100.0
    while seconds < 100.0 + adaptive.BEGIN_SECONDS:
        found = decide(RUNGS, rate, health(seconds, mean=0.1), LEVEL, way)
        assert (found.rate, found.reason, found.course.suspicion) == (RATE, "", 0.0)
        assert decide(RUNGS, rate, health(seconds, shrinks=1), LEVEL, way).rate == RUNGS[0]
        way, seconds = found.course, seconds + 5
    once = decide(RUNGS, rate, health(seconds, mean=0.1), LEVEL, way)
    assert decide(RUNGS, rate, health(seconds + 5, mean=0.1), LEVEL, once.course).rate < RATE


def test_a_mean_wavers_with_how_long_a_request_in_a_hundred_took_before() -> None:
    slow = Level(p99=0.080, mean=0.002)
    seen = health(p99=0.080, mean=0.0099)
    assert not decide(RUNGS, RATE, seen, slow, course()).course.suspicion
    assert decide(RUNGS, RATE, replace(seen, mean=0.0101), slow, course()).course.suspicion == 1.0
    very = Level(p99=1.0, mean=0.020)
    assert not decide(RUNGS, RATE, health(p99=1.0, mean=0.0299), very, course()).course.suspicion
    assert decide(RUNGS, RATE, health(p99=1.0, mean=0.0301), very, course()).course.suspicion == 1.0


def test_clients_that_suffer_for_a_moment_are_no_reason_to_lower() -> None:
    assert not decide(RUNGS, RATE, health(mean=0.0044), LEVEL, course()).course.suspicion
    once = decide(RUNGS, RATE, health(100.0, mean=0.1), LEVEL, course())
    assert (once.rate, once.reason) == (RATE, "")
    well = decide(RUNGS, RATE, health(105.0), LEVEL, once.course)
    again = decide(RUNGS, well.rate, health(110.0, mean=0.1), LEVEL, well.course)
    assert again.rate == well.rate
    assert decide(RUNGS, well.rate, health(115.0, mean=0.1), LEVEL, again.course).rate < well.rate


def test_after_a_rise_it_does_not_wait() -> None:
    way = decide(RUNGS, RATE, health(100.0), LEVEL, course()).course
    once = decide(RUNGS, RUNGS[5], health(105.0, mean=0.1), LEVEL, way)
    assert decide(RUNGS, RUNGS[5], health(110.0, mean=0.1), LEVEL, once.course).rate < RUNGS[5]


def test_a_high_percentile_that_only_lingers_is_no_reason_to_lower() -> None:
    """Kafka remembers a second of trouble for minutes."""
    first = decide(RUNGS, RATE, health(100.0, p99=0.1), LEVEL, course(suspicion=1.0))
    way, rate = first.course, first.rate
    assert rate == RATE // 2
    for seconds in range(105, 275, 5):
        seen = health(float(seconds), p99=0.1, mean=0.0025, used=rate)
        found = decide(RUNGS, rate, seen, LEVEL, way)
        assert found.rate == rate
        way = found.course
    way = decide(RUNGS, rate, health(281.0, p99=0.1, used=rate), LEVEL, way).course
    lasting = decide(RUNGS, rate, health(286.0, p99=0.1, used=rate), LEVEL, way)
    assert lasting.rate == rate // 2, "longer than Kafka remembers"


def test_a_percentile_that_lingers_while_requests_are_as_fast_as_before_holds_nobody_up() -> None:
    way = course(p99=0.1, high=90.0)
    assert decide(RUNGS, RATE, health(p99=0.1), LEVEL, way).rate == RUNGS[5]
    for slower in (health(p99=0.1, mean=0.0025), health(p99=0.1, mean=None)):
        assert decide(RUNGS, RATE, slower, LEVEL, way).rate == RATE


def test_a_percentile_that_rises_further_is_a_reason() -> None:
    way = course(p99=0.1, high=90.0, suspicion=1.0)
    assert decide(RUNGS, RATE, health(p99=0.105, mean=0.0025), LEVEL, way).rate == RATE, "it wavers"
    assert decide(RUNGS, RATE, health(p99=0.12), LEVEL, way).rate == RATE // 2


def test_a_percentile_without_a_level_before_is_not_judged() -> None:
    assert decide(RUNGS, RATE, health(p99=9.0, mean=9.0), Level(), course()).rate == RUNGS[5]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"lost": LOST},
            "replicas are out of sync that should not be: orders-7 on broker 2",
        ),
        ({"shrinks": 2}, "replicas were dropped from an ISR: 2"),
    ],
)
def test_a_replica_that_falls_out_of_sync_brings_it_to_the_least(
    changes: dict[str, object], why: str
) -> None:
    way = course(lowered=99.0)  # it was lowered a moment ago: no matter
    found = decide(RUNGS, RUNGS[10], health(**changes), LEVEL, way)  # type: ignore[arg-type]
    assert found.rate == RUNGS[0]
    assert found.reason == f"lowered to 4.0 MiB/s: {why}"
    stays = said(RUNGS[0], health(**changes), found.course)  # type: ignore[arg-type]
    assert stays.reason == f"kept, for it is the least allowed: {why}"


# Again and again


def test_a_rate_that_was_too_much_is_barred_for_ever_longer_times() -> None:
    way = decide(RUNGS, RATE, health(100.0, mean=0.1), LEVEL, course(suspicion=1.0)).course
    assert (way.barred, way.until, way.penalty) == (RATE, 220.0, 120.0)
    below = RUNGS[3]
    held = said(below, health(219.0, used=below), replace(way, calm=0.0))
    assert held.rate == below
    assert held.reason.startswith("kept, for more was too much: 16.0 MiB/s; produce p99")
    tried = decide(RUNGS, below, health(220.0, used=below), LEVEL, replace(way, calm=0.0))
    assert tried.rate == RATE
    once = decide(RUNGS, RATE, health(223.0, mean=0.1), LEVEL, tried.course).course
    again = decide(RUNGS, RATE, health(225.0, mean=0.1), LEVEL, once).course
    assert (again.until, again.penalty) == (225.0 + 240.0, 240.0)
    most = replace(again, penalty=1800.0, lowered=None)
    assert decide(RUNGS, RATE, health(900.0, mean=0.1), LEVEL, most).course.penalty == 1800.0


def test_what_is_too_much_lower_down_is_barred_anew() -> None:
    way = course(barred=RUNGS[9], penalty=480.0, until=999.0, suspicion=1.0)
    found = decide(RUNGS, RATE, health(mean=0.1), LEVEL, way).course
    assert (found.barred, found.penalty) == (RATE, 120.0)


HEALTHS = st.builds(
    Health,
    seconds=st.just(0.0),
    p99=st.none() | st.floats(0.001, 1.0),
    mean=st.none() | st.floats(0.001, 0.5),
    handlers_idle=st.none() | st.floats(0.0, 1.0),
    shrinks=st.sampled_from([0, 0, 0, 1]),
    lost=st.sampled_from([frozenset(), frozenset(), LOST]),
    doubtful=st.sampled_from([frozenset(), frozenset(), LOST]),
    used=st.none() | st.floats(0.0, 600.0 * MI),
    counted=st.none() | st.floats(0.0, 600.0 * MI),
    unknown=st.sampled_from(["", "", "broker 1 (silent)"]),
)
LEVELS = st.builds(
    Level, p99=st.none() | st.floats(0.001, 0.1), mean=st.none() | st.floats(0.001, 0.1)
)


def unwell(seen: Health, level: Level) -> bool:
    """Whether anything at all speaks against more."""
    high, slow = (
        value is not None and before is not None and value > max(before * 1.5, before + slack)
        for value, before, slack in (
            (seen.p99, level.p99, 0.005),
            (seen.mean, level.mean, 0.0025),
        )
    )
    # A high percentile may be a memory, if all that was just answered was as fast as before.
    high &= seen.mean is None or level.mean is None or seen.mean > 1.1 * level.mean
    busy = seen.handlers_idle is not None and seen.handlers_idle < 0.5
    replicas = seen.shrinks or seen.lost or seen.doubtful
    return bool(high or slow or busy or replicas or seen.unknown or seen.used is None)


@given(
    st.integers(1, 10**8),
    st.integers(0, 10**9),
    LEVELS,
    st.lists(st.tuples(st.floats(0.1, 60.0), HEALTHS), max_size=40),
)
def test_whatever_is_seen_the_rate_stays_on_the_ladder_and_never_rises_into_trouble(
    least: int, more: int, level: Level, seen: list[tuple[float, Health]]
) -> None:
    rungs = ladder(least, least + more)
    rate, now = adaptive.first_rate(rungs), 0.0
    way = Course(calm=0.0, p99=level.p99)
    for pause, each in seen:
        now += pause
        found = decide(rungs, rate, replace(each, seconds=now), level, way)
        assert found.rate in rungs
        assert rungs.index(found.rate) <= rungs.index(rate) + 1, "a rung at a time"
        if unwell(each, level):
            assert found.rate <= rate
        if each.lost or each.shrinks:
            assert found.rate == rungs[0]
        assert (found.rate != rate) <= bool(found.reason), "no change without a reason"
        rate, way = found.rate, found.course


@given(bearable=st.integers(0, 16), lingering=st.booleans())
def test_it_settles_below_what_the_brokers_bear_and_seldom_tries_more(
    bearable: int, *, lingering: bool
) -> None:
    """An hour with brokers that clients feel from a certain rate on, and a throttle that binds."""
    rate, way = adaptive.first_rate(RUNGS), Course(calm=0.0, p99=LEVEL.p99)
    above, linger = [], 0.0
    for now in range(5, 3605, 5):
        hard = RUNGS.index(rate) >= bearable
        linger = now + 130.0 if hard else linger
        slow = now < linger if lingering else hard
        seen = health(
            float(now), used=rate, mean=0.02 if hard else 0.002, p99=0.05 if slow else 0.01
        )
        above += [hard]
        found = decide(RUNGS, rate, seen, LEVEL, way)
        rate, way = found.rate, found.course
    if bearable > 0:
        assert sum(above) <= 20, "of 720 looks"
        assert RUNGS.index(rate) >= min(bearable, len(RUNGS)) - 3
    else:
        assert rate == RUNGS[0]
