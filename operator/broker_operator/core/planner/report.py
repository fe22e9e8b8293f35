"""What a plan does to the cluster, in numbers, before and after.

"Before" is where full copies lie now: for a partition that is half-way through a move, the
request's `held`. Preferred leaders before are those that the assignment names. A copy is read from
the first live broker that holds the partition, the preferred leader as a rule.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from heapq import nsmallest
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from broker_operator.core.planner.problem import mean_size, rack_cap, usable_racks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker_operator.core.model import BrokerId, Replicas
    from broker_operator.core.planner.batches import Batch
    from broker_operator.core.planner.types import Plan, PlanRequest

_DIGITS = 3


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """One broker.

    Attributes:
        target: Whether it is to hold replicas afterwards.
        bytes_in: Bytes copied to it.
        bytes_out: Bytes that it sends, as the source of copies. What it drops is not sent by it.
    """

    id: BrokerId
    rack: str | None
    live: bool
    target: bool
    weight: float
    replicas_before: int
    replicas_after: int
    leaders_before: int
    leaders_after: int
    bytes_before: int
    bytes_after: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True)
class RackReport:
    """One rack; None stands for the brokers without one."""

    rack: str | None
    replicas_before: int
    replicas_after: int
    leaders_before: int
    leaders_after: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a plan does. A spread is the most that one target broker has over another.

    Attributes:
        moves: Replicas to be copied.
        lower_bound: No balanced result can be reached with fewer moves.
        optimal: The moves are proved to be the fewest.
        bytes: Bytes to be copied.
        byte_bound: No plan that leads to these loads copies fewer bytes.
        changed_partitions: Partitions whose replica list changes, reorderings included.
        leader_changes: Partitions whose preferred leader changes.
        replica_spread: Of replicas per target broker; per unit of weight if weights differ from 1.
        leader_spread: The same of preferred leaders.
        topic_spread: Of the replicas of a single topic, for the topic where it is largest.
        rack_violations: Partitions of which a rack holds more replicas than its cap.
        sizes_known: Every partition's size was given.
        partitions_without_size: How many were not; they count as the mean of the others.
        batches: Number of batches.
        predicted_seconds: Time to copy batch after batch at the throttle; None without one, or if
            no size is known at all.
        ideal_seconds: Time for what the busiest broker receives or sends: no order of moves is
            faster at this throttle.
        pinned: Topics that were not touched.
        excluded: Brokers that received nothing.
        removed: Brokers that lost everything.
        hash: Identifies the plan; see `plan_hash`.
    """

    moves: int
    lower_bound: int
    optimal: bool
    bytes: int
    byte_bound: int
    changed_partitions: int
    leader_changes: int
    replica_spread: float
    leader_spread: float
    topic_spread: float
    rack_violations: int
    replica_spread_before: float
    leader_spread_before: float
    topic_spread_before: float
    rack_violations_before: int
    brokers: tuple[BrokerReport, ...]
    racks: tuple[RackReport, ...]
    sizes_known: bool
    partitions_without_size: int
    batches: int
    throttle: int | None
    predicted_seconds: float | None
    ideal_seconds: float | None
    pinned: tuple[str, ...]
    excluded: tuple[BrokerId, ...]
    removed: tuple[BrokerId, ...]
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it. `refused` is null: there is a plan."""
        return {**asdict(self), "refused": None}


def make_report(
    request: PlanRequest,
    plan: Plan,
    batches: Sequence[Batch],
    throttle: int | None,
    removed: Iterable[BrokerId] = (),
) -> Report:
    """Describe a plan.

    Args:
        request: The question.
        plan: The answer.
        batches: The plan cut into what is submitted at once, in order.
        throttle: Bytes per second and broker; None or 0 = none.
        removed: Brokers that were asked to be removed.
    """
    table = _Table(request, plan)
    weight = {b.id: b.weight for b in request.brokers if b.id in request.targets}
    copied = table.copied
    crowded_before, crowded = table.rack_violations()
    seconds = sum(batch.bytes for batch in batches)
    busiest = max(chain(copied.into.values(), copied.out_of.values()), default=0)
    rate = throttle if table.told else None
    brokers = tuple(table.brokers())
    return Report(
        moves=plan.moves,
        lower_bound=plan.lower_bound,
        optimal=plan.optimal,
        bytes=plan.bytes,
        byte_bound=table.byte_bound(),
        changed_partitions=sum(map(len, plan.changes.values())),
        leader_changes=plan.leader_changes,
        replica_spread=_spread(table.replicas[1], weight),
        leader_spread=_spread(table.leaders[1], weight),
        topic_spread=_topic_spread(plan.target.values(), weight),
        rack_violations=crowded,
        replica_spread_before=_spread(table.replicas[0], weight),
        leader_spread_before=_spread(table.leaders[0], weight),
        topic_spread_before=_topic_spread(request.assignment.values(), weight),
        rack_violations_before=crowded_before,
        brokers=brokers,
        racks=tuple(_racks(brokers)),
        sizes_known=not table.unknown,
        partitions_without_size=table.unknown,
        batches=len(batches),
        throttle=throttle or None,
        predicted_seconds=_per(seconds, rate),
        ideal_seconds=_per(busiest, rate),
        pinned=tuple(sorted(request.pinned)),
        excluded=tuple(sorted(request.excluded)),
        removed=tuple(sorted(removed)),
        hash=plan.hash,
    )


@dataclass(frozen=True, slots=True)
class _Copied:
    """Bytes by broker: copied to it, sent by it, and dropped from it."""

    into: Counter[BrokerId]
    out_of: Counter[BrokerId]
    dropped: Counter[BrokerId]


class _Table:
    """All partitions as columns, in one order: where they are, where they go, their bytes.

    Attributes:
        unknown: Partitions whose size is not known.
        told: Any size is known, or there are no partitions.
        replicas, leaders: Broker -> count, before and after.
        copied: What the plan copies.
    """

    def __init__(self, request: PlanRequest, plan: Plan) -> None:
        self._request = request
        self._before: list[Replicas] = []
        self._after: list[Replicas] = []
        known: list[int | None] = []
        for topic, partitions in request.assignment.items():
            its = {n: replicas for n, replicas in partitions.items() if replicas}
            held = request.held.get(topic, {})
            self._before += [held.get(n) or r for n, r in its.items()] if held else its.values()
            self._after += map(plan.target[topic].__getitem__, its)
            sizes = list(map(request.sizes.get(topic, {}).get, its))
            known += sizes
        self.unknown = known.count(None)
        self.told = self.unknown < len(known) or not known
        mean = mean_size(request.assignment, request.sizes)
        self._sizes = [mean if size is None else size for size in known]
        self.replicas = (_count(self._before), _count(self._after))
        assigned = chain.from_iterable(its.values() for its in request.assignment.values())
        self.leaders = (_leaders(filter(None, assigned)), _leaders(self._after))
        self.copied = self._copies()
        self._held = self._sizes_by_broker()

    def brokers(self) -> Iterable[BrokerReport]:
        """Yield every broker, by id."""
        for broker in sorted(self._request.brokers, key=lambda b: b.id):
            me = broker.id
            here = sum(self._held.get(me, ()))
            yield BrokerReport(
                id=me,
                rack=broker.rack,
                live=broker.live,
                target=me in self._request.targets,
                weight=broker.weight,
                replicas_before=self.replicas[0][me],
                replicas_after=self.replicas[1][me],
                leaders_before=self.leaders[0][me],
                leaders_after=self.leaders[1][me],
                bytes_before=here,
                bytes_after=here + self.copied.into[me] - self.copied.dropped[me],
                bytes_in=self.copied.into[me],
                bytes_out=self.copied.out_of[me],
            )

    def byte_bound(self) -> int:
        """Count bytes that every plan with these loads copies, however it chooses.

        A partition with fewer copies on target brokers than it shall have gets the difference. A
        target broker above its final load drops at least the difference. Each replica dropped must
        be copied to another broker, unless the partition has more copies than it shall have; if
        the others that are dropped are the broker's smallest, that is the least.
        """
        targets = self._request.targets
        least = 0
        free: Counter[BrokerId] = Counter()
        for old, new, size in zip(self._before, self._after, self._sizes, strict=True):
            if len(old) == len(new) and targets.issuperset(old):
                continue
            staying = targets.intersection(old)
            least += max(0, len(new) - len(staying)) * size
            if len(staying) > len(new):
                free.update(staying)
        for broker in sorted(targets):
            excess = self.replicas[0][broker] - self.replicas[1][broker] - free[broker]
            if excess > 0:
                least += sum(nsmallest(excess, self._held[broker]))
        return least

    def rack_violations(self) -> tuple[int, int]:
        """Count the partitions above their rack cap, before and after."""
        usable = usable_racks(self._request.brokers, self._request.targets)
        if len(set(usable.values())) < 2:  # noqa: PLR2004 - one rack is none
            return 0, 0
        sizes = tuple(Counter(usable.values()).values())
        # Brokers that go may have no rack: each is a rack of its own then.
        rack = {broker.id: broker.rack or broker.id for broker in self._request.brokers}
        changed = [both for both in zip(self._before, self._after, strict=True) if _differ(*both)]
        before = _crowded(self._before, rack, sizes)
        gone = _crowded([old for old, _ in changed], rack, sizes)
        come = _crowded([new for _, new in changed], rack, sizes)
        return before, before - gone + come

    def _copies(self) -> _Copied:
        live = {broker.id for broker in self._request.brokers if broker.live}
        found = _Copied(Counter(), Counter(), Counter())
        for old, new, size in zip(self._before, self._after, self._sizes, strict=True):
            if not _differ(old, new):
                continue
            added = set(new).difference(old)
            for broker in added:
                found.into[broker] += size
            for broker in set(old).difference(new):
                found.dropped[broker] += size
            source = next((broker for broker in old if broker in live), old[0])
            found.out_of[source] += size * len(added)
        return found

    def _sizes_by_broker(self) -> dict[BrokerId, list[int]]:
        held: dict[BrokerId, list[int]] = {broker: [] for broker in self.replicas[0]}
        for replicas, size in zip(self._before, self._sizes, strict=True):
            for broker in replicas:
                held[broker].append(size)
        return held


def _differ(old: Replicas, new: Replicas) -> bool:
    """Whether two lists differ; most are the same object."""
    return old is not new and old != new


def _count(lists: Iterable[Replicas]) -> Counter[BrokerId]:
    return Counter(chain.from_iterable(lists))


def _leaders(lists: Iterable[Replicas]) -> Counter[BrokerId]:
    return Counter(map(itemgetter(0), lists))


def _spread(counts: Mapping[BrokerId, int], weight: Mapping[BrokerId, float]) -> float:
    """Return the most less the least per unit of weight; a whole number where it is one.

    Brokers without a weight are no targets and do not count.
    """
    loads = [counts[broker] / weight[broker] for broker in counts if broker in weight]
    gap = max(loads, default=0.0) - (0 if len(loads) < len(weight) else min(loads, default=0.0))
    return int(gap) if gap.is_integer() else round(gap, _DIGITS)


def _topic_spread(
    topics: Iterable[Mapping[int, Replicas]], weight: Mapping[BrokerId, float]
) -> float:
    return max((_spread(_count(its.values()), weight) for its in topics), default=0)


def _crowded(
    lists: Iterable[Replicas], rack: Mapping[BrokerId, str | int], sizes: tuple[int, ...]
) -> int:
    """Count the lists of which one rack holds more than its cap. Few combinations are different."""
    found = 0
    combinations = Counter(tuple([rack[b] for b in replicas]) for replicas in lists)
    # More replicas than target brokers have no cap: the replication factor is to be lowered.
    factors = {len(racks) for racks in combinations}
    caps = {n: rack_cap(n, sizes) if n <= sum(sizes) else n for n in factors}
    for racks, count in combinations.items():
        factor = len(racks)
        if len(set(racks)) < factor and max(map(racks.count, racks)) > caps[factor]:
            found += count
    return found


def _racks(brokers: Iterable[BrokerReport]) -> Iterable[RackReport]:
    """Yield the sums over each rack's brokers, by name."""
    by_rack: dict[str | None, list[BrokerReport]] = {}
    for broker in brokers:
        by_rack.setdefault(broker.rack, []).append(broker)
    for rack, its in sorted(by_rack.items(), key=lambda pair: (pair[0] is None, pair[0] or "")):
        yield RackReport(
            rack=rack,
            replicas_before=sum(b.replicas_before for b in its),
            replicas_after=sum(b.replicas_after for b in its),
            leaders_before=sum(b.leaders_before for b in its),
            leaders_after=sum(b.leaders_after for b in its),
            bytes_before=sum(b.bytes_before for b in its),
            bytes_after=sum(b.bytes_after for b in its),
        )


def _per(count: int, rate: int | None) -> float | None:
    return round(count / rate, _DIGITS) if rate else None
