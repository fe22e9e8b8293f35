"""The question in numbers: brokers, racks and partitions as indexes into tuples.

Brokers are sorted by id and partitions by name, so that nothing later depends on the order of
anybody's dicts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.core.model import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.core.model import BrokerId, Replicas, Sizes
    from broker_operator.core.planner.types import PlanRequest

NOBODY = -1
"""Index of a broker that is not among the targets."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A plan request, checked, sorted and numbered.

    `rack` and `rack_sizes` go by broker and rack index; the fields after them by partition index.

    Attributes:
        brokers: Ids of the target brokers, ascending.
        rack: Rack of each target broker. Without usable racks all share rack 0.
        rack_sizes: Number of target brokers in each rack.
        partitions: Names, ascending. Partitions without any replica are left out.
        topic: Index of the topic.
        origin: Target brokers that hold it now, in list order.
        leader: The preferred leader now, NOBODY if that broker is no target.
        factor: Replication factor.
        cap: Most replicas that one rack may hold.
        size: Bytes of one replica.
    """

    brokers: tuple[BrokerId, ...]
    rack: tuple[int, ...]
    rack_sizes: tuple[int, ...]
    partitions: tuple[TopicPartition, ...]
    topic: tuple[int, ...]
    origin: tuple[tuple[int, ...], ...]
    leader: tuple[int, ...]
    factor: tuple[int, ...]
    cap: tuple[int, ...]
    size: tuple[int, ...]


def number(request: PlanRequest) -> Problem:
    """Turn a request that `refusals.check` let through into a Problem."""
    brokers = tuple(sorted(request.targets))
    rack = _racks(request, brokers)
    rack_sizes = tuple(size for _, size in sorted(Counter(rack).items()))
    lists: dict[TopicPartition, Replicas] = {
        TopicPartition(topic, partition): tuple(dict.fromkeys(replicas))
        for topic, partitions in sorted(request.assignment.items())
        for partition, replicas in sorted(partitions.items())
        if replicas
    }
    index = {broker: i for i, broker in enumerate(brokers)}
    topics = {topic: i for i, topic in enumerate(sorted(request.assignment))}
    caps = {factor: rack_cap(factor, rack_sizes) for factor in {len(r) for r in lists.values()}}
    sizes = partition_sizes(lists, request.sizes)
    return Problem(
        brokers=brokers,
        rack=rack,
        rack_sizes=rack_sizes,
        partitions=tuple(lists),
        topic=tuple(topics[name.topic] for name in lists),
        origin=tuple(tuple(index[b] for b in r if b in index) for r in lists.values()),
        leader=tuple(index.get(r[0], NOBODY) for r in lists.values()),
        factor=tuple(len(r) for r in lists.values()),
        cap=tuple(caps[len(r)] for r in lists.values()),
        size=tuple(sizes),
    )


def rack_cap(factor: int, rack_sizes: Iterable[int]) -> int:
    """Return the smallest cap of replicas per rack that leaves room for `factor` of them.

    The racks together must have at least `factor` brokers.
    """
    sizes = tuple(rack_sizes)
    cap = 1
    while sum(min(cap, size) for size in sizes) < factor:
        cap += 1
    return cap


def partition_sizes(names: Iterable[TopicPartition], sizes: Sizes) -> list[int]:
    """Return bytes per partition; a missing size counts as the mean of the known ones, or 0."""
    known = [sizes.get(name.topic, {}).get(name.partition) for name in names]
    given = [size for size in known if size is not None]
    mean = sum(given) // len(given) if given else 0
    return [mean if size is None else size for size in known]


def _racks(request: PlanRequest, brokers: tuple[BrokerId, ...]) -> tuple[int, ...]:
    """Return each target broker's rack index; racks count only if every target has one."""
    names = {broker.id: broker.rack for broker in request.brokers}
    racks = [names[broker] for broker in brokers]
    known = [rack for rack in racks if rack]
    if len(known) < len(brokers):
        return (0,) * len(brokers)
    index = {rack: i for i, rack in enumerate(sorted(set(known)))}
    return tuple(index[rack] for rack in known)
