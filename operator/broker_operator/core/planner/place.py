"""Reach the ideal loads by the shortest way: keep, fill the holes, then shed what is too much.

Greedy, so that it is near-linear. On rare inputs (few partitions, replication factor close to the
number of brokers, broken racks) it stops short of the ideal; `exchange.repair` does the rest.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
from itertools import groupby
from typing import TYPE_CHECKING

from broker_operator.core.planner.layout import Layout

if TYPE_CHECKING:
    from broker_operator.core.planner.problem import Problem

_ANY = -1
"""No rack in particular."""


def place(problem: Problem, goals: tuple[int, ...]) -> Layout:
    """Return a valid layout, close to the loads in `goals`, with close to the fewest moves."""
    layout = Layout(problem, goals)
    _fill(layout, goals)
    _change_what_is_kept(layout, goals)
    _Shedding(layout, goals).run()
    return layout


def _fill(layout: Layout, goals: tuple[int, ...]) -> None:
    """Add the replicas that are missing, where the topic has least and then where room is most."""
    for topic, partitions in groupby(layout.short, layout.problem.topic.__getitem__):
        spread = layout.spread[topic]
        queue = [
            (spread.get(broker, 0), load - goal, broker)
            for broker, (load, goal) in enumerate(zip(layout.load, goals, strict=True))
            if load < goal
        ]
        heapify(queue)
        for partition in partitions:
            for _ in range(layout.problem.factor[partition] - len(layout.holders[partition])):
                broker = _next_taker(layout, goals, queue, partition)
                layout.add(partition, broker)
                if layout.load[broker] < goals[broker]:
                    heappush(
                        queue, (spread.get(broker, 0), layout.load[broker] - goals[broker], broker)
                    )


def _next_taker(
    layout: Layout, goals: tuple[int, ...], queue: list[tuple[int, int, int]], partition: int
) -> int:
    """Take the first that the partition fits on off the queue; any other if there is none."""
    unfit: list[tuple[int, int, int]] = []
    chosen = None
    while queue and chosen is None:
        entry = heappop(queue)
        if layout.fits(partition, entry[-1]):
            chosen = entry[-1]
        else:
            unfit.append(entry)
    for entry in unfit:
        heappush(queue, entry)
    if chosen is None:
        fitting = (b for b in range(len(goals)) if layout.fits(partition, b))
        chosen = min(fitting, key=lambda b: (layout.load[b] - goals[b], b))
    return chosen


def _change_what_is_kept(layout: Layout, goals: tuple[int, ...]) -> None:
    """Where more brokers have a partition than shall keep it, let the less loaded ones keep it."""
    origins, load = layout.problem.origin, layout.load
    for partition, holders in enumerate(layout.holders):
        if len(origins[partition]) > len(holders):
            for giver in sorted(holders, key=lambda b: goals[b] - load[b]):
                spare = [b for b in origins[partition] if b not in holders and load[b] < goals[b]]
                if load[giver] > goals[giver] and spare:
                    taker = min(spare, key=lambda b: (load[b] - goals[b], b))
                    if layout.may_exchange(partition, giver, taker):
                        layout.exchange(partition, giver, taker)


class _Shedding:
    """Brokers above their goal give replicas to brokers below theirs.

    The next replica is always of the topic whose evenness gains most, then the smallest. Whether
    it is a preferred leader depends on which of the two brokers leads too much or too little.
    """

    def __init__(self, layout: Layout, goals: tuple[int, ...]) -> None:
        self._layout = layout
        self._problem = problem = layout.problem
        self._goals = goals
        self._takers = [b for b, goal in enumerate(goals) if layout.load[b] < goal]
        self._led = [0] * len(goals)
        for leader in problem.leader:
            if leader >= 0:
                self._led[leader] += 1
        self._fair_lead = problem.fair(sum(self._led))
        self._least: dict[tuple[int, int], tuple[int, list[int]]] = {}
        self._stocks = self._find_stocks()

    def run(self) -> None:
        """Shed until every broker is at its goal or nothing is left to try.

        A stock never gets better than it was, so the levels are gone through once, best first.
        """
        levels: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for stock in self._stocks:
            level = self._level(stock)
            if level is not None:
                levels[level].append(stock)
        while levels and self._takers:
            best = min(levels)
            for stock in sorted(levels.pop(best), key=self._smallest):
                level = self._level(stock)
                if level == best:
                    level = self._level(stock) if self._shed(*stock) else None
                if level is not None:
                    levels[level].append(stock)

    def _find_stocks(self) -> dict[tuple[int, int], tuple[list[int], list[int]]]:
        """Return (giver, topic) -> partitions it may give, led and followed, smallest last."""
        origins, leaders, topics = (self._problem.origin, self._problem.leader, self._problem.topic)
        stocks: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        for giver, goal in enumerate(self._goals):
            if self._takers and self._layout.load[giver] > goal:
                its: dict[int, tuple[list[int], list[int]]] = {}
                for partition in self._largest_first(giver):
                    if giver in origins[partition]:
                        topic = topics[partition]
                        if topic not in its:
                            its[topic] = stocks[giver, topic] = ([], [])
                        its[topic][leaders[partition] != giver].append(partition)
        return stocks

    def _largest_first(self, giver: int) -> list[int]:
        return sorted(self._layout.held[giver], key=self._problem.size.__getitem__, reverse=True)

    def _level(self, stock: tuple[int, int]) -> int | None:
        """Return how uneven the next exchange leaves the topic; less is better.

        None if the giver has no more to give or nobody to give it to.
        """
        giver, topic = stock
        led, followed = self._stocks[stock]
        last = led or followed
        if not last or self._layout.load[giver] <= self._goals[giver]:
            return None
        takers = self._emptiest(topic, self._rack_of(giver, last[-1]))
        spread = self._layout.spread[topic]
        return spread.get(takers[-1], 0) - spread[giver] if takers else None

    def _smallest(self, stock: tuple[int, int]) -> tuple[int, int, int]:
        """Return the bytes of the smallest that the stock has, and whose it is."""
        size = self._problem.size
        led, followed = self._stocks[stock]
        if led and followed:
            return min(size[led[-1]], size[followed[-1]]), *stock
        return size[(led or followed)[-1]], *stock

    def _rack_of(self, giver: int, partition: int) -> int:
        """Return the rack that a replica must stay in, ANY if it need not."""
        return self._problem.rack[giver] if self._layout.tied(partition) else _ANY

    def _emptiest(self, topic: int, rack: int) -> list[int]:
        """Return takers that have least of the topic, the best one last; none if there is no taker.

        They only ever get more, so the list is made anew only when it has run empty. Those before
        the last one may have got more since, or all they need.
        """
        spread, load, goals = self._layout.spread[topic], self._layout.load, self._goals
        least, found = self._least.get((topic, rack), (0, []))
        while found and (spread.get(found[-1], 0) > least or load[found[-1]] >= goals[found[-1]]):
            found.pop()
        if not found and (takers := self._in_rack(rack)):
            least = min([spread.get(b, 0) for b in takers])
            found = [b for b in takers if spread.get(b, 0) == least]
            found.sort(key=lambda b: (goals[b] - load[b], -b))
            self._least[topic, rack] = (least, found)
        return found

    def _in_rack(self, rack: int) -> list[int]:
        racks = self._problem.rack
        return [b for b in self._takers if rack in (_ANY, racks[b])]

    def _shed(self, giver: int, topic: int) -> bool:
        """Let the giver part with one replica of the topic; False if it cannot."""
        led, followed = self._stocks[giver, topic]
        rack = self._rack_of(giver, (led or followed)[-1])
        if self._give(giver, topic, self._emptiest(topic, rack)[-1:]):
            return True
        spread = self._layout.spread[topic]
        load, goals = self._layout.load, self._goals
        ranked = sorted(
            self._in_rack(rack), key=lambda b: (spread.get(b, 0), load[b] - goals[b], b)
        )
        return self._give(giver, topic, ranked)

    def _give(self, giver: int, topic: int, takers: list[int]) -> bool:
        """Let the giver part with one replica to the first of these who may have one."""
        for taker in takers:
            partition = self._choose(giver, taker, topic)
            if partition is not None:
                self._layout.exchange(partition, giver, taker)
                if self._layout.load[taker] == self._goals[taker]:
                    self._takers.remove(taker)
                return True
        return False

    def _choose(self, giver: int, taker: int, topic: int) -> int | None:
        """Take out of the stock what may go to the taker; a preferred leader if that evens out."""
        stock, led, fair = self._stocks[giver, topic], self._led, self._fair_lead
        lead = led[giver] > fair[giver] and led[taker] < fair[taker]
        for part in stock if lead else stock[::-1]:
            for i in range(len(part) - 1, -1, -1):
                if self._layout.may_exchange(part[i], giver, taker):
                    partition = part.pop(i)
                    if part is stock[0]:
                        led[giver] -= 1
                        led[taker] += 1
                    return partition
        return None
