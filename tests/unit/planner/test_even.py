from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.core.planner import PlanRequest, even
from broker_operator.core.planner.even import even_out
from broker_operator.core.planner.layout import Layout
from broker_operator.core.planner.problem import number
from tests.unit.planner.cases import brokers

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment


@pytest.fixture(params=[even._ARCS, 4, 0], ids=["small", "middle", "large"], autouse=True)
def scale(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to the very end, go there for one of the topics, and stop where a large cluster would."""
    monkeypatch.setattr(even, "_ARCS", request.param)


def layout_of(
    origin: Assignment, *placed: tuple[int, ...], count: int = 2, racks: str = ""
) -> Layout:
    """Make a layout of brokers 0, 1 and so on; 8 and 9 are gone. `placed`: who holds what."""
    request = PlanRequest(origin, brokers([*range(count), 8, 9], racks), frozenset(range(count)))
    layout = Layout(number(request), (0,) * count)
    for partition, holders in enumerate(placed):
        for broker in holders:
            if broker not in layout.holders[partition]:
                layout.add(partition, broker)
    return layout


def spreads(layout: Layout) -> list[list[int]]:
    return [[its[b] for b in range(len(layout.load))] for _, its in sorted(layout.spread.items())]


def test_newcomers_of_two_topics_trade_places_so_that_both_are_even() -> None:
    lost = dict.fromkeys(range(2), (9,))
    layout = layout_of({"a": lost, "b": lost}, (0,), (0,), (1,), (1,))
    even_out(layout)
    assert spreads(layout) == [[1, 1], [1, 1]]
    assert layout.load == [2, 2]


def test_replicas_that_stay_do_not_trade() -> None:
    origin: Assignment = {"a": dict.fromkeys(range(2), (0,)), "b": dict.fromkeys(range(2), (9,))}
    layout = layout_of(origin, (0,), (0,), (1,), (1,))
    even_out(layout)
    assert spreads(layout) == [[2, 0], [0, 2]]


def test_newcomers_do_not_trade_where_the_racks_forbid_it() -> None:
    """Brokers 0 and 2 are in rack x, 1 and 3 in rack y: each partition needs one of either."""
    lost = dict.fromkeys(range(2), (8, 9))
    placed = ((0, 1), (0, 1), (2, 3), (2, 3))
    layout = layout_of({"a": lost, "b": lost}, *placed, count=4, racks="xy")
    even_out(layout)
    assert spreads(layout) == [[1, 1, 1, 1], [1, 1, 1, 1]]
    for low, high in layout.holders:
        assert (low % 2, high % 2) in {(0, 1), (1, 0)}
