"""Exchanges that were looked at alone, made together."""

from __future__ import annotations

import pytest

from broker_operator.core.planner import PlanRequest
from broker_operator.core.planner.cycles import Arc
from broker_operator.core.planner.even import _TopicGraph
from broker_operator.core.planner.exchange import _Graph
from broker_operator.core.planner.layout import Layout
from broker_operator.core.planner.leaders import _Leadership
from broker_operator.core.planner.problem import number
from tests.unit.planner.cases import brokers

A1, B1, C1, A2, B2, C2 = range(6)


@pytest.fixture
def layout() -> Layout:
    """One partition on brokers A1 and B1 of racks a and b, with room in rack c for one replica."""
    request = PlanRequest({"t": {0: (A1, B1)}}, brokers(range(6), "abc"), frozenset(range(6)))
    return Layout(number(request), (0,) * 6)


@pytest.mark.parametrize("graph", ["loads", "topics"])
def test_two_replicas_of_a_partition_trade_their_ways_only_where_both_may_go(
    layout: Layout, graph: str
) -> None:
    its = _Graph(layout) if graph == "loads" else _TopicGraph(layout, [0])
    into_c = its._trade(Arc(A1, C1, 1, 0), Arc(B1, C2, 1, 0))
    assert into_c is not None
    assert [arc[:2] for arc in into_c] == [(A1, C2), (B1, C1)]
    assert [arc.partition for arc in into_c] == [0, 0]
    assert all(arc.cost > 0 for arc in into_c)
    # Inside their racks they do not meet: each could not take the other's way.
    assert its._trade(Arc(A1, A2, 1, 0), Arc(B1, B2, 1, 0)) is None


@pytest.mark.parametrize("graph", ["loads", "topics"])
def test_a_cycle_that_is_no_longer_what_it_was_is_left(layout: Layout, graph: str) -> None:
    its = _Graph(layout) if graph == "loads" else _TopicGraph(layout, [0])
    its.cancel([Arc(A1, A2, -7, 0), Arc(A2, A1, 0, 0)])
    assert layout.holders == [[A1, B1]]


def test_who_leads_may_hand_over_to_another_holder_only(layout: Layout) -> None:
    leadership = _Leadership(layout)
    assert leadership.may_exchange(0, A1, B1)
    assert not leadership.may_exchange(0, B1, A1)
    assert not leadership.may_exchange(0, A1, C1)
