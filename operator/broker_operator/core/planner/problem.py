"""The question in numbers: brokers, racks and partitions as indexes into sequences.

Brokers are sorted by id and partitions by name, so that nothing later depends on the order of
anybody's dicts. Topics that are pinned are no part of it: their replicas only fill their brokers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING

from broker_operator.core.model import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from broker_operator.core.model import Assignment, Broker, BrokerId, Sizes
    from broker_operator.core.planner.types import PlanRequest

NOBODY = -1
"""Index of a broker that is not among the targets."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A plan request, checked, sorted and numbered.

    Fields up to `fixed_leads` go by broker index (`rack_sizes` by rack index), those from
    `partitions` on by partition index.

    Attributes:
        brokers: Ids of the target brokers, ascending.
        rack: Rack of each target broker. Without usable racks all share rack 0.
        rack_sizes: Number of target brokers in each rack.
        weight: Capacity of each target broker.
        step: What one unit of load costs: inverse to the weight, whole numbers.
        receives: Whether the broker may get replicas that it does not hold.
        fixed: Replicas of pinned topics.
        fixed_leads: Preferred leaderships of pinned topics.
        partitions: Names, ascending. Partitions without any replica are left out.
        topic: Index of the topic.
        origin: Target brokers that hold it now, in list order.
        leader: The preferred leader now, NOBODY if that broker is no target.
        factor: Replication factor to be.
        cap: Most replicas that one rack may hold.
        size: Bytes of one replica.
    """

    brokers: tuple[BrokerId, ...]
    rack: tuple[int, ...]
    rack_sizes: tuple[int, ...]
    weight: tuple[Fraction, ...]
    step: tuple[int, ...]
    receives: tuple[bool, ...]
    fixed: tuple[int, ...]
    fixed_leads: tuple[int, ...]
    partitions: Sequence[TopicPartition]
    topic: Sequence[int]
    origin: Sequence[tuple[int, ...]]
    leader: Sequence[int]
    factor: Sequence[int]
    cap: Sequence[int]
    size: Sequence[int]

    def fair(self, total: int) -> list[int]:
        """Return each broker's part of a total by weight, rounded down."""
        whole = sum(self.weight, Fraction())
        return [int(total * weight / whole) for weight in self.weight]

    @property
    def fits_as_it_is(self) -> Iterator[bool]:
        """Yield for each partition whether all its replicas may stay, and no other is needed."""
        rack = self.rack
        for origin, factor, cap in zip(self.origin, self.factor, self.cap, strict=True):
            if len(origin) != factor:
                yield False
            elif cap >= factor or len({rack[b] for b in origin}) == factor:
                yield True
            else:
                yield max(Counter(rack[b] for b in origin).values()) <= cap


def number(request: PlanRequest) -> Problem:
    """Turn a request that `refusals.check` let through into a Problem."""
    brokers = tuple(sorted(request.targets))
    index = {broker: i for i, broker in enumerate(brokers)}
    rack = _racks(request, brokers)
    rack_sizes = tuple(size for _, size in sorted(Counter(rack).items()))
    receives = tuple(broker not in request.excluded for broker in brokers)
    fixed, fixed_leads = _pinned(request, index)
    weights = {broker.id: _exact(broker.weight) for broker in request.brokers}
    weight = tuple(weights[broker] for broker in brokers)
    names: list[TopicPartition] = []
    topics: list[int] = []
    origins: list[tuple[int, ...]] = []
    leaders: list[int] = []
    factors: list[int] = []
    for topic, (name, partitions) in enumerate(sorted(request.assignment.items())):
        if name in request.pinned:
            continue
        wanted, held = request.factors.get(name), request.held.get(name, {})
        for partition, replicas in sorted(partitions.items()):
            if replicas:
                copies = held.get(partition, replicas)
                names.append(TopicPartition(name, partition))
                topics.append(topic)
                origins.append(tuple([index[b] for b in dict.fromkeys(copies) if b in index]))
                leaders.append(index.get(replicas[0], NOBODY))
                factors.append(wanted or len(set(replicas)))
    return Problem(
        brokers=brokers,
        rack=rack,
        rack_sizes=rack_sizes,
        weight=weight,
        step=_steps(weight),
        receives=receives,
        fixed=fixed,
        fixed_leads=fixed_leads,
        partitions=names,
        topic=topics,
        origin=origins,
        leader=leaders,
        factor=factors,
        cap=_caps(factors, origins, rack, rack_sizes, receives),
        size=partition_sizes(names, request.sizes, mean_size(request.assignment, request.sizes)),
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


def mean_size(assignment: Assignment, sizes: Sizes) -> int:
    """Return what a partition counts whose size is not known: the mean of the others, or 0."""
    known = [
        its[partition]
        for topic, partitions in assignment.items()
        if (its := sizes.get(topic))
        for partition in partitions
        if partition in its
    ]
    return sum(known) // len(known) if known else 0


def partition_sizes(names: Iterable[TopicPartition], sizes: Sizes, mean: int) -> list[int]:
    """Return bytes per partition, the mean where they are missing."""
    return [sizes.get(topic, {}).get(partition, mean) for topic, partition in names]


def usable_racks(brokers: Iterable[Broker], targets: Iterable[BrokerId]) -> dict[BrokerId, str]:
    """Return the rack of every target broker; all the same if a single one has none."""
    names = {broker.id: broker.rack for broker in brokers}
    racks = {target: names[target] or "" for target in targets}
    return racks if all(racks.values()) else dict.fromkeys(racks, "")


def _racks(request: PlanRequest, brokers: tuple[BrokerId, ...]) -> tuple[int, ...]:
    racks = usable_racks(request.brokers, brokers)
    index = {rack: i for i, rack in enumerate(sorted(set(racks.values())))}
    return tuple(index[racks[broker]] for broker in brokers)


def _exact(weight: float) -> Fraction:
    """Return the fraction that was meant: a third, not the binary number next to it."""
    return Fraction(weight).limit_denominator(1000) or Fraction(weight)


def _steps(weights: tuple[Fraction, ...]) -> tuple[int, ...]:
    """Return whole numbers inverse to the weights, as small as can be."""
    steps = [1 / weight for weight in weights]
    scale = lcm(*(step.denominator for step in steps))
    whole = [int(step * scale) for step in steps]
    common = gcd(*whole)
    return tuple(step // common for step in whole)


def _pinned(
    request: PlanRequest, index: dict[BrokerId, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count the replicas and preferred leaders that pinned topics have on each target broker."""
    replicas, leads = [0] * len(index), [0] * len(index)
    for topic in request.pinned:
        for listed in request.assignment[topic].values():
            for broker in listed:
                replicas[index[broker]] += 1
            for broker in listed[:1]:
                leads[index[broker]] += 1
    return tuple(replicas), tuple(leads)


def _caps(
    factors: Sequence[int],
    origins: Sequence[tuple[int, ...]],
    rack: tuple[int, ...],
    rack_sizes: tuple[int, ...],
    receives: tuple[bool, ...],
) -> list[int]:
    """Return each partition's rack cap: by its factor alone, unless excluded brokers forbid it."""
    by_factor = {factor: rack_cap(factor, rack_sizes) for factor in set(factors)}
    if all(receives):
        return [by_factor[factor] for factor in factors]
    open_sizes = [0] * len(rack_sizes)
    for its, open_ in zip(rack, receives, strict=True):
        open_sizes[its] += open_
    caps: list[int] = []
    for factor, origin in zip(factors, origins, strict=True):
        sizes = list(open_sizes)
        for broker in origin:
            sizes[rack[broker]] += not receives[broker]
        caps.append(max(by_factor[factor], rack_cap(factor, sizes)))
    return caps
