"""The exact optimum by a textbook minimum-cost flow over every single partition.

Slow and plain on purpose: it shares no code and no idea with the planner.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from broker_operator.core.planner import Plan, PlanRequest

UNEVEN = 10**6
"""Price of one unit of the sum of squares: above all moves of a small case together."""


class Optimum(NamedTuple):
    squares: int
    changes: int


class Flow:
    """Successive shortest paths (Bellman-Ford with a queue)."""

    def __init__(self) -> None:
        self._heads: list[int] = []
        self._room: list[int] = []
        self._cost: list[int] = []
        self._arcs: list[list[int]] = []
        self._nodes: dict[Hashable, int] = {}

    def arc(self, tail: Hashable, head: Hashable, room: int, cost: int) -> None:
        a, b = self._node(tail), self._node(head)
        for start, end, space, price in ((a, b, room, cost), (b, a, 0, -cost)):
            self._arcs[start].append(len(self._heads))
            self._heads.append(end)
            self._room.append(space)
            self._cost.append(price)

    def cheapest(self, source: Hashable, sink: Hashable) -> tuple[int, int]:
        """Return the largest flow and its least cost."""
        start, end = self._node(source), self._node(sink)
        amount = total = 0
        while (found := self._shortest(start, end)) is not None:
            cost, arcs = found
            for arc in arcs:
                self._room[arc] -= 1
                self._room[arc ^ 1] += 1
            amount += 1
            total += cost
        return amount, total

    def _node(self, name: Hashable) -> int:
        if name not in self._nodes:
            self._nodes[name] = len(self._arcs)
            self._arcs.append([])
        return self._nodes[name]

    def _shortest(self, start: int, end: int) -> tuple[int, list[int]] | None:
        distance: dict[int, int] = {start: 0}
        via: dict[int, int] = {}
        queue = deque([start])
        waiting = {start}
        while queue:
            node = queue.popleft()
            waiting.discard(node)
            for arc in self._arcs[node]:
                head = self._heads[arc]
                through = distance[node] + self._cost[arc]
                if self._room[arc] and (head not in distance or through < distance[head]):
                    distance[head], via[head] = through, arc
                    if head not in waiting:
                        waiting.add(head)
                        queue.append(head)
        if end not in distance:
            return None
        path: list[int] = []
        node = end
        while node != start:
            path.append(via[node])
            node = self._heads[via[node] ^ 1]
        return distance[end], path


def rack_of(request: PlanRequest) -> Mapping[int, str]:
    """Return broker -> rack, one for all unless every target has one."""
    racks = {b.id: b.rack for b in request.brokers if b.id in request.targets}
    if all(racks.values()):
        return {broker: str(rack) for broker, rack in racks.items()}
    return dict.fromkeys(racks, "everywhere")


def cap_of(factor: int, rack: Mapping[int, str]) -> int:
    """Return the most replicas a rack may hold."""
    sizes = Counter(rack.values()).values()
    return next(c for c in range(1, factor + 1) if sum(min(c, s) for s in sizes) >= factor)


def fewest_moves(request: PlanRequest) -> Optimum:
    """Return the least sum of squared loads, and the fewest moves that reach it."""
    flow = Flow()
    rack = rack_of(request)
    replicas = 0
    for topic, partitions in request.assignment.items():
        for number, listed in partitions.items():
            name = (topic, number)
            factor = len(set(listed))
            replicas += factor
            flow.arc("source", name, factor, 0)
            for its in set(rack.values()):
                flow.arc(name, (*name, its), cap_of(factor, rack), 0)
            for broker, its in rack.items():
                flow.arc((*name, its), broker, 1, int(broker not in listed))
    for broker in rack:
        for load in range(replicas):
            flow.arc(broker, "sink", 1, UNEVEN * (2 * load + 1))
    return _optimum(flow, replicas)


def fewest_leader_changes(plan: Plan) -> Optimum:
    """Return the same for preferred leaders, the replicas being where the plan puts them."""
    flow = Flow()
    partitions = 0
    brokers: set[int] = set()
    for topic, its in plan.target.items():
        for number, replicas in its.items():
            name = (topic, number)
            partitions += 1
            brokers.update(replicas)
            flow.arc("source", name, 1, 0)
            for broker in replicas:
                flow.arc(name, broker, 1, int(plan.origin[topic][number][0] != broker))
    for broker in brokers:
        for load in range(partitions):
            flow.arc(broker, "sink", 1, UNEVEN * (2 * load + 1))
    return _optimum(flow, partitions)


def _optimum(flow: Flow, expected: int) -> Optimum:
    amount, cost = flow.cheapest("source", "sink")
    assert amount == expected, "the case has no valid assignment"
    return Optimum(*divmod(cost, UNEVEN))
