"""Two exchanges of one partition in one cycle: each is allowed alone, both together are not."""

from __future__ import annotations

import pytest

from broker_operator.core.planner import PlanRequest
from broker_operator.core.planner.exchange import NOTHING, _Arc, _without_repeats
from broker_operator.core.planner.layout import Layout
from broker_operator.core.planner.problem import number
from tests.unit.planner.cases import brokers

A1, B1, C1, A2, B2, C2, SINK = range(7)


@pytest.fixture
def layout() -> Layout:
    """One partition on brokers A1 and B1 of racks a and b, with room in rack c for one replica."""
    request = PlanRequest({"t": {0: (A1, B1)}}, brokers(range(6), "abc"), frozenset(range(6)))
    layout = Layout(number(request))
    layout.add(0, A1)
    layout.add(0, B1)
    return layout


def cycle(first: int, second: int) -> list[_Arc]:
    """A1 gives the partition to C1, and B1 gives it to C2; the rest of the cycle costs as told."""
    return [
        _Arc(A1, C1, 1, 0),
        _Arc(C1, B1, first, 9),
        _Arc(B1, C2, 1, 0),
        _Arc(C2, A1, second, 8),
    ]


def test_the_half_that_still_pays_off_is_kept(layout: Layout) -> None:
    assert _without_repeats(layout, cycle(5, -9)) == [_Arc(A1, C2, 1, 0), _Arc(C2, A1, -9, 8)]
    assert _without_repeats(layout, cycle(-9, 5)) == [_Arc(C1, B1, -9, 9), _Arc(B1, C1, 1, 0)]


def test_exchanges_inside_two_racks_do_not_meet(layout: Layout) -> None:
    both = [_Arc(A1, A2, 1, 0), _Arc(A2, B1, -9, 9), _Arc(B1, B2, 1, 0), _Arc(B2, A1, 0, 8)]
    assert _without_repeats(layout, both) == both


def test_the_sink_is_no_partition(layout: Layout) -> None:
    through = [_Arc(A1, SINK, 3, NOTHING), _Arc(SINK, B1, -5, NOTHING), _Arc(B1, A1, 1, 7)]
    assert _without_repeats(layout, through) == through
