"""The clusters that are planned for. The same ones in every run: nothing here is left to chance."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import cycle

CHANGES = ("add", "remove", "skewed", "rackless")
SIZES = (100, 1_000, 10_000, 100_000)
GROWTH = (
    *(
        (change, size, 30, 3)
        for change in ("add", "remove")
        for size in (10**4, 3 * 10**4, 10**5, 3 * 10**5)
    ),
    *((change, 333_333, 300, 30) for change in ("add", "remove")),
)
"""Change, partitions, brokers and racks of the clusters that ours alone is tried on."""
REPLICATION = 3

_TOPICS = (1, 3, 6, 12, 30, 48)
"""Partitions per topic, again and again: a hundred partitions are six topics."""
_SEED = 20_250_101

Topics = dict[str, list[list[int]]]
"""Topic -> replicas of partition 0, 1, 2, ..."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A cluster, and the brokers that it shall have.

    Attributes:
        name: What is changed, one of `CHANGES`.
        partitions: How many there are.
        topics: Where their replicas are.
        racks: Rack of every broker, old and new.
        targets: The brokers that shall hold everything afterwards.
    """

    name: str
    partitions: int
    topics: Topics
    racks: dict[int, str]
    targets: tuple[int, ...]

    @property
    def brokers(self) -> tuple[int, int]:
        """How many there are before and after."""
        return len(used(self.topics)), len(self.targets)

    @property
    def title(self) -> str:
        """What it is, for a person."""
        before, after = self.brokers
        racks = len(set(self.racks.values()))
        what = {
            "add": f"{before} -> {after} brokers in {racks} racks",
            "remove": f"{before} -> {after} brokers in {racks} racks",
            "skewed": f"{after} brokers, loads from 1 to 10",
            "rackless": f"{after} brokers, placed with no look at racks",
        }[self.name]
        return f"{self.partitions:,} partitions, {what}"


def shape(change: str, partitions: int, brokers: int = 30, racks: int = 3) -> Shape:
    """Return the cluster of `partitions` x replication factor 3 that a change is tried on.

    Args:
        change: `add` two brokers, `remove` the last one, or level out a `skewed` or a `rackless`
            start with the brokers there are.
        partitions: How many; they come in topics of 1 to 48.
        brokers: Before the change.
        racks: Broker n is in rack n modulo this.
    """
    last = brokers + 2 if change == "add" else brokers
    rack_of = {broker: f"rack-{broker % racks}" for broker in range(last)}
    place = {"skewed": _skewed, "rackless": _rackless}.get(change, _level)
    replicas = place(partitions, [list(range(rack, brokers, racks)) for rack in range(racks)])
    targets = tuple(rack_of)[: brokers - 1 if change == "remove" else last]
    return Shape(change, partitions, _in_topics(replicas), rack_of, targets)


def used(topics: Topics) -> set[int]:
    """Return the brokers that hold a replica."""
    return {broker for lists in topics.values() for replicas in lists for broker in replicas}


def _in_topics(replicas: list[list[int]]) -> Topics:
    topics: Topics = {}
    at = 0
    for size in cycle(_TOPICS):
        if at >= len(replicas):
            return topics
        topics[f"topic-{len(topics):06}"] = replicas[at : at + size]
        at += size
    return topics


def _level(partitions: int, racks: list[list[int]]) -> list[list[int]]:
    """Lay replicas round the racks and, in each, round its brokers: within one of each other."""
    width = len(racks[0])
    lists = []
    for n in range(partitions):
        block, turn = n // len(racks), n // (len(racks) * width)
        lists.append(
            [
                racks[(n + k) % len(racks)][
                    (REPLICATION * block + k + (n + k) % len(racks) * turn) % width
                ]
                for k in range(REPLICATION)
            ]
        )
    return lists


def _skewed(partitions: int, racks: list[list[int]]) -> list[list[int]]:
    """Keep racks and leaders apart, but give the tenth broker of a rack ten times the first's."""
    chance = random.Random(_SEED)  # noqa: S311 - the same draw in every run, no secret
    weights = range(1, len(racks[0]) + 1)
    return [
        [chance.choices(racks[(n + k) % len(racks)], weights)[0] for k in range(REPLICATION)]
        for n in range(partitions)
    ]


def _rackless(partitions: int, racks: list[list[int]]) -> list[list[int]]:
    """Draw the brokers of every partition, as if none had a rack."""
    chance = random.Random(_SEED)  # noqa: S311 - the same draw in every run, no secret
    brokers = sorted(broker for rack in racks for broker in rack)
    return [chance.sample(brokers, REPLICATION) for _ in range(partitions)]
