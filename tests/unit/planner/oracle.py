"""The exact optimum by OR-tools' minimum-cost flow, in whole numbers, over every single partition.

Written from the words of the issue alone: it shares no code and no idea with the planner. Every
rule is an arc, or the absence of one:

- a partition sends as many units as it shall have replicas, each to another broker;
- through a node per rack where racks count, whose capacity is the partition's rack cap;
- no arc leads to a broker that may not hold the partition;
- an arc to a broker that has no copy costs one move;
- from a broker to the sink each further unit costs more: the step between two squares.

Several aims in strict order are one cost: each is multiplied by more than all lesser ones together
can ever come to.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm, prod
from operator import mul
from typing import TYPE_CHECKING, NamedTuple

from ortools.graph.python.min_cost_flow import (  # type: ignore[import-untyped] # has no py.typed
    SimpleMinCostFlow,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from broker_operator.core.model import Assignment, Replicas
    from broker_operator.core.planner import PlanRequest


class Optimum(NamedTuple):
    """What the best possible plan reaches.

    Attributes:
        imbalance: Sum of load^2 / weight over the target brokers.
        changes: The fewest moves, or preferred leader changes, that reach it.
    """

    imbalance: Fraction
    changes: int


class Partition(NamedTuple):
    """A partition that may move, in the terms of the issue.

    Attributes:
        held: Brokers that have a copy.
        factor: Replicas that it shall have.
        room: Brokers that may hold it -> their racks.
        cap: Most replicas in one rack.
    """

    topic: str
    number: int
    replicas: Replicas
    held: frozenset[int]
    factor: int
    room: Mapping[int, str]
    cap: int


def rack_of(request: PlanRequest) -> Mapping[int, str]:
    """Return target broker -> rack, one for all unless every target has one."""
    racks = {b.id: b.rack for b in request.brokers if b.id in request.targets}
    if all(racks.values()):
        return {broker: str(rack) for broker, rack in racks.items()}
    return dict.fromkeys(racks, "everywhere")


def cap_of(factor: int, rack: Mapping[int, str]) -> int:
    """Return the smallest cap that lets the brokers hold `factor` replicas."""
    sizes = Counter(rack.values()).values()
    return next(c for c in range(1, factor + 1) if sum(min(c, s) for s in sizes) >= factor)


def weight_of(request: PlanRequest) -> Mapping[int, Fraction]:
    """Return target broker -> weight, as the short decimal number that was meant."""
    return {
        b.id: Fraction(b.weight).limit_denominator(1000)
        for b in request.brokers
        if b.id in request.targets
    }


def imbalance(request: PlanRequest, counts: Mapping[int, int]) -> Fraction:
    """Return the sum of count^2 / weight over the target brokers."""
    return sum(
        (counts.get(b, 0) ** 2 / weight for b, weight in weight_of(request).items()), Fraction()
    )


def held_by(request: PlanRequest, topic: str, number: int) -> frozenset[int]:
    """Return the brokers that have a copy of a partition."""
    listed = request.assignment[topic][number]
    return frozenset(request.held.get(topic, {}).get(number, listed))


def factor_of(request: PlanRequest, topic: str, number: int) -> int:
    """Return how many replicas a partition shall have."""
    listed = request.assignment[topic][number]
    if topic in request.pinned or not listed:
        return len(listed)
    return request.factors.get(topic, len(listed))


def movable(request: PlanRequest) -> Iterator[Partition]:
    """Yield every partition that is not pinned."""
    rack = rack_of(request)
    for topic, partitions in request.assignment.items():
        if topic in request.pinned:
            continue
        for number, replicas in partitions.items():
            if not replicas:
                continue
            held = held_by(request, topic, number)
            factor = factor_of(request, topic, number)
            room = {b: rack[b] for b in rack if b not in request.excluded or b in held}
            cap = cap_of(factor, room)
            yield Partition(topic, number, replicas, held, factor, room, cap)


def fewest_moves(request: PlanRequest) -> Optimum:
    """Return the least imbalance of the loads, and the fewest moves that reach it."""
    cost = _placement(request, Flow(), evenly=False)
    return Optimum(cost[0], int(cost[1]))


def most_even_topics(request: PlanRequest) -> Fraction:
    """Return how even topics can be, given the best balance and the fewest moves.

    It is the sum over topics of the imbalance of each topic's replicas.
    """
    return _placement(request, Flow(), evenly=True)[2]


def fewest_leader_changes(request: PlanRequest, target: Assignment) -> Optimum:
    """Return the same as `fewest_moves` for preferred leaders, the replicas being where they are.

    A change is a partition whose first replica is another one than in `request.assignment`.
    """
    flow = Flow()
    rises = _Rises(request)
    for topic, partitions in target.items():
        for number, replicas in partitions.items():
            name = (topic, number)
            before = request.assignment[topic][number][:1]
            if topic in request.pinned:
                rises.base.update(replicas[:1])
            elif replicas:
                flow.supply(name, 1)
                for broker in replicas:
                    flow.arc(name, ("broker", broker), 1, (0, int((broker,) != before)))
                    rises.most[broker] += 1
    for broker, most in rises.most.items():
        for lead in range(most):
            flow.arc(("broker", broker), flow.SINK, 1, (rises.step(broker, lead), 0))
    steps, changes = flow.cheapest(2)
    return Optimum(rises.total(steps), changes)


@dataclass
class _Rises:
    """What each further unit on a broker adds to the imbalance, in whole numbers.

    Attributes:
        base: Units that are there whatever happens.
        most: Most further units that each broker can get.
    """

    request: PlanRequest
    base: Counter[int] = field(default_factory=Counter)
    most: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        weights = weight_of(self.request)
        self.unit = lcm(*((1 / weight).denominator for weight in weights.values()))
        self._scale = {b: int(self.unit / weight) for b, weight in weights.items()}

    def step(self, broker: int, count: int) -> int:
        """Return the cost of the unit that comes on top of `count` and the base."""
        return (2 * (count + self.base[broker]) + 1) * self._scale[broker]

    def total(self, steps: int) -> Fraction:
        """Return the imbalance that these steps lead to."""
        return Fraction(steps, self.unit) + imbalance(self.request, self.base)


def _placement(request: PlanRequest, flow: Flow, *, evenly: bool) -> tuple[Fraction, ...]:
    """Return imbalance, moves, and the imbalance of the topics where they are to be even."""
    rises = _Rises(request)
    for topic in request.pinned:
        for replicas in request.assignment[topic].values():
            rises.base.update(replicas)
    most: Counter[tuple[str, int]] = Counter()
    for topic, number, _, held, factor, room, cap in movable(request):
        name = (topic, number)
        flow.supply(name, factor)
        for rack in set(room.values()):
            flow.arc(name, (*name, rack), cap, (0, 0, 0))
        for broker, rack in room.items():
            end = ("broker", topic, broker) if evenly else ("broker", broker)
            flow.arc((*name, rack), end, 1, (0, int(broker not in held), 0))
            rises.most[broker] += 1
            most[topic, broker] += 1
    of_topics = _Rises(request)
    if evenly:
        _fill_topics(flow, of_topics, most)
    for broker, count in rises.most.items():
        for load in range(count):
            flow.arc(("broker", broker), flow.SINK, 1, (rises.step(broker, load), 0, 0))
    steps, moves, uneven = flow.cheapest(3)
    return rises.total(steps), Fraction(moves), Fraction(uneven, of_topics.unit)


def _fill_topics(flow: Flow, rises: _Rises, most: Mapping[tuple[str, int], int]) -> None:
    """Let what a broker has of each topic cost more with each further replica."""
    for (topic, broker), count in most.items():
        for load in range(count):
            cost = (0, 0, rises.step(broker, load))
            flow.arc(("broker", topic, broker), ("broker", broker), 1, cost)


class Flow:
    """A minimum-cost flow whose costs are tuples, compared from the left."""

    SINK = "sink"

    def __init__(self) -> None:
        self._nodes: dict[Hashable, int] = {}
        self._supplies: Counter[int] = Counter()
        self._arcs: list[tuple[int, int, int]] = []
        self._costs: list[tuple[int, ...]] = []

    def supply(self, name: Hashable, amount: int) -> None:
        """Let `amount` units start here and end in the sink."""
        self._supplies[self._node(name)] += amount
        self._supplies[self._node(self.SINK)] -= amount

    def arc(self, tail: Hashable, head: Hashable, room: int, cost: tuple[int, ...]) -> None:
        """Let up to `room` units go from one node to another, at this cost each."""
        self._arcs.append((self._node(tail), self._node(head), room))
        self._costs.append(cost)

    def cheapest(self, aims: int) -> tuple[int, ...]:
        """Return the least cost of letting everything reach the sink."""
        limits = [0] * aims
        for (_, _, room), cost in zip(self._arcs, self._costs, strict=True):
            limits = [limit + room * price for limit, price in zip(limits, cost, strict=True)]
        above = [limit + 1 for limit in limits]
        factors = [prod(above[aim + 1 :]) for aim in range(aims)]
        assert prod(above) * len(self._nodes) < 1 << 62, "the costs are too large for the solver"
        solver = SimpleMinCostFlow()
        for (tail, head, room), cost in zip(self._arcs, self._costs, strict=True):
            price = sum(map(mul, cost, factors))
            solver.add_arc_with_capacity_and_unit_cost(tail, head, room, price)
        for node, amount in self._supplies.items():
            solver.set_node_supply(node, amount)
        status = solver.solve()
        assert status == solver.OPTIMAL, f"the case has no valid assignment: {status}"
        found, total = [], solver.optimal_cost()
        for factor in factors:
            share, total = divmod(total, factor)
            found.append(share)
        return tuple(found)

    def _node(self, name: Hashable) -> int:
        return self._nodes.setdefault(name, len(self._nodes))
