"""Cycles that pay off, and two exchanges of one partition in one of them."""

from __future__ import annotations

from broker_operator.core.planner.cycles import NOTHING, Arc, negative_cycles, without_repeats

A1, B1, C1, A2, B2, C2, SINK = range(7)


def crossed(first: Arc, second: Arc) -> tuple[Arc, Arc]:
    """Let both trade takers, each at the cost of 1."""
    return (
        Arc(first.giver, second.taker, 1, first.partition),
        Arc(second.giver, first.taker, 1, first.partition),
    )


def cycle(first: int, second: int) -> list[Arc]:
    """A1 gives the partition to C1, and B1 gives it to C2; the rest of the cycle costs as told."""
    return [
        Arc(A1, C1, 1, 0),
        Arc(C1, B1, first, 9),
        Arc(B1, C2, 1, 0),
        Arc(C2, A1, second, 8),
    ]


def test_cycles_that_pay_off_are_found_all_at_once() -> None:
    rows = [{1: (2, 10)}, {0: (-3, 11)}, {3: (0, 12)}, {2: (-1, 13), 0: (5, 14)}]
    found = negative_cycles(rows)
    assert sorted(sorted(arc.partition for arc in its) for its in found) == [[10, 11], [12, 13]]
    assert all(
        arc.taker == after.giver
        for its in found
        for arc, after in zip(its, its[1:] + its[:1], strict=True)
    )


def test_there_is_none_where_nothing_pays_off() -> None:
    assert negative_cycles([{1: (2, 10)}, {0: (-2, 11)}, {0: (-7, 12)}]) == []
    assert negative_cycles([]) == []


def test_the_half_that_still_pays_off_is_kept() -> None:
    assert without_repeats(cycle(5, -9), crossed) == [Arc(A1, C2, 1, 0), Arc(C2, A1, -9, 8)]
    assert without_repeats(cycle(-9, 5), crossed) == [Arc(C1, B1, -9, 9), Arc(B1, C1, 1, 0)]


def test_exchanges_that_do_not_meet_stay_as_they_are() -> None:
    both = [Arc(A1, A2, 1, 0), Arc(A2, B1, -9, 9), Arc(B1, B2, 1, 0), Arc(B2, A1, 0, 8)]
    assert without_repeats(both, lambda *_: None) == both


def test_the_sink_is_no_partition() -> None:
    through = [Arc(A1, SINK, 3, NOTHING), Arc(SINK, B1, -5, NOTHING), Arc(B1, A1, 1, 7)]
    assert without_repeats(through, crossed) == through
