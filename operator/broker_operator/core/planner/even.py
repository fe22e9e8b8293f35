"""Make topics more even without touching loads or moves."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from broker_operator.core.planner.cycles import NOTHING, Arc, negative_cycles, without_repeats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.core.planner.layout import Layout

_ARCS = 60_000
"""Topics times brokers squared for which evenness is sought to the very end; of more topics the
most uneven ones have their turn."""
_LOOKS = 3_000_000
"""Replicas that are looked at in this search at most: topics of thousands of partitions do not hold
the plan up."""
_TRIED = 100
"""Other topics, and partitions of each, that are looked at for one trade."""
_TRIES = 20_000
"""Trades that are tried at most."""


def even_out(layout: Layout) -> None:
    """Exchange replicas while that makes their topics more even; loads and moves stay as they are.

    First by trades of what moves anyway, in one round over all topics: what was placed greedily is
    nearly even already. Then, in clusters that are not too large for it, until the sum of squares
    over topics and brokers is the least possible.
    """
    trades = _Trades(layout)
    for topic, spread in layout.spread.items():
        for giver in trades.givers(topic):
            relieved = True
            while relieved and spread[giver] > 1 and trades.tries_left > 0:
                relieved = trades.relieve(topic, giver)
    count = _ARCS // len(layout.load) ** 2
    topics = _most_uneven(layout, count) if count and layout.changed else []
    if topics:
        graph = _TopicGraph(layout, topics)
        while graph.looks_left > 0 and (cycles := negative_cycles(graph.rows)):
            for cycle in cycles:
                graph.cancel(cycle)


def _most_uneven(layout: Layout, count: int) -> list[int]:
    """Return the topics whose replicas lie furthest apart, ascending."""
    gaps = {
        topic: max(spread.values()) - min(spread.get(b, 0) for b in range(len(layout.load)))
        for topic, spread in layout.spread.items()
    }
    return sorted(sorted(gaps, key=lambda topic: (-gaps[topic], topic))[:count])


class _TopicGraph:
    """What could be exchanged, each topic by itself, with loads and moves kept.

    Every broker has a node for each topic and a hub. A replica of a topic goes from node to node of
    that topic; a hub lets a broker get one of one topic for one of another, at the price of what
    that does to the squares of both. Between the hubs is a sink, for brokers of equal weight may
    trade their whole loads.
    """

    def __init__(self, layout: Layout, topics: list[int]) -> None:
        self._layout = layout
        self._brokers = len(layout.load)
        self._topics = topics
        self._held: list[list[dict[int, None]]] = [[{} for _ in layout.load] for _ in topics]
        numbers = {topic: i for i, topic in enumerate(topics)}
        for partition, topic in enumerate(layout.problem.topic):
            if topic in numbers:
                for broker in layout.holders[partition]:
                    self._held[numbers[topic]][broker][partition] = None
        most = max((max(spread.values()) for spread in layout.spread.values()), default=0)
        self.looks_left = _LOOKS
        nodes = (len(self._topics) + 1) * self._brokers
        self._move = nodes * max(layout.step) * (2 * most + 2 * nodes + 1)  # above all squares
        self._unit = 2 * nodes * self._move  # above all moves
        hubs = len(self._topics) * self._brokers
        self.rows: list[dict[int, tuple[int, int]]] = [{} for _ in range(hubs + self._brokers + 1)]
        for i in range(len(self._topics)):
            self._refresh(i, range(self._brokers))

    def cancel(self, cycle: list[Arc]) -> None:
        """Make the exchanges of a cycle, if nothing that it is made of has changed."""
        if all(self.rows[a.giver].get(a.taker) == (a.cost, a.partition) for a in cycle):
            arcs = [a for a in without_repeats(cycle, self._trade) if a.partition != NOTHING]
            touched: dict[int, set[int]] = {}
            for arc in arcs:
                i, giver, taker = (*divmod(arc.giver, self._brokers), arc.taker % self._brokers)
                touched.setdefault(i, set()).update((*self._layout.holders[arc.partition], taker))
                self._layout.exchange(arc.partition, giver, taker)
                del self._held[i][giver][arc.partition]
                self._held[i][taker][arc.partition] = None
            for i, brokers in touched.items():
                self._refresh(i, sorted(brokers))

    def _refresh(self, i: int, brokers: Iterable[int]) -> None:
        """Bring the arcs of one topic up to date that leave these brokers, and their loads."""
        topic, first = self._topics[i], i * self._brokers
        hubs, sink = len(self._topics) * self._brokers, len(self.rows) - 1
        for broker in brokers:
            load = self._layout.load[broker]
            node, hub = first + broker, hubs + broker
            self.rows[node] = {hub: (self._rise(topic, broker), NOTHING)}
            self.rows[hub].pop(node, None)
            if self._layout.spread[topic].get(broker):
                self.rows[hub][node] = (-self._rise(topic, broker, -1), NOTHING)
            self.rows[hub][sink] = (self._weigh(broker), NOTHING)
            self.rows[sink].pop(hub, None)
            if load:
                self.rows[sink][hub] = (-self._weigh(broker, -1), NOTHING)
            self.looks_left -= len(self._held[i][broker])
            row = self._layout.find_row(broker, self._held[i][broker])
            for taker, (moves, partition) in row.items():
                self.rows[node][first + taker] = (self._move * moves, partition)

    def _arc(self, partition: int, giver: int, taker: int) -> int:
        price = self._layout.price
        return self._move * (price(partition, taker) - price(partition, giver))

    def _weigh(self, broker: int, more: int = 0) -> int:
        """Return what one more replica costs on top of the broker's load and `more`."""
        load = self._layout.load[broker] + self._layout.base(broker) + more
        return self._unit * self._layout.step[broker] * (2 * load + 1)

    def _rise(self, topic: int, broker: int, more: int = 0) -> int:
        """Return what one more of the topic costs on top of what the broker has and `more`."""
        count = self._layout.spread[topic].get(broker, 0) + more
        return self._layout.step[broker] * (2 * count + 1)

    def _trade(self, first: Arc, second: Arc) -> tuple[Arc, Arc] | None:
        crossed = []
        for start, end in ((first, second), (second, first)):
            giver, taker = start.giver % self._brokers, end.taker % self._brokers
            if not self._layout.may_exchange(start.partition, giver, taker):
                return None
            cost = self._arc(start.partition, giver, taker)
            crossed.append(Arc(start.giver, end.taker, cost, start.partition))
        return crossed[0], crossed[1]


class _Trades:
    """The newcomers of each topic by broker, and what they could gain by changing places."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.tries_left = _TRIES
        self._brokers = range(len(layout.load))
        self._newcomers: dict[int, dict[int, dict[int, None]]] = {}
        self._topics: list[dict[int, None]] = [{} for _ in self._brokers]
        for partition, broker in layout.newcomers():
            self._enter(partition, broker)

    def givers(self, topic: int) -> list[int]:
        """Return the brokers that have newcomers of the topic."""
        return sorted(self._newcomers.get(topic, ()))

    def relieve(self, topic: int, giver: int) -> bool:
        """Trade one newcomer of the topic away from a broker that has too much of it."""
        spread = self._layout.spread[topic]
        mine = self._newcomers[topic].get(giver)
        if not mine:
            return False
        most = spread[giver] - 2
        emptier = [(spread.get(b, 0), b) for b in self._brokers if spread.get(b, 0) <= most]
        for few, taker in sorted(emptier):
            gain = spread[giver] - few - 1
            for other in islice(self._topics[taker], _TRIED):
                its = self._layout.spread[other]
                loss = its.get(giver, 0) - its[taker] + 1
                if loss < gain:
                    self.tries_left -= 1
                    if self._trade(mine, giver, self._newcomers[other][taker], taker):
                        return True
        return False

    def _trade(self, mine: Iterable[int], giver: int, theirs: Iterable[int], taker: int) -> bool:
        """Swap the first two that may be swapped."""
        one = next((p for p in islice(mine, _TRIED) if self._may_go(p, giver, taker)), None)
        if one is None:
            return False
        other = next((p for p in islice(theirs, _TRIED) if self._may_go(p, taker, giver)), None)
        if other is None:
            return False
        self._go(one, giver, taker)
        self._go(other, taker, giver)
        return True

    def _may_go(self, partition: int, giver: int, taker: int) -> bool:
        layout = self._layout
        return bool(layout.price(partition, taker)) and layout.may_exchange(partition, giver, taker)

    def _go(self, partition: int, giver: int, taker: int) -> None:
        self._layout.exchange(partition, giver, taker)
        topic = self._layout.problem.topic[partition]
        its = self._newcomers[topic][giver]
        del its[partition]
        if not its:
            del self._newcomers[topic][giver]
            del self._topics[giver][topic]
        self._enter(partition, taker)

    def _enter(self, partition: int, broker: int) -> None:
        topic = self._layout.problem.topic[partition]
        self._newcomers.setdefault(topic, {}).setdefault(broker, {})[partition] = None
        self._topics[broker][topic] = None
