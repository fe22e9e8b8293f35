"""An assignment in the making: who holds what, how full each broker is, what a swap would cost."""

from __future__ import annotations

from collections import Counter
from itertools import chain, groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker_operator.core.planner.problem import Problem


class Layout:
    """Replicas by broker index, changed step by step. Always distinct and within the rack caps.

    Made with every replica that may stay where it is; `add` the others.

    Attributes:
        problem: What it solves.
        holders: Brokers of each partition.
        held: Partitions of each broker (the keys, in the order they came).
        load: Replicas on each broker, without those of pinned topics.
        step: What one unit of load weighs.
        spread: Replicas of each topic on each broker.
        short: Partitions that lack replicas, ascending.
    """

    def __init__(self, problem: Problem, goals: tuple[int, ...]) -> None:
        """Keep what may stay: of too many replicas those where there is least above the goal."""
        self.problem = problem
        brokers = range(len(problem.brokers))
        self.step = problem.step
        self.short: list[int] = []
        self._changed: set[int] = set()  # partitions whose holders are not just their origin
        self.holders: list[list[int]] = [list(origin) for origin in problem.origin]
        counts = Counter(chain.from_iterable(problem.origin))
        surplus = [counts[broker] - goal for broker, goal in enumerate(goals)]
        misfits = (p for p, fits in enumerate(problem.fits_as_it_is) if not fits)
        for _, partitions in groupby(misfits, problem.topic.__getitem__):
            self._keep(list(partitions), surplus)
        loads = Counter(chain.from_iterable(self.holders))
        self.load = [loads[broker] for broker in brokers]
        self.held: list[dict[int, None]] = [{} for _ in brokers]
        for partition, holders in enumerate(self.holders):
            for broker in holders:
                self.held[broker][partition] = None
        self.spread: Mapping[int, dict[int, int]] = {
            topic: Counter(chain.from_iterable(self.holders[p] for p in partitions))
            for topic, partitions in groupby(range(len(self.holders)), problem.topic.__getitem__)
        }
        self._tied = self._find_tied()
        self._rows: list[dict[int, tuple[int, int]] | None] = [None for _ in brokers]

    @property
    def changed(self) -> bool:
        """Whether anything is not just where it was."""
        return bool(self._changed)

    @property
    def moves(self) -> int:
        """Replicas on brokers that do not hold them now."""
        return sum(1 for _ in self.newcomers())

    def newcomers(self) -> Iterable[tuple[int, int]]:
        """Yield (partition, broker) of all replicas on brokers that do not hold them now."""
        for partition in sorted(self._changed):
            for broker in self.holders[partition]:
                if broker not in self.problem.origin[partition]:
                    yield partition, broker

    def base(self, broker: int) -> int:
        """Return the replicas of pinned topics."""
        return self.problem.fixed[broker]

    def add(self, partition: int, broker: int) -> None:
        """Place a replica where `fits` says it may go."""
        self._changed.add(partition)
        self.holders[partition].append(broker)
        self.held[broker][partition] = None
        self.load[broker] += 1
        spread = self.spread[self.problem.topic[partition]]
        spread[broker] = spread.get(broker, 0) + 1

    def exchange(self, partition: int, giver: int, taker: int) -> None:
        """Take a replica from one broker to another, as `may_exchange` allows."""
        holders = self.holders[partition]
        for broker in holders:
            self._rows[broker] = None
        self._rows[taker] = None
        holders.remove(giver)
        del self.held[giver][partition]
        self.load[giver] -= 1
        self.spread[self.problem.topic[partition]][giver] -= 1
        self.add(partition, taker)

    def fits(self, partition: int, broker: int) -> bool:
        """Whether the broker may hold one more replica of the partition."""
        return (
            broker not in self.holders[partition]
            and (self.problem.receives[broker] or broker in self.problem.origin[partition])
            and self._has_room(partition, broker)
        )

    def may_exchange(self, partition: int, giver: int, taker: int) -> bool:
        """Whether a replica of the partition may go from `giver`, which holds it, to `taker`."""
        problem = self.problem
        if taker in self.holders[partition] or not (
            problem.receives[taker] or taker in problem.origin[partition]
        ):
            return False
        return problem.rack[giver] == problem.rack[taker] or self._has_room(partition, taker)

    def price(self, partition: int, broker: int) -> int:
        """Return 1 if a replica on this broker is a move, else 0."""
        return int(broker not in self.problem.origin[partition])

    @property
    def all_tied(self) -> bool:
        """Whether no partition can ever go to another rack."""
        return all(self._tied.values())

    def tied(self, partition: int) -> bool:
        """Whether the caps leave each rack just one number of replicas of the partition."""
        return self._tied[self.problem.factor[partition], self.problem.cap[partition]]

    def row(self, giver: int) -> dict[int, tuple[int, int]]:
        """Return taker -> (moves it adds, partition): the cheapest exchange away from `giver`.

        An exchange takes a move back (-1), adds one (1) or neither (0).
        """
        row = self._rows[giver]
        if row is None:
            row = self._rows[giver] = self.find_row(giver, self.held[giver])
        return row

    def find_row(self, giver: int, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Return the same for some of the partitions that the giver holds."""
        row = _Row(self, giver)
        for partition in partitions:
            if partition in self._changed:
                row.take_back(partition)
            row.give_away(partition)
        return row.cheapest

    def best(self, giver: int, taker: int) -> tuple[int, int] | None:
        """Return the row's entry for one taker, None if there is none."""
        return self.row(giver).get(taker)

    def times(self, giver: int, taker: int, cost: int) -> int:  # noqa: ARG002 - see Exchangeable
        """Return 1: exchanges of replicas may be in each other's way."""
        return 1

    def _keep(self, partitions: list[int], surplus: list[int]) -> None:
        """Drop what the rack cap or a lower replication factor does not let stay."""
        problem = self.problem
        spread = Counter(chain.from_iterable(problem.origin[p] for p in partitions))
        for partition in partitions:
            kept = self.holders[partition] = []
            self._changed.add(partition)
            # Who has much too many drops first, by powers of two, so that the topic has a say among
            # those that are nearly alike. Stable: of equals the leader stays.
            for broker in sorted(
                problem.origin[partition],
                key=lambda b: (max(0, surplus[b]).bit_length(), spread[b], surplus[b]),
            ):
                if len(kept) < problem.factor[partition] and self._has_room(partition, broker):
                    kept.append(broker)
                else:
                    surplus[broker] -= 1
                    spread[broker] -= 1
            if len(kept) < problem.factor[partition]:
                self.short.append(partition)

    def _find_tied(self) -> dict[tuple[int, int], bool]:
        """Return for each (factor, cap) whether every rack must hold just so many replicas."""
        problem = self.problem
        if not all(problem.receives):
            return dict.fromkeys(zip(problem.factor, problem.cap, strict=True), False)
        return {
            (factor, cap): sum(min(cap, size) for size in problem.rack_sizes) == factor
            for factor, cap in set(zip(problem.factor, problem.cap, strict=True))
        }

    def _has_room(self, partition: int, broker: int) -> bool:
        """Whether the caps let the broker's rack hold one more replica of the partition."""
        rack = self.problem.rack
        its, room = rack[broker], self.problem.cap[partition]
        for holder in self.holders[partition]:
            room -= rack[holder] == its
        return room > 0


class _Row:
    """The cheapest exchange away from one broker for each taker, found partition by partition.

    Attributes:
        cheapest: Taker -> (moves it adds, partition).
    """

    def __init__(self, layout: Layout, giver: int) -> None:
        self.cheapest: dict[int, tuple[int, int]] = {}
        self._layout = layout
        self._giver = giver
        receives, rack = layout.problem.receives, layout.problem.rack
        others = [
            b
            for b in range(len(layout.load))
            if b != giver and receives[b] and (rack[b] == rack[giver] or not layout.all_tied)
        ]
        # Those that have nothing so cheap yet: most partitions are alike, and soon nobody waits.
        self._waiting = {cost: dict.fromkeys(others) for cost in (0, 1)}

    def take_back(self, partition: int) -> None:
        """Consider that a broker that holds the partition now goes on holding it."""
        cost = -self._layout.price(partition, self._giver)
        for taker in self._layout.problem.origin[partition]:
            if taker not in self.cheapest or self.cheapest[taker][0] > cost:
                self._offer(taker, cost, partition)

    def give_away(self, partition: int) -> None:
        """Consider that another broker gets the partition."""
        problem = self._layout.problem
        cost = 1 - self._layout.price(partition, self._giver)
        if waiting := self._waiting[cost]:
            tied, rack = self._layout.tied(partition), problem.rack
            for taker in list(waiting):
                if taker not in problem.origin[partition] and not (
                    tied and rack[taker] != rack[self._giver]
                ):
                    self._offer(taker, cost, partition)

    def _offer(self, taker: int, cost: int, partition: int) -> None:
        if self._layout.may_exchange(partition, self._giver, taker):
            self.cheapest[taker] = (cost, partition)
            for no_cheaper in range(max(cost, 0), 2):
                self._waiting[no_cheaper].pop(taker, None)
