"""Repair a layout until it is optimal: balance first, then cost.

Brokers are the nodes of a graph. An exchange (one replica of one partition goes from giver to
taker) is an arc with the moves it adds; a chain of exchanges shifts one unit of load from its
first broker to its last. One further node, the sink, closes such chains to cycles and charges them
for the change of the sum of squared loads, dearer than any number of moves. When no cycle pays off
any more, the layout is optimal: the graph is a condensed form of a minimum-cost flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from broker_operator.core.planner.cycles import NOTHING, Arc, negative_cycles, without_repeats

if TYPE_CHECKING:
    from collections.abc import Sequence


class Exchangeable(Protocol):
    """What can be repaired. Brokers and partitions are indexes."""

    load: list[int]

    @property
    def step(self) -> Sequence[int]:
        """What one unit of load weighs on each broker."""

    def base(self, broker: int) -> int:
        """Return the load that nothing can change, to be added to `load`."""

    def row(self, giver: int) -> dict[int, tuple[int, int]]:
        """Return taker -> (cost, partition) of the cheapest exchange away from `giver`.

        The cost is the taker's price minus the giver's.
        """

    def best(self, giver: int, taker: int) -> tuple[int, int] | None:
        """Return the row's entry for one taker, None if there is none."""

    def times(self, giver: int, taker: int, cost: int) -> int:
        """Return how many exchanges of this cost there are that do not hinder each other."""

    def may_exchange(self, partition: int, giver: int, taker: int) -> bool:
        """Whether this exchange is allowed as things stand."""

    def price(self, partition: int, broker: int) -> int:
        """Return what it costs that the broker has the partition, 0 or 1."""

    def exchange(self, partition: int, giver: int, taker: int) -> None:
        """Make the exchange."""


def repair(layout: Exchangeable) -> None:
    """Cancel negative cycles until none is left."""
    graph = _Graph(layout)
    while cycles := graph.negative_cycles():
        for cycle in cycles:
            graph.cancel(cycle)


class _Graph:
    """The exchanges that are possible now."""

    def __init__(self, layout: Exchangeable) -> None:
        self._layout = layout
        self._sink = len(layout.load)
        self._unit = 2 * (self._sink + 2)  # more than all the moves one cycle can add or save

    def negative_cycles(self) -> list[list[Arc]]:
        """Return cycles that pay off and share no broker; none if there is none."""
        return negative_cycles([*map(self._row, range(self._sink)), self._sink_row()])

    def cancel(self, cycle: list[Arc]) -> None:
        """Make the exchanges of a cycle, as often as they pay off.

        Those of another cycle may have changed what this one was made of; then it is left.
        """
        if not all(self._holds(arc) for arc in cycle):
            return
        cycle = without_repeats(cycle, self._trade)
        arcs = [arc for arc in cycle if arc.partition != NOTHING]
        for time in range(self._times(cycle, arcs)):
            for arc in arcs:
                best = self._layout.best(arc.giver, arc.taker) if time else None
                partition = best[1] if best else arc.partition
                self._layout.exchange(partition, arc.giver, arc.taker)

    def _row(self, broker: int) -> dict[int, tuple[int, int]]:
        return {**self._layout.row(broker), self._sink: (self._rise(broker), NOTHING)}

    def _sink_row(self) -> dict[int, tuple[int, int]]:
        loaded = (broker for broker, load in enumerate(self._layout.load) if load)
        return {broker: (-self._rise(broker, -1), NOTHING) for broker in loaded}

    def _rise(self, broker: int, more: int = 0) -> int:
        """Return what one more unit costs on top of the present load and `more`."""
        load = self._layout.load[broker] + self._layout.base(broker) + more
        return self._unit * self._layout.step[broker] * (2 * load + 1)

    def _holds(self, arc: Arc) -> bool:
        """Whether an arc is still what it was."""
        if arc.taker == self._sink:
            return self._rise(arc.giver) == arc.cost
        if arc.giver == self._sink:
            return bool(self._layout.load[arc.taker]) and -self._rise(arc.taker, -1) == arc.cost
        return self._layout.best(arc.giver, arc.taker) == (arc.cost, arc.partition)

    def _times(self, cycle: list[Arc], arcs: list[Arc]) -> int:
        """Return how often a cycle can be gone round until it no longer pays off."""
        most = min(self._layout.times(arc.giver, arc.taker, arc.cost) for arc in arcs)
        paths = sum(arc.cost for arc in arcs)
        taker = next((arc.giver for arc in cycle if arc.taker == self._sink), None)
        giver = next((arc.taker for arc in cycle if arc.giver == self._sink), None)
        if taker is None or giver is None:
            return most
        low, high = 1, most
        while low < high:
            middle = (low + high + 1) // 2
            if self._rise(taker, middle - 1) - self._rise(giver, -middle) + paths < 0:
                low = middle
            else:
                high = middle - 1
        return low

    def _trade(self, first: Arc, second: Arc) -> tuple[Arc, Arc] | None:
        may, partition = self._layout.may_exchange, first.partition
        if may(partition, first.giver, second.taker) and may(partition, second.giver, first.taker):
            return self._arc(first, second), self._arc(second, first)
        return None

    def _arc(self, start: Arc, end: Arc) -> Arc:
        price, partition = self._layout.price, start.partition
        cost = price(partition, end.taker) - price(partition, start.giver)
        return Arc(start.giver, end.taker, cost, partition)
