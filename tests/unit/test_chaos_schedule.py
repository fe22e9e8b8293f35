"""Which rounds of chaos are drawn: the same for the same seed, of every kind, within the limits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.schedule import (
    EVACUATIONS,
    FORBIDDEN,
    KILLS_BROKERS,
    LARGEST,
    ON_RECORDS,
    SECONDS,
    SMALLEST,
    Kind,
    Moment,
    Play,
    Step,
    draw,
    parse_rounds,
    rounds,
)

few = settings(max_examples=30)
seeds = st.integers(0, 10**6)


@few
@given(seeds)
def test_fifty_rounds_have_every_play_and_every_fault(seed: int) -> None:
    drawn = rounds(seed, 1, 50)
    assert [r.number for r in drawn] == list(range(1, 51))
    assert {r.play for r in drawn} == set(Play)
    assert {fault.kind for r in drawn for fault in r.faults} == set(Kind)
    assert {len(r.faults) for r in drawn} == {1, 2}


@pytest.mark.parametrize("seed", range(20))
def test_faults_come_before_and_during_the_moves(seed: int) -> None:
    assert {drawn.moment for drawn in rounds(seed, 1, 200)} == set(Moment)


@few
@given(seeds, st.integers(1, 30), st.integers(0, 20))
def test_a_round_is_the_same_alone_and_among_others(seed: int, first: int, more: int) -> None:
    alone, among = rounds(seed, first, first), rounds(seed, 1, first + more)
    assert alone == among[first - 1 : first]
    assert draw(seed, first, alone[0].before) == alone[0]


def test_other_seeds_draw_other_rounds() -> None:
    assert len({tuple(rounds(seed, 1, 5)) for seed in range(20)}) == 20


@few
@given(seeds)
def test_what_is_drawn_keeps_within_what_kafka_promises(seed: int) -> None:
    brokers = SMALLEST
    for drawn in rounds(seed, 1, 40):
        kinds = [fault.kind for fault in drawn.faults]
        assert drawn.before == brokers
        assert len(set(kinds)) == len(kinds)
        assert len(KILLS_BROKERS.intersection(kinds)) <= 1, "never two brokers away at once"
        assert len(ON_RECORDS.intersection(kinds)) <= 1
        assert not FORBIDDEN.get(drawn.play, frozenset()).intersection(kinds)
        assert kinds == [Kind.API_OUTAGE] or Kind.API_OUTAGE not in kinds
        assert drawn.moment is Moment.MOVING or not ON_RECORDS.intersection(kinds)
        for fault in drawn.faults:
            low, high = SECONDS.get(fault.kind, (0.0, 0.0))
            assert low <= fault.seconds <= high
            assert 0 <= fault.pick < 1
        if drawn.play in EVACUATIONS:
            assert drawn.brokers > SMALLEST, "three replicas must fit on what is left"
            assert drawn.target in range(drawn.brokers)
        else:
            assert drawn.brokers == drawn.before
            assert drawn.target != drawn.before
        assert SMALLEST <= drawn.after <= LARGEST
        brokers = drawn.after


@few
@given(seeds)
def test_a_timeline_has_every_step_in_order_and_asks_nothing_of_a_silent_api(seed: int) -> None:
    for drawn in rounds(seed, 1, 20):
        line = drawn.timeline()
        times = [at for at, _, _ in line]
        assert times == sorted(times)
        assert [step for _, step, _ in line].count(Step.TURN) == 1
        assert len(line) == 1 + sum(2 if fault.seconds else 1 for fault in drawn.faults)
        open_ones = set()
        for _, step, fault in line:
            if step is Step.BEGIN and fault and fault.seconds:
                open_ones.add(fault.kind)
            elif step is Step.END and fault:
                open_ones.remove(fault.kind)
            elif step is Step.TURN:
                assert Kind.API_OUTAGE not in open_ones
        assert not open_ones


def test_a_round_in_words_has_all_that_it_does() -> None:
    drawn = next(r for r in rounds(7, 1, 50) if r.play in EVACUATIONS and r.before == SMALLEST)
    assert f"round {drawn.number}: 3 -> 4 brokers: {drawn.play.value}" in drawn.words
    assert f"(broker {drawn.target})" in drawn.words
    assert all(fault.kind.value in drawn.words for fault in drawn.faults)


@pytest.mark.parametrize(
    ("text", "span"), [("50", (1, 50)), ("7..9", (7, 9)), ("3..3", (3, 3)), ("1", (1, 1))]
)
def test_rounds_are_a_count_or_a_span(text: str, span: tuple[int, int]) -> None:
    assert parse_rounds(text) == span


@pytest.mark.parametrize("text", ["0", "9..7", "0..3", "x", "3..", "", "..3", "1...3", "-2"])
def test_other_rounds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rounds (count|are)"):
        parse_rounds(text)
