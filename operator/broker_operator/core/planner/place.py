"""Reach the ideal loads by the shortest way: keep, fill the holes, then shed what is too much.

Greedy, so that it is near-linear. On rare inputs (few partitions, replication factor close to the
number of brokers, broken racks) it stops short of the ideal; `exchange.repair` does the rest.
"""

from __future__ import annotations

import sys
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from broker_operator.core.planner.layout import Layout

if TYPE_CHECKING:
    from broker_operator.core.planner.problem import Problem

_NOTHING = (sys.maxsize, 0)


def place(problem: Problem, goals: tuple[int, ...]) -> Layout:
    """Return a valid layout, close to the loads in `goals`, with close to the fewest moves."""
    layout = Layout(problem)
    _keep(layout, goals)
    _fill(layout, goals)
    _Shedding(layout, goals).run()
    return layout


def _keep(layout: Layout, goals: tuple[int, ...]) -> None:
    """Leave every replica where it is, but for those that break a rack's cap."""
    problem = layout.problem
    surplus = [-goal for goal in goals]
    for origin in problem.origin:
        for broker in origin:
            surplus[broker] += 1
    for partition, origin in enumerate(problem.origin):
        for broker in sorted(origin, key=lambda b: surplus[b]):  # stable: the leader first
            if layout.fits(partition, broker):
                layout.add(partition, broker)
            else:
                surplus[broker] -= 1


def _fill(layout: Layout, goals: tuple[int, ...]) -> None:
    """Replace the replicas that cannot stay, where the topic has least and room is most."""
    brokers = range(len(goals))
    for partition, factor in enumerate(layout.problem.factor):
        spread = layout.spread[layout.problem.topic[partition]]
        for _ in range(factor - len(layout.holders[partition])):
            broker = min(
                (b for b in brokers if layout.fits(partition, b)),
                key=lambda b: (layout.load[b] >= goals[b], spread[b], layout.load[b] - goals[b], b),
            )
            layout.add(partition, broker)


class _Shedding:
    """Brokers above their goal give replicas to brokers below theirs.

    The next replica is always of the topic whose evenness gains most, then the smallest. Whether
    it is a preferred leader depends on which of the two brokers leads too much or too little.
    """

    def __init__(self, layout: Layout, goals: tuple[int, ...]) -> None:
        self._layout = layout
        self._problem = layout.problem
        self._goals = goals
        self._takers = [b for b, goal in enumerate(goals) if layout.load[b] < goal]
        self._led = [self._problem.leader.count(broker) for broker in range(len(goals))]
        self._fair_lead = len(self._problem.partitions) // len(goals)
        self._stocks = self._find_stocks()

    def run(self) -> None:
        """Shed until every broker is at its goal or nothing is left to try.

        A stock never gets better than it was, so a look at the head of the heap is enough.
        """
        heap = [(self._merit(*key), *key) for key in self._stocks]
        heapify(heap)
        while heap and self._takers:
            merit, giver, topic = heap[0]
            now = self._merit(giver, topic)
            if now > merit:
                heapreplace(heap, (now, giver, topic))
            elif now == _NOTHING or not self._shed(giver, topic):
                heappop(heap)

    def _find_stocks(self) -> dict[tuple[int, int], tuple[list[int], list[int]]]:
        """Return (giver, topic) -> partitions it may give, led and followed, smallest last."""
        problem = self._problem
        stocks: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        for giver, goal in enumerate(self._goals):
            if self._layout.load[giver] > goal:
                for partition in sorted(self._layout.held[giver], key=problem.size.__getitem__):
                    if giver in problem.origin[partition]:
                        stock = stocks.setdefault((giver, problem.topic[partition]), ([], []))
                        stock[problem.leader[partition] != giver].append(partition)
        for stock in stocks.values():
            for part in stock:
                part.reverse()
        return stocks

    def _merit(self, giver: int, topic: int) -> tuple[int, int]:
        """Return how uneven the next exchange leaves the topic, and its bytes; less is better.

        _NOTHING, worse than all else, if the giver has no more to give or nobody to give it to.
        """
        last = [part[-1] for part in self._stocks[giver, topic] if part]
        if not last or self._layout.load[giver] == self._goals[giver]:
            return _NOTHING
        takers = self._layout.choices(last[0], giver, self._takers)
        if not takers:
            return _NOTHING
        spread = self._layout.spread[topic]
        smallest = min(self._problem.size[partition] for partition in last)
        return min(spread[taker] for taker in takers) - spread[giver], smallest

    def _shed(self, giver: int, topic: int) -> bool:
        """Let the giver part with one replica of the topic; False if it cannot."""
        layout, goals = self._layout, self._goals
        spread = layout.spread[topic]
        for taker in sorted(self._takers, key=lambda b: (spread[b], layout.load[b] - goals[b], b)):
            partition = self._choose(giver, taker, topic)
            if partition is not None:
                layout.exchange(partition, giver, taker)
                if layout.load[taker] == goals[taker]:
                    self._takers.remove(taker)
                return True
        return False

    def _choose(self, giver: int, taker: int, topic: int) -> int | None:
        """Take out of the stock what may go to the taker; a preferred leader if that evens out."""
        stock = self._stocks[giver, topic]
        lead = self._led[giver] > self._fair_lead > self._led[taker]
        for part in stock if lead else stock[::-1]:
            for i in range(len(part) - 1, -1, -1):
                if self._layout.may_exchange(part[i], giver, taker):
                    partition = part.pop(i)
                    if part is stock[0]:
                        self._led[giver] -= 1
                        self._led[taker] += 1
                    return partition
        return None
