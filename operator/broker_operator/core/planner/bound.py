"""The ideal load of every broker and the fewest moves, by counting alone.

No partition is placed here. A broker that shall end with `load` replicas and holds `count` now
keeps at most `min(count, load)`; a rack keeps no more than its partitions' caps allow. What cannot
be kept must be copied: that is the lower bound.

Rack totals come from water-filling: replicas go from fuller to emptier racks while any partition
may make that step. Partitions of one replication factor are alike in this, so a handful of groups
stands for all of them, and the cost does not depend on how many partitions there are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker_operator.core.planner.problem import Problem


@dataclass(frozen=True, slots=True)
class Ideal:
    """What the best plan looks like from afar.

    Attributes:
        goals: Replicas per broker index; least sum of squares, then fewest moves.
        lower_bound: No assignment with such loads can be reached with fewer moves.
    """

    goals: tuple[int, ...]
    lower_bound: int


def ideal(problem: Problem) -> Ideal:
    """Count the ideal loads and the fewest moves."""
    racks = _racks(problem)
    totals = _Waterfill(problem, racks).totals
    goals = [0] * len(problem.brokers)
    for rack, total in zip(racks, totals, strict=True):
        for broker, load in rack.goals(total).items():
            goals[broker] = load
    kept = sum(rack.kept(total) for rack, total in zip(racks, totals, strict=True))
    return Ideal(tuple(goals), sum(problem.factor) - kept)


class _Rack:
    """One rack: how evenly a total can lie on its brokers, and how much of it is there already.

    Attributes:
        size: Number of brokers.
    """

    def __init__(self, counts: dict[int, int], keepable: int, weight: int) -> None:
        """Take each broker's replicas now, how many of them the caps let stay, and a weight.

        The weight makes one unit of imbalance dearer than any number of moves.
        """
        self.size = len(counts)
        self._counts = counts
        self._sorted = sorted(counts.values())
        self._keepable = keepable
        self._weight = weight

    def kept(self, total: int) -> int:
        """Return the most replicas that can stay if the rack ends with `total`."""
        level, extra = divmod(total, self.size)
        above = self.size - bisect_left(self._sorted, level + 1)
        stay = sum(min(count, level) for count in self._sorted) + min(extra, above)
        return min(stay, self._keepable)

    def cost(self, total: int) -> int:
        """Return what the total costs: the sum of squared loads, then the moves. Convex."""
        level, extra = divmod(total, self.size)
        squares = (self.size - extra) * level**2 + extra * (level + 1) ** 2
        return self._weight * squares - self.kept(total)

    def goals(self, total: int) -> dict[int, int]:
        """Return the load of each broker; the fullest ones get what does not divide evenly."""
        level, extra = divmod(total, self.size)
        fullest = sorted(self._counts, key=lambda broker: (-self._counts[broker], broker))
        return {broker: level + (i < extra) for i, broker in enumerate(fullest)}


def _racks(problem: Problem) -> list[_Rack]:
    counts = [dict.fromkeys(_brokers_of(problem, i), 0) for i in range(len(problem.rack_sizes))]
    keepable = [0] * len(counts)
    for origin, cap in zip(problem.origin, problem.cap, strict=True):
        held = Counter(problem.rack[broker] for broker in origin)
        for rack, replicas in held.items():
            keepable[rack] += min(replicas, cap)
        for broker in origin:
            counts[problem.rack[broker]][broker] += 1
    weight = sum(problem.factor) + 1
    return [_Rack(c, k, weight) for c, k in zip(counts, keepable, strict=True)]


def _brokers_of(problem: Problem, rack: int) -> list[int]:
    return [broker for broker, its in enumerate(problem.rack) if its == rack]


class _Waterfill:
    """Rack totals of least cost. `totals` is the answer."""

    def __init__(self, problem: Problem, racks: list[_Rack]) -> None:
        self._racks = racks
        groups = sorted(Counter(zip(problem.factor, problem.cap, strict=True)).items())
        self._limits = [[n * min(cap, r.size) for r in racks] for (_, cap), n in groups]
        self._shares = [
            self._share(factor * n, limits)
            for ((factor, _), n), limits in zip(groups, self._limits, strict=True)
        ]
        self.totals = [sum(share[i] for share in self._shares) for i in range(len(racks))]
        while self._improve():
            pass

    def _share(self, need: int, limits: list[int]) -> list[int]:
        """Spread one group alone over the racks, as evenly per broker as its limits allow."""
        share = [0] * len(limits)
        brokers = sum(rack.size for rack in self._racks)
        tightest = sorted(range(len(limits)), key=lambda i: (limits[i] / self._racks[i].size, i))
        for i in tightest:
            size = self._racks[i].size
            share[i] = min(limits[i], -(-need * size // brokers))
            need -= share[i]
            brokers -= size
        return share

    def _improve(self) -> bool:
        """Take as many replicas as pay off along one path of racks; False if none does."""
        saved = [self._slope(i, total - 1) if total else 0 for i, total in enumerate(self.totals)]
        price = [self._slope(i, total) for i, total in enumerate(self.totals)]
        for giver in sorted(range(len(saved)), key=lambda i: (-saved[i], i)):
            reached = self._reachable(giver)
            taker = min(reached, key=lambda i: (price[i], i))
            if price[taker] < saved[giver]:
                self._shift(giver, taker, reached)
                return True
        return False

    def _slope(self, rack: int, total: int) -> int:
        """Return the cost of one more replica on top of `total`."""
        return self._racks[rack].cost(total + 1) - self._racks[rack].cost(total)

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
