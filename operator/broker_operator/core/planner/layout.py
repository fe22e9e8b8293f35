"""An assignment in the making: who holds what, how full each broker is, what a swap would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.core.planner.problem import Problem


class Layout:
    """Replicas by broker index, changed step by step. Always distinct and within the rack caps.

    Attributes:
        problem: What it solves.
        holders: Brokers of each partition.
        held: Partitions of each broker (the keys, in the order they came).
        load: Replicas on each broker.
        spread: Replicas of each topic on each broker.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        brokers = len(problem.brokers)
        topics = max(problem.topic, default=-1) + 1
        self.holders: list[list[int]] = [[] for _ in problem.partitions]
        self.held: list[dict[int, None]] = [{} for _ in range(brokers)]
        self.load = [0] * brokers
        self.spread = [[0] * brokers for _ in range(topics)]
        self._bound = {
            factor: sum(min(cap, size) for size in problem.rack_sizes) == factor
            for factor, cap in set(zip(problem.factor, problem.cap, strict=True))
        }
        self._rows: list[dict[int, tuple[int, int]] | None] = [None] * brokers

    @property
    def moves(self) -> int:
        """Replicas on brokers that do not hold them now."""
        return sum(self.price(p, b) for p, holders in enumerate(self.holders) for b in holders)

    def add(self, partition: int, broker: int) -> None:
        """Place a replica where `fits` says it may go."""
        self.holders[partition].append(broker)
        self.held[broker][partition] = None
        self.load[broker] += 1
        self.spread[self.problem.topic[partition]][broker] += 1

    def exchange(self, partition: int, giver: int, taker: int) -> None:
        """Take a replica from one broker to another, as `may_exchange` allows."""
        holders = self.holders[partition]
        for broker in (*holders, taker):
            self._rows[broker] = None
        holders.remove(giver)
        del self.held[giver][partition]
        self.load[giver] -= 1
        self.spread[self.problem.topic[partition]][giver] -= 1
        self.add(partition, taker)

    def fits(self, partition: int, broker: int) -> bool:
        """Whether the broker may hold one more replica of the partition."""
        return broker not in self.holders[partition] and self._has_room(partition, broker)

    def may_exchange(self, partition: int, giver: int, taker: int) -> bool:
        """Whether a replica of the partition may go from `giver`, which holds it, to `taker`."""
        if taker in self.holders[partition]:
            return False
        rack = self.problem.rack
        return rack[giver] == rack[taker] or self._has_room(partition, taker)

    def price(self, partition: int, broker: int) -> int:
        """Return 1 if a replica on this broker is a move, else 0."""
        return int(broker not in self.problem.origin[partition])

    def choices(self, partition: int, giver: int, takers: Iterable[int]) -> list[int]:
        """Leave out takers in racks that the caps would never let the partition go to."""
        if not self._bound[self.problem.factor[partition]]:
            return list(takers)
        rack = self.problem.rack
        return [broker for broker in takers if rack[broker] == rack[giver]]

    def row(self, giver: int) -> dict[int, tuple[int, int]]:
        """Return taker -> (moves it adds, partition): the cheapest exchange away from `giver`.

        An exchange takes a move back (-1), adds one (1) or neither (0).
        """
        row = self._rows[giver]
        if row is None:
            row = self._rows[giver] = self._find_row(giver)
        return row

    def _find_row(self, giver: int) -> dict[int, tuple[int, int]]:
        origins = self.problem.origin
        row: dict[int, tuple[int, int]] = {}
        others = [broker for broker in range(len(self.load)) if broker != giver]
        dearer = {cost: dict.fromkeys(others) for cost in (0, 1)}  # takers with nothing so cheap

        def offer(taker: int, cost: int, partition: int) -> None:
            if self.may_exchange(partition, giver, taker):
                row[taker] = (cost, partition)
                for no_cheaper in range(max(cost, 0), 2):
                    dearer[no_cheaper].pop(taker, None)

        for partition in self.held[giver]:
            back = -self.price(partition, giver)
            for taker in origins[partition]:
                if taker not in row or row[taker][0] > back:
                    offer(taker, back, partition)
            for taker in self.choices(partition, giver, dearer[back + 1]):
                if taker not in origins[partition]:
                    offer(taker, back + 1, partition)
        return row

    def _has_room(self, partition: int, broker: int) -> bool:
        """Whether the caps let the broker's rack hold one more replica of the partition."""
        rack = self.problem.rack
        its = rack[broker]
        return sum(rack[b] == its for b in self.holders[partition]) < self.problem.cap[partition]
