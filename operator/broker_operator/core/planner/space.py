"""Whether what a plan brings to each broker fits on its disks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from broker_operator.api.quantity import format_bytes
from broker_operator.core.fit import changes
from broker_operator.core.model import Unknown
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from broker_operator.core.facts import StoredPlan
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
        volume: Size of its volume.
        total: Size of the file system, blocks that are reserved for root included (ext4: 5 %); None
            if the broker does not tell (KIP-827 came with Kafka 3.3).
        usable: What the broker may still write there, so without reserved blocks; None if it does
            not tell.
    """

    held: int
    volume: int
    total: int | None = None
    usable: int | None = None


class Overfull(NamedTuple):
    """A broker whose disk a plan would fill too far. All in bytes, but for `percent` and `shared`.

    Attributes:
        holds: What lies there now, whatever it is.
        incoming: What the plan brings.
        capacity: How much there is room for.
        percent: How full it would be, rounded up.
        shared: It is the file system that is too small, and more than this broker's volume is on
            it, as with volumes that are folders of a node's disk.
        others: How much of what it holds is none of this broker's logs: files of others and
            reserved blocks.
    """

    broker: BrokerId
    holds: int
    incoming: int
    capacity: int
    percent: int
    shared: bool = False
    others: int = 0


def disks(
    kafka: KafkaView, volume: int, volumes: Mapping[BrokerId, int | None]
) -> dict[BrokerId, Disk]:
    """Return the disk of each broker that told what it holds.

    Args:
        kafka: What the brokers say.
        volume: Bytes that a volume is asked for with.
        volumes: Bytes that brokers' volumes have, None where that is not known: one may have been
            enlarged by hand.
    """
    return {
        broker: Disk(logs.bytes, volumes.get(broker) or volume, logs.total, logs.usable)
        for broker, logs in kafka.logs.items()
        if not isinstance(logs, Unknown)
    }


def untold(plan: Plan | StoredPlan, sizes: Sizes, kafka: KafkaView) -> str:
    """Say why it cannot be told yet which disks a plan fills; empty if it can.

    Needed is what lies on the disks of every broker that gets something, and of one holder at least
    of what moves: a disk that is not known is not empty. Waited for is only who was asked and did
    not answer. Whether a broker that is away is waited for is not decided here, and what no holder
    that answers has on its disk is empty.

    Args:
        plan: What is to be moved.
        sizes: Bytes per partition, as far as brokers told.
        kafka: What the brokers say.
    """
    silent = {broker: its for broker, its in kafka.logs.items() if isinstance(its, Unknown)}
    if not silent:
        return ""
    needed: set[BrokerId] = set()
    for (topic, number), before, after in changes(plan):
        coming = silent.keys() & set(after).difference(before)
        size = sizes.get(topic, {}).get(number)
        holders = silent.keys() & set(before) if size is None else set()
        if not set(after).issubset(before) and (size or holders):
            needed |= coming | holders
    return name_some(silent[broker].reason for broker in sorted(needed))


def overfull(
    plan: Plan | StoredPlan, sizes: Sizes, disks: Mapping[BrokerId, Disk], limit: int = LIMIT
) -> list[Overfull]:
    """Return the brokers that a plan would fill over the limit, fullest first.

    Two rooms are looked at: the file system with everything on it, and the volume with the
    broker's own logs. The second is the narrower one where many volumes share a file system that
    enforces no quota. Of the first, all that the broker cannot use counts as taken: what is asked
    is that 15 % of the file system stay usable.

    What leaves a broker does not count: whether it goes before the rest comes is up to the batches.
    Nor is a broker judged that gets nothing, or nothing but empty partitions.

    Args:
        plan: What is to be moved.
        sizes: Bytes per partition; a missing one counts as nothing. Ask `untold` first.
        disks: A broker that is not named is not judged.
        limit: Percent of each room that may be full.
    """
    found = []
    for broker, incoming in _incoming(plan, sizes).items():
        rooms = [
            Overfull(
                broker,
                holds,
                incoming,
                capacity,
                _percent(holds + incoming, capacity),
                shared=shared,
                others=others,
            )
            for holds, capacity, shared, others in _rooms(disks.get(broker))
            if 100 * (holds + incoming) > limit * capacity
        ]
        if rooms:
            found.append(max(rooms, key=lambda it: it.percent))
    return sorted(found, key=lambda it: (-it.percent, it.broker))


def too_full(found: Sequence[Overfull], limit: int = LIMIT) -> str:
    """Say what `overfull` found, with the numbers and the way out."""
    first, *others = found
    holds, incoming, capacity = map(format_bytes, (first.holds, first.incoming, first.capacity))
    foreign = f"{format_bytes(first.others)} of that not its own logs, " if first.others else ""
    what = "the file system under broker" if first.shared else "broker"
    named = name_some(f"{it.broker} ({it.percent} %)" for it in others)
    also = f"; so would broker {named}" if others else ""
    return (
        f"{what} {first.broker} would be {first.percent} % full (holds {holds}, {foreign}"
        f"receives {incoming}, of {capacity}){also}; the limit is {limit} %: add brokers, enlarge "
        "the volumes or delete data"
    )


def _incoming(plan: Plan | StoredPlan, sizes: Sizes) -> dict[BrokerId, int]:
    """Return the bytes that come to each broker, those that get none left out."""
    incoming: Counter[BrokerId] = Counter()
    for (topic, number), before, after in changes(plan):
        for broker in set(after).difference(before):
            incoming[broker] += sizes.get(topic, {}).get(number, 0)
    return {broker: size for broker, size in incoming.items() if size}


def _rooms(disk: Disk | None) -> Iterator[tuple[int, int, bool, int]]:
    """Yield of each room: what lies there, how much fits, whether it is shared, what is others'."""
    if disk is None:
        return
    yield disk.held, disk.volume, False, 0
    if disk.total is not None and disk.usable is not None:
        taken = disk.total - disk.usable
        yield taken, disk.total, disk.total > disk.volume, max(0, taken - disk.held)


def _percent(part: int, whole: int) -> int:
    return -(-100 * part // max(whole, 1))
