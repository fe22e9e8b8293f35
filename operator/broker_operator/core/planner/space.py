"""Whether what a plan brings to each broker fits on its disks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from broker_operator.api.quantity import format_bytes
from broker_operator.core.model import Unknown
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from broker_operator.core.model import BrokerId, KafkaView, Sizes
    from broker_operator.core.planner.types import Plan

LIMIT = 85
"""Percent of a disk that a plan may fill. A broker whose disk is full stops, and its replicas with
it; the rest is for what producers write while the moves run."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Where a broker keeps its data. All in bytes.

    Attributes:
        held: What its logs take.
        volume: What its volume was made for.
        total: Size of the file system, None if the broker does not tell (Kafka before 3.3).
        usable: What is left on it, None if the broker does not tell.
    """

    held: int
    volume: int
    total: int | None = None
    usable: int | None = None


class Overfull(NamedTuple):
    """A broker whose disk a plan would fill too far. All in bytes, but for the last two.

    Attributes:
        holds: What lies there now, whatever it is.
        incoming: What the plan brings.
        capacity: How much there is room for.
        percent: How full it would be, rounded up.
        shared: It is the file system that is too small, and more than this broker's volume is on
            it, as with volumes that are folders of a node's disk.
    """

    broker: BrokerId
    holds: int
    incoming: int
    capacity: int
    percent: int
    shared: bool = False


def disks(
    kafka: KafkaView, volume: int, volumes: Mapping[BrokerId, int] | None = None
) -> dict[BrokerId, Disk]:
    """Return the disk of each broker that told what it holds.

    Args:
        kafka: What the brokers say.
        volume: Bytes that every broker's volume is made for.
        volumes: The same for brokers whose volume is known to differ: it was enlarged by hand.
    """
    sizes = volumes or {}
    return {
        broker: Disk(logs.bytes, sizes.get(broker, volume), logs.total, logs.usable)
        for broker, logs in kafka.logs.items()
        if not isinstance(logs, Unknown)
    }


def overfull(
    plan: Plan, sizes: Sizes, disks: Mapping[BrokerId, Disk], limit: int = LIMIT
) -> list[Overfull]:
    """Return the brokers that a plan would fill over the limit, fullest first.

    Two rooms are looked at: the file system with everything on it, and the volume with the
    broker's own logs. The second is the narrower one where many volumes share a file system that
    enforces no quota.

    What leaves a broker does not count: whether it goes before the rest comes is up to the batches.
    Nor is a broker judged that gets nothing, or nothing but empty partitions.

    Args:
        plan: What is to be moved.
        sizes: Bytes per partition; a missing one counts as nothing.
        disks: A broker that is not named is not judged.
        limit: Percent of each room that may be full.
    """
    found = []
    for broker, incoming in _incoming(plan, sizes).items():
        rooms = [
            Overfull(broker, holds, incoming, capacity, _percent(holds + incoming, capacity), own)
            for holds, capacity, own in _rooms(disks.get(broker))
            if 100 * (holds + incoming) > limit * capacity
        ]
        if rooms:
            found.append(max(rooms, key=lambda it: it.percent))
    return sorted(found, key=lambda it: (-it.percent, it.broker))


def too_full(found: Sequence[Overfull], limit: int = LIMIT) -> str:
    """Say what `overfull` found, with the numbers and the way out."""
    first, *others = found
    holds, incoming, capacity = map(format_bytes, (first.holds, first.incoming, first.capacity))
    what = "the file system under broker" if first.shared else "broker"
    named = name_some(f"{it.broker} ({it.percent} %)" for it in others)
    also = f"; so would broker {named}" if others else ""
    return (
        f"{what} {first.broker} would be {first.percent} % full (holds {holds}, receives "
        f"{incoming}, of {capacity}){also}; the limit is {limit} %: add brokers, enlarge the "
        "volumes or delete data"
    )


def _incoming(plan: Plan, sizes: Sizes) -> dict[BrokerId, int]:
    """Return the bytes that come to each broker, those that get none left out."""
    incoming: Counter[BrokerId] = Counter()
    for topic, partitions in plan.changes.items():
        for number, replicas in partitions.items():
            size = sizes.get(topic, {}).get(number, 0)
            for broker in set(replicas).difference(plan.origin[topic][number]):
                incoming[broker] += size
    return {broker: size for broker, size in incoming.items() if size}


def _rooms(disk: Disk | None) -> Iterator[tuple[int, int, bool]]:
    """Yield what lies in each room, how much it has room for, and whether others share it."""
    if disk is None:
        return
    yield disk.held, disk.volume, False
    if disk.total is not None and disk.usable is not None:
        yield disk.total - disk.usable, disk.total, disk.total > disk.volume


def _percent(part: int, whole: int) -> int:
    return -(-100 * part // max(whole, 1))
