"""Copy fewer bytes, all else being equal."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker_operator.core.planner.layout import Layout

_TRIED = 20
"""Smaller partitions that are looked at before a larger one is left to move."""


def lighten(layout: Layout) -> None:
    """Let smaller partitions of a topic move instead of larger ones, between the same brokers.

    Loads, moves and topics stay as they are, and a partition only takes the place of one that is
    led by the giver if it is so itself: leaders come before bytes.
    """
    size = layout.problem.size
    if len(set(size)) > 1:
        swaps = _Swaps(layout)
        moving = dict.fromkeys(partition for partition, _ in layout.newcomers())
        for partition in sorted(moving, key=lambda p: (-size[p], p)):
            swaps.relieve(partition)


class _Swaps:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._problem = layout.problem
        self._staying: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        self._members: dict[int, list[int]] = {}
        for partition, topic in enumerate(layout.problem.topic):
            self._members.setdefault(topic, []).append(partition)

    def relieve(self, partition: int) -> None:
        """Leave a partition where it was, as far as smaller ones can move in its stead."""
        origin, holders = self._problem.origin[partition], self._layout.holders[partition]
        for taker in [broker for broker in holders if broker not in origin]:
            for giver in [broker for broker in origin if broker not in holders]:
                if self._swap(partition, giver, taker):
                    break

    def _swap(self, partition: int, giver: int, taker: int) -> bool:
        layout, size = self._layout, self._problem.size
        if layout.may_exchange(partition, taker, giver):
            staying = (p for p in self._smaller(partition, giver) if giver in layout.holders[p])
            for other in islice(staying, _TRIED):
                if size[other] >= size[partition]:
                    return False
                if layout.may_exchange(other, giver, taker):
                    layout.exchange(partition, taker, giver)
                    layout.exchange(other, giver, taker)
                    return True
        return False

    def _smaller(self, partition: int, giver: int) -> list[int]:
        """Return those of the topic that were with the giver in the same role, smallest first."""
        problem, topic = self._problem, self._problem.topic[partition]
        if (topic, giver) not in self._staying:
            members = [p for p in self._members[topic] if giver in problem.origin[p]]
            members.sort(key=lambda p: (problem.size[p], p))
            roles: tuple[list[int], list[int]] = ([], [])
            for member in members:
                roles[problem.leader[member] == giver].append(member)
            self._staying[topic, giver] = roles
        return self._staying[topic, giver][problem.leader[partition] == giver]
