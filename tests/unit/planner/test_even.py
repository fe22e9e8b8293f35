from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.planner import PlanRequest
from broker_operator.core.planner.even import even_out
from broker_operator.core.planner.layout import Layout
from broker_operator.core.planner.problem import number
from tests.unit.planner.cases import brokers

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment


def layout_of(origin: Assignment, *placed: tuple[int, ...], racks: str = "") -> Layout:
    """Make a layout of brokers 0 to 3; 8 and 9 are gone. `placed`: holders of each partition."""
    request = PlanRequest(origin, brokers([*range(4), 8, 9], racks), frozenset(range(4)))
    layout = Layout(number(request))
    for partition, holders in enumerate(placed):
        for broker in holders:
            layout.add(partition, broker)
    return layout


def test_newcomers_of_two_topics_trade_places_so_that_both_are_even() -> None:
    lost = dict.fromkeys(range(2), (9,))
    layout = layout_of({"a": lost, "b": lost}, (0,), (0,), (1,), (1,))
    even_out(layout)
    assert layout.spread == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert layout.load == [2, 2, 0, 0]


def test_replicas_that_stay_do_not_trade() -> None:
    origin: Assignment = {"a": dict.fromkeys(range(2), (0,)), "b": dict.fromkeys(range(2), (9,))}
    layout = layout_of(origin, (0,), (0,), (1,), (1,))
    even_out(layout)
    assert layout.spread == [[2, 0, 0, 0], [0, 2, 0, 0]]


def test_newcomers_do_not_trade_where_the_racks_forbid_it() -> None:
    """Brokers 0 and 2 are in rack x, 1 and 3 in rack y: each partition needs one of either."""
    lost = dict.fromkeys(range(2), (8, 9))
    layout = layout_of({"a": lost, "b": lost}, (0, 1), (0, 1), (2, 3), (2, 3), racks="xy")
    even_out(layout)
    assert layout.spread == [[1, 1, 1, 1], [1, 1, 1, 1]]
    for low, high in layout.holders:
        assert (low % 2, high % 2) in {(0, 1), (1, 0)}
