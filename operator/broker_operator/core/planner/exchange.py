"""Repair a layout until it is optimal: balance first, then cost.

Brokers are the nodes of a graph. An exchange (one replica of one partition goes from giver to
taker) is an arc with the moves it adds; a chain of exchanges shifts one unit of load from its
first broker to its last. One further node, the sink, closes such chains to cycles and charges them
for the change of the sum of squared loads, dearer than any number of moves. Cancelling cycles of
negative cost until there is none left is the classic proof of optimality for minimum-cost flows,
of which this graph is a condensed form.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

NOTHING = -1
"""Partition of the arcs to and from the sink."""


class Exchangeable(Protocol):
    """What can be repaired. Brokers and partitions are indexes."""

    load: list[int]

    def row(self, giver: int) -> dict[int, tuple[int, int]]:
        """Return taker -> (cost, partition) of the cheapest exchange away from `giver`.

        The cost is the taker's price minus the giver's.
        """

    def may_exchange(self, partition: int, giver: int, taker: int) -> bool:
        """Whether this exchange is allowed as things stand."""

    def price(self, partition: int, broker: int) -> int:
        """Return what it costs that the broker has the partition, 0 or 1."""

    def exchange(self, partition: int, giver: int, taker: int) -> None:
        """Make the exchange."""


class _Arc(NamedTuple):
    giver: int
    taker: int
    cost: int
    partition: int


def repair(layout: Exchangeable) -> None:
    """Cancel negative cycles until none is left."""
    while cycle := _negative_cycle(layout):
        for arc in _without_repeats(layout, cycle):
            if arc.partition != NOTHING:
                layout.exchange(arc.partition, arc.giver, arc.taker)


def _negative_cycle(layout: Exchangeable) -> list[_Arc]:
    """Return the arcs of a cycle with negative cost, in order; empty if there is none.

    Bellman-Ford from everywhere at once; a cycle among the parents is a negative one.
    """
    arcs = _arcs(layout)
    nodes = len(layout.load) + 1
    distance = [0] * nodes
    parent: dict[int, _Arc] = {}
    relaxed = True
    while relaxed:
        relaxed = False
        for arc in arcs:
            through = distance[arc.giver] + arc.cost
            if through < distance[arc.taker]:
                distance[arc.taker] = through
                parent[arc.taker] = arc
                relaxed = True
        if cycle := _cycle_of(parent):
            return cycle
    return []


def _arcs(layout: Exchangeable) -> list[_Arc]:
    sink = len(layout.load)
    unit = 2 * (sink + 2)  # more than all the moves one cycle can add or save
    arcs: list[_Arc] = []
    for broker, load in enumerate(layout.load):
        arcs.append(_Arc(broker, sink, unit * (2 * load + 1), NOTHING))
        if load:
            arcs.append(_Arc(sink, broker, unit * (1 - 2 * load), NOTHING))
        arcs += [_Arc(broker, taker, *best) for taker, best in layout.row(broker).items()]
    return arcs


def _cycle_of(parent: dict[int, _Arc]) -> list[_Arc]:
    """Return a cycle among the parents, empty if they form a forest."""
    seen: dict[int, int] = {}
    for start in parent:
        node = start
        while node in parent and node not in seen:
            seen[node] = start
            node = parent[node].giver
        if seen.get(node) == start:
            return _walk_back(parent, node)
    return []


def _walk_back(parent: dict[int, _Arc], end: int) -> list[_Arc]:
    cycle = [parent[end]]
    while cycle[-1].giver != end:
        cycle.append(parent[cycle[-1].giver])
    return cycle[::-1]


def _without_repeats(layout: Exchangeable, cycle: list[_Arc]) -> list[_Arc]:
    """Return a negative cycle whose exchanges can all be made.

    Two exchanges of the same partition may be in each other's way, as each was looked at alone.
    If so, both may trade takers; that cuts the cycle in two, and one of the halves is negative.
    """
    for i, first in enumerate(cycle):
        for j in range(i + 1, len(cycle)):
            second = cycle[j]
            if first.partition == second.partition != NOTHING and _may_trade(layout, first, second):
                outer = [*cycle[:i], _arc(layout, first, second), *cycle[j + 1 :]]
                inner = [*cycle[i + 1 : j], _arc(layout, second, first)]
                negative = outer if sum(arc.cost for arc in outer) < 0 else inner
                return _without_repeats(layout, negative)
    return cycle


def _may_trade(layout: Exchangeable, first: _Arc, second: _Arc) -> bool:
    partition = first.partition
    return layout.may_exchange(partition, first.giver, second.taker) and layout.may_exchange(
        partition, second.giver, first.taker
    )


def _arc(layout: Exchangeable, start: _Arc, end: _Arc) -> _Arc:
    partition = start.partition
    cost = layout.price(partition, end.taker) - layout.price(partition, start.giver)
    return _Arc(start.giver, end.taker, cost, partition)
