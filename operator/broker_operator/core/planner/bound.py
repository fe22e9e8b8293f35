"""The ideal load of every broker and the fewest moves, by counting alone.

No partition is placed here. A broker that shall end with `load` replicas and holds `count` now
keeps at most `min(count, load)`; a rack keeps no more than its partitions' caps allow. What cannot
be kept must be copied: that is the lower bound.

Rack totals come from water-filling: replicas go from fuller to emptier racks while any partition
may make that step. Partitions of one replication factor are alike in this, so a handful of groups
stands for all of them, and the cost does not depend on how many partitions there are.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker_operator.core.planner.problem import Problem


@dataclass(frozen=True, slots=True)
class Ideal:
    """What the best plan looks like from afar.

    Attributes:
        goals: Replicas per broker index, without those of pinned topics; the least sum of squares
            (of load by weight), then the fewest moves.
        lower_bound: No assignment with such loads can be reached with fewer moves.
        forced: Nor can any valid assignment, however unbalanced, with fewer than these.
    """

    goals: tuple[int, ...]
    lower_bound: int
    forced: int


def imbalance(problem: Problem, loads: tuple[int, ...] | list[int]) -> int:
    """Return the weighted sum of squared loads, pinned replicas included."""
    return sum(
        step * (load + fixed) ** 2
        for step, load, fixed in zip(problem.step, loads, problem.fixed, strict=True)
    )


def ideal(problem: Problem) -> Ideal:
    """Count the ideal loads and the fewest moves."""
    racks, keepable = _racks(problem)
    totals = _Waterfill(problem, racks).totals
    goals = [0] * len(problem.brokers)
    for rack, total in zip(racks, totals, strict=True):
        for broker, load in rack.goals(total).items():
            goals[broker] = load
    kept = sum(rack.kept(total) for rack, total in zip(racks, totals, strict=True))
    replicas = sum(problem.factor)
    return Ideal(tuple(goals), replicas - min(kept, keepable), replicas - keepable)


class _Rack:
    """One rack: how evenly a total can lie on its brokers, and how much of it is there already.

    Attributes:
        brokers: Indexes of its brokers.
        most: Replicas that it can take.
        capacity: Its share of what is spread evenly, in proportion.
    """

    def __init__(
        self, problem: Problem, brokers: list[int], counts: list[int], keepable: int
    ) -> None:
        """Take each broker's replicas now and how many of those here the caps let stay."""
        self.brokers = brokers
        self.capacity = sum((Fraction(1, problem.step[b]) for b in brokers), Fraction())
        whole = len(problem.partitions)
        self.most = sum(whole if problem.receives[b] else counts[b] for b in brokers)
        self._problem = problem
        self._counts = counts
        self._keepable = keepable
        self._top = sum(problem.step) * (2 * sum(problem.factor) + 2 * sum(problem.fixed) + 1)
        self._known: dict[int, dict[int, int]] = {}

    def kept(self, total: int) -> int:
        """Return the most replicas that can stay if the rack ends with `total`."""
        goals = self.goals(total).items()
        return min(sum(min(self._counts[b], load) for b, load in goals), self._keepable)

    def cost(self, total: int) -> tuple[int, int]:
        """Return what the total costs: the sum of squared loads, then the moves. Convex."""
        fixed, step = self._problem.fixed, self._problem.step
        goals = self.goals(total).items()
        squares = sum(step[b] * (load + fixed[b]) ** 2 for b, load in goals)
        return squares, -self.kept(total)

    def goals(self, total: int) -> dict[int, int]:
        """Return the load of each broker; the fullest ones get what does not divide evenly."""
        if total not in self._known:
            self._known[total] = self._find_goals(total)
        return self._known[total]

    def _find_goals(self, total: int) -> dict[int, int]:
        """Fill up to the highest price of one more replica at which not too many are placed."""
        low, high = 0, self._top
        while low < high:
            price = (low + high + 1) // 2
            if sum(self._load(b, price) for b in self.brokers) <= total:
                low = price
            else:
                high = price - 1
        goals = {b: self._load(b, low) for b in self.brokers}
        more = [b for b in self.brokers if self._load(b, low + 1) > goals[b]]
        more.sort(key=lambda b: (self._counts[b] <= goals[b], -self._counts[b], b))
        for broker in more[: total - sum(goals.values())]:
            goals[broker] += 1
        return goals

    def _load(self, broker: int, price: int) -> int:
        """Return the load up to which each replica adds no more than `price` to the squares."""
        problem = self._problem
        load = max(0, (price // problem.step[broker] + 1) // 2 - problem.fixed[broker])
        # It can hold each partition only once, and only those it has if it is excluded.
        most = len(problem.partitions) if problem.receives[broker] else self._counts[broker]
        return min(load, most)


def _racks(problem: Problem) -> tuple[list[_Rack], int]:
    """Return the racks, and how many replicas caps and replication factors let stay in all."""
    counted = Counter(chain.from_iterable(problem.origin))
    counts = [counted[broker] for broker in range(len(problem.brokers))]
    keepable = [0] * len(problem.rack_sizes)
    for broker, count in enumerate(counts):
        keepable[problem.rack[broker]] += count
    together = sum(counts)
    for partition, fits in enumerate(problem.fits_as_it_is):
        if not fits:
            origin, cap = problem.origin[partition], problem.cap[partition]
            stay = 0
            for rack, held in Counter(problem.rack[broker] for broker in origin).items():
                keepable[rack] -= max(0, held - cap)
                stay += min(held, cap)
            together -= len(origin) - min(stay, problem.factor[partition])
    racks = [
        _Rack(problem, [b for b, its in enumerate(problem.rack) if its == rack], counts, its_own)
        for rack, its_own in enumerate(keepable)
    ]
    return racks, together


class _Waterfill:
    """Rack totals of least cost. `totals` is the answer."""

    def __init__(self, problem: Problem, racks: list[_Rack]) -> None:
        self._racks = racks
        groups = sorted(Counter(zip(problem.factor, problem.cap, strict=True)).items())
        self._limits = _limits(problem, racks, [group for group, _ in groups])
        self._shares = [
            self._share(factor * n, limits)
            for ((factor, _), n), limits in zip(groups, self._limits, strict=True)
        ]
        self.totals = [sum(share[i] for share in self._shares) for i in range(len(racks))]
        while self._improve():
            pass

    def _share(self, need: int, limits: list[int]) -> list[int]:
        """Spread one group alone over the racks, as evenly as its limits allow."""
        share = [0] * len(limits)
        room = sum((rack.capacity for rack in self._racks), Fraction())
        tightest = sorted(
            range(len(limits)), key=lambda i: (limits[i] / self._racks[i].capacity, i)
        )
        for i in tightest[:-1]:
            capacity = self._racks[i].capacity
            share[i] = min(limits[i], need, -int(-need * capacity // room))
            need -= share[i]
            room -= capacity
        share[tightest[-1]] = need
        return share

    def _improve(self) -> bool:
        """Take as many replicas as pay off along one path of racks; False if none does."""
        saved = [self._slope(i, total - 1) for i, total in enumerate(self.totals)]
        price = [self._slope(i, total) for i, total in enumerate(self.totals)]
        for giver in sorted(range(len(saved)), key=lambda i: (*_down(saved[i]), i)):
            reached = self._reachable(giver)
            taker = min(reached, key=lambda i: (price[i], i))
            if price[taker] < saved[giver]:
                self._shift(giver, taker, reached)
                return True
        return False

    def _slope(self, rack: int, total: int) -> tuple[float, int]:
        """Return the cost of one more replica on top of `total`."""
        if total < 0:
            return -1, 0  # nothing there to save: never dearer than what others ask
        if total == self._racks[rack].most:
            return math.inf, 0
        (squares, moves), (fewer, before) = (
            self._racks[rack].cost(total + 1),
            self._racks[rack].cost(total),
        )
        return squares - fewer, moves - before

    def _room(self, group: int, giver: int, taker: int) -> int:
        """Return how many replicas of the group may go from one rack to the other."""
        share = self._shares[group]
        return min(share[giver], self._limits[group][taker] - share[taker])

    def _reachable(self, giver: int) -> dict[int, tuple[int, int]]:
        """Return rack -> (rack before it, group that makes the step), breadth first.

        A shortest path uses no group twice, so all its steps can be taken at once.
        """
        found = {giver: (giver, 0)}
        queue = [giver]
        for here in queue:
            for there in range(len(self._racks)):
                if there in found:
                    continue
                room, group = max(
                    ((self._room(g, here, there), -g) for g in range(len(self._shares))),
                    default=(0, 0),
                )
                if room:
                    found[there] = (here, -group)
                    queue.append(there)
        return found

    def _shift(self, giver: int, taker: int, reached: dict[int, tuple[int, int]]) -> None:
        """Move along the path as many replicas as the rooms allow and as still pay off."""
        steps: list[tuple[int, int, int]] = []
        here = taker
        while here != giver:
            before, group = reached[here]
            steps.append((group, before, here))
            here = before
        least, most = 1, min(self._room(*step) for step in steps)
        while least < most:
            middle = (least + most + 1) // 2
            if self._slope(taker, self.totals[taker] + middle - 1) < self._slope(
                giver, self.totals[giver] - middle
            ):
                least = middle
            else:
                most = middle - 1
        for group, before, after in steps:
            self._shares[group][before] -= least
            self._shares[group][after] += least
        self.totals[giver] -= least
        self.totals[taker] += least


def _down(slope: tuple[float, int]) -> tuple[float, int]:
    return -slope[0], -slope[1]


def _limits(problem: Problem, racks: list[_Rack], groups: list[tuple[int, int]]) -> list[list[int]]:
    """Return for each group of (factor, cap) how many of its replicas fit into each rack.

    Excluded brokers add room only for what they hold.
    """
    open_sizes = [sum(problem.receives[b] for b in rack.brokers) for rack in racks]
    members = Counter(zip(problem.factor, problem.cap, strict=True))
    limits = {
        (factor, cap): [members[factor, cap] * min(cap, size) for size in open_sizes]
        for factor, cap in groups
    }
    if not all(problem.receives):
        for origin, *group in zip(problem.origin, problem.factor, problem.cap, strict=True):
            factor, cap = group
            closed = Counter(problem.rack[b] for b in origin if not problem.receives[b])
            for rack, more in closed.items():
                size = open_sizes[rack]
                limits[factor, cap][rack] += min(cap, size + more) - min(cap, size)
    return [limits[group] for group in groups]
