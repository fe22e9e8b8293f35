"""Choose each partition's preferred leader: even over the brokers, with the fewest changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.planner.exchange import repair
from broker_operator.core.planner.problem import NOBODY

if TYPE_CHECKING:
    from broker_operator.core.planner.layout import Layout


def choose_leaders(layout: Layout) -> list[int]:
    """Return the preferred leader of each partition, one of its holders.

    Even as far as the replicas allow: the sum of squared leader counts is the least possible.
    """
    leadership = _Leadership(layout)
    leadership.relieve()
    repair(leadership)
    return leadership.leader


class _Leadership:
    """Who leads what. An exchange hands the lead of a partition to another of its holders."""

    def __init__(self, layout: Layout) -> None:
        self._holders = layout.holders
        self._origin = [
            leader if leader in holders else NOBODY
            for leader, holders in zip(layout.problem.leader, layout.holders, strict=True)
        ]
        self.leader = list(self._origin)
        self.load = [self._origin.count(broker) for broker in range(len(layout.load))]
        self._led: list[dict[int, None]] = [{} for _ in self.load]
        self._rows: list[dict[int, tuple[int, int]] | None] = [None] * len(self.load)
        for partition, kept in enumerate(self._origin):
            if kept == NOBODY:
                self.leader[partition] = self._least_leading(partition)
                self.load[self.leader[partition]] += 1
            self._led[self.leader[partition]][partition] = None

    def relieve(self) -> None:
        """Hand leads from those with too many straight to those with too few."""
        fair = len(self.leader) // len(self.load)
        for partition, leader in enumerate(self.leader):
            if self.load[leader] > fair + 1:
                taker = self._least_leading(partition)
                if self.load[taker] < fair:
                    self.exchange(partition, leader, taker)

    def row(self, giver: int) -> dict[int, tuple[int, int]]:
        """Return taker -> (changes it adds, partition), the cheapest for each taker."""
        row = self._rows[giver]
        if row is None:
            row = self._rows[giver] = self._find_row(giver)
        return row

    def may_exchange(self, partition: int, giver: int, taker: int) -> bool:
        """Whether `giver` leads the partition and `taker` holds it too."""
        return self.leader[partition] == giver != taker and taker in self._holders[partition]

    def price(self, partition: int, broker: int) -> int:
        """Return 1 if this leader is a change that could be avoided."""
        return int(self._origin[partition] not in (broker, NOBODY))

    def exchange(self, partition: int, giver: int, taker: int) -> None:
        """Let `taker` lead the partition instead of `giver`."""
        self.leader[partition] = taker
        del self._led[giver][partition]
        self._led[taker][partition] = None
        self.load[giver] -= 1
        self.load[taker] += 1
        self._rows[giver] = self._rows[taker] = None

    def _least_leading(self, partition: int) -> int:
        return min(self._holders[partition], key=lambda broker: (self.load[broker], broker))

    def _find_row(self, giver: int) -> dict[int, tuple[int, int]]:
        row: dict[int, tuple[int, int]] = {}
        for partition in self._led[giver]:
            now = self.price(partition, giver)
            for taker in self._holders[partition]:
                if self.may_exchange(partition, giver, taker):
                    cost = self.price(partition, taker) - now
                    if taker not in row or cost < row[taker][0]:
                        row[taker] = (cost, partition)
        return row
