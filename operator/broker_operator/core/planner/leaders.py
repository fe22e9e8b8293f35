"""Choose each partition's preferred leader: even over the brokers, with the fewest changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.planner.exchange import repair
from broker_operator.core.planner.problem import NOBODY

if TYPE_CHECKING:
    from broker_operator.core.planner.layout import Layout

_COSTS = (-1, 0, 1)


def choose_leaders(layout: Layout) -> list[int]:
    """Return the preferred leader of each partition, one of its holders.

    Even as far as the replicas allow: the sum of squared leader counts, weighted like the loads,
    is the least possible.
    """
    leadership = _Leadership(layout)
    leadership.relieve()
    repair(leadership)
    return leadership.leader


class _Leadership:
    """Who leads what. An exchange hands the lead of a partition to another of its holders.

    The partitions that one broker may hand to another lie in a pool of theirs, by what it costs.
    """

    def __init__(self, layout: Layout) -> None:
        brokers = range(len(layout.load))
        self.step = layout.step
        self._problem = layout.problem
        self._fixed = layout.problem.fixed_leads
        self._holders = layout.holders
        self._origin = [
            leader if leader in holders else NOBODY
            for leader, holders in zip(layout.problem.leader, layout.holders, strict=True)
        ]
        self.leader = list(self._origin)
        self.load = [0 for _ in brokers]
        self._pools: list[dict[int, tuple[dict[int, None], ...]]] = [{} for _ in brokers]
        self._rows: list[dict[int, tuple[int, int]]] = [{} for _ in brokers]
        for leader in self._origin:
            if leader != NOBODY:
                self.load[leader] += 1
        for partition, leader in enumerate(self._origin):
            if leader == NOBODY:
                leader = self._least_leading(partition)  # noqa: PLW2901 - its leader from here on
                self.leader[partition] = leader
                self.load[leader] += 1
            self._enter(partition, leader)

    def relieve(self) -> None:
        """Hand leads straight from those with too many to those with too few."""
        shares = [
            max(0, fair - fixed)
            for fair, fixed in zip(
                self._problem.fair(len(self.leader) + sum(self._fixed)), self._fixed, strict=True
            )
        ]
        self._relieve(shares)
        self._relieve([share + 1 for share in shares])  # what does not divide evenly

    def _relieve(self, shares: list[int]) -> None:
        for giver, share in enumerate(shares):
            takers = self._rows[giver] if self.load[giver] > share else ()
            for taker in sorted(takers, key=lambda b: self.load[b] - shares[b]):
                while self.load[giver] > share and self.load[taker] < shares[taker]:
                    best = self.best(giver, taker)
                    if best is None:
                        break
                    self.exchange(best[1], giver, taker)

    def base(self, broker: int) -> int:
        """Return the leads of pinned topics."""
        return self._fixed[broker]

    def row(self, giver: int) -> dict[int, tuple[int, int]]:
        """Return taker -> (changes it adds, partition), the cheapest for each taker."""
        return self._rows[giver]

    def best(self, giver: int, taker: int) -> tuple[int, int] | None:
        """Return the row's entry for one taker, None if there is none."""
        return self._rows[giver].get(taker)

    def times(self, giver: int, taker: int, cost: int) -> int:
        """Return how many leads can be handed over at this cost."""
        return len(self._pools[giver][taker][_COSTS.index(cost)])

    def may_exchange(self, partition: int, giver: int, taker: int) -> bool:
        """Whether `giver` leads the partition and `taker` holds it too."""
        return self.leader[partition] == giver != taker and taker in self._holders[partition]

    def price(self, partition: int, broker: int) -> int:
        """Return 1 if this leader is a change that could be avoided."""
        return int(self._origin[partition] not in (broker, NOBODY))

    def exchange(self, partition: int, giver: int, taker: int) -> None:
        """Let `taker` lead the partition instead of `giver`."""
        for other, cost in self._others(partition, giver):
            del self._pools[giver][other][cost + 1][partition]
            self._note(giver, other)
        self.leader[partition] = taker
        self.load[giver] -= 1
        self.load[taker] += 1
        self._enter(partition, taker)

    def _enter(self, partition: int, leader: int) -> None:
        pools, row = self._pools[leader], self._rows[leader]
        for other, cost in self._others(partition, leader):
            if other not in pools:
                pools[other] = ({}, {}, {})
            pools[other][cost + 1][partition] = None
            if other not in row or cost < row[other][0]:
                row[other] = (cost, partition)

    def _others(self, partition: int, leader: int) -> list[tuple[int, int]]:
        """Return the other holders, each with what it costs to let it lead instead."""
        now = self.price(partition, leader)
        others = [broker for broker in self._holders[partition] if broker != leader]
        return [(broker, self.price(partition, broker) - now) for broker in others]

    def _note(self, giver: int, taker: int) -> None:
        """Bring one entry of a row up to date."""
        for cost, pool in zip(_COSTS, self._pools[giver][taker], strict=True):
            if pool:
                self._rows[giver][taker] = (cost, next(iter(pool)))
                return
        del self._rows[giver][taker]

    def _least_leading(self, partition: int) -> int:
        return min(
            self._holders[partition],
            key=lambda b: ((2 * (self.load[b] + self._fixed[b]) + 1) * self.step[b], b),
        )
