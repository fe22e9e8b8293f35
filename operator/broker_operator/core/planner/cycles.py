"""Negative cycles in a small graph of exchanges.

An arc is one replica (or preferred leadership) of one partition that goes from one node to another,
at a cost. As long as there is a cycle of negative cost, going round it makes the whole cheaper;
when there is none, nothing can: the classic proof of optimality for minimum-cost flows.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NOTHING = -1
"""Partition of an arc that moves none."""

Row: TypeAlias = "Mapping[int, tuple[int, int]]"
"""Taker -> (cost, partition) of the cheapest arc from one node."""


class Arc(NamedTuple):
    """What goes from one node to another."""

    giver: int
    taker: int
    cost: int
    partition: int


def negative_cycles(rows: Sequence[Row]) -> list[list[Arc]]:
    """Return cycles of negative cost that share no node, arcs in order; none if there is none.

    Bellman-Ford from every node at once; a cycle among the parents is a negative one.

    Args:
        rows: The arcs from each node.
    """
    nodes = len(rows)
    distance = [0] * nodes
    parent: dict[int, Arc] = {}
    queue = deque(range(nodes))
    waiting = [True] * nodes
    until_look = nodes
    while queue:
        node = queue.popleft()
        waiting[node] = False
        here = distance[node]
        for taker, (cost, partition) in rows[node].items():
            if here + cost < distance[taker]:
                distance[taker] = here + cost
                parent[taker] = Arc(node, taker, cost, partition)
                if not waiting[taker]:
                    waiting[taker] = True
                    queue.append(taker)
        until_look -= 1
        if until_look == 0 or not queue:
            until_look = nodes
            if cycles := _cycles_of(parent):
                return cycles
    return []


def without_repeats(
    cycle: list[Arc], trade: Callable[[Arc, Arc], tuple[Arc, Arc] | None]
) -> list[Arc]:
    """Return a negative cycle whose exchanges can all be made.

    Two exchanges of the same partition may be in each other's way, as each was looked at alone.
    If so, both may trade takers; that cuts the cycle in two, and one of the halves is negative.

    Args:
        cycle: A negative cycle, each of whose arcs is allowed by itself.
        trade: Given two arcs of one partition, returns them with their takers traded; None if that
            is not allowed.
    """
    for i, first in enumerate(cycle):
        for j in range(i + 1, len(cycle)):
            second = cycle[j]
            if first.partition == second.partition != NOTHING:
                traded = trade(first, second)
                if traded:
                    outer = [*cycle[:i], traded[0], *cycle[j + 1 :]]
                    inner = [*cycle[i + 1 : j], traded[1]]
                    negative = outer if sum(arc.cost for arc in outer) < 0 else inner
                    return without_repeats(negative, trade)
    return cycle


def _cycles_of(parent: dict[int, Arc]) -> list[list[Arc]]:
    """Return the cycles among the parents, none if they form a forest."""
    cycles: list[list[Arc]] = []
    seen: dict[int, int] = {}
    for start in parent:
        node = start
        while node in parent and node not in seen:
            seen[node] = start
            node = parent[node].giver
        if seen.get(node) == start:
            cycles.append(_walk_back(parent, node))
    return cycles


def _walk_back(parent: dict[int, Arc], end: int) -> list[Arc]:
    cycle = [parent[end]]
    while cycle[-1].giver != end:
        cycle.append(parent[cycle[-1].giver])
    return cycle[::-1]
