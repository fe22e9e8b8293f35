"""What every reassignment promises, held against each batch before it goes and against what landed.

The planner keeps these promises, and Kafka carries out what it is told. They are checked all the
same, with no look at how the plan was made: a plan outlives the cluster that it was made for, and
what the controller gets it obeys. Whoever breaks one stops the reassignment.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from broker_operator.core.fit import changes
from broker_operator.core.model import TopicPartition
from broker_operator.core.planner.problem import rack_cap
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from broker_operator.core.facts import StoredPlan
    from broker_operator.core.model import (
        Assignment,
        BrokerId,
        Ensemble,
        Leadership,
        PartitionState,
        Replicas,
    )


_GROUPS = 2
"""How many different breaches a message tells before it counts the rest."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the cluster stands, as far as promises go.

    Attributes:
        ensemble: Where everything is, and which brokers are registered in which rack.
        leadership: Leader and ISR of every partition.
        targets: Brokers that may get replicas; their racks say what spread is possible.
        min_insync: `min.insync.replicas` in force, of `changed_topics` at least.
        undo: The plan puts back what was, however that was spread over racks.
    """

    ensemble: Ensemble
    leadership: Mapping[str, Mapping[int, Leadership]]
    targets: frozenset[BrokerId]
    min_insync: Mapping[str, int]
    undo: bool = False


class Breach(NamedTuple):
    """One partition's objection.

    Attributes:
        what: What there is, or would be, with the numbers.
        passing: It ends by itself, so it is waited for. Otherwise it is a promise broken, and a
            person has to decide.
    """

    partition: TopicPartition
    what: str
    passing: bool = False


class Verdict(NamedTuple):
    """What follows from breaches. `reason` is PascalCase, `message` a sentence with numbers."""

    reason: str
    message: str
    stalled: bool


def changed_topics(plan: StoredPlan) -> frozenset[str]:
    """Return the topics whose `min.insync.replicas` matters to a plan."""
    return frozenset(tp.topic for tp, _, _ in changes(plan))


def breaches_of_batch(batch: Assignment, plan: StoredPlan, standing: Standing) -> list[Breach]:
    """Return what speaks against submitting a batch now.

    Promised is of every list: it is the plan's; it names each broker once; it is not shorter than
    the plan means it to be; its spread over racks is no worse than both the present one and what
    the racks allow; it is as long as `min.insync.replicas` asks for, if the present one is.

    Waited for is that all its brokers are registered and that the partition is not under min ISR.
    """
    racks = _Racks(standing)
    found = []
    for topic, partitions in sorted(batch.items()):
        for number, replicas in sorted(partitions.items()):
            tp = TopicPartition(topic, number)
            state = standing.ensemble.topics.get(topic, {}).get(number)
            seen = standing.leadership.get(topic, {}).get(number)
            minimum = standing.min_insync.get(topic)
            if state is None or seen is None or minimum is None:
                what = "not known to every broker: made just now, or being deleted"
                found.append(Breach(tp, what, passing=True))
                continue
            broken = _broken(_Entry(tp, replicas, state.origin), plan, minimum, racks)
            found += [Breach(tp, what) for what in broken]
            waits = _unready(replicas, state, seen, minimum, standing.ensemble)
            found += [Breach(tp, what, passing=True) for what in waits]
    return found


def breaches_of_state(plan: StoredPlan, standing: Standing) -> list[Breach]:
    """Return what is wrong with the partitions that the plan has moved by now.

    Those are the ones that it changes, that are not in flight, and that are no longer on the
    brokers where it found them. That they lie exactly where planned is no promise: if somebody
    else moved them on, the next batch takes them back.

    Waited for is an ISR that is short, for a broker is away or has yet to catch up.
    """
    racks = _Racks(standing)
    found = []
    for tp, before, after in sorted(changes(plan)):
        state = standing.ensemble.topics.get(tp.topic, {}).get(tp.partition)
        seen = standing.leadership.get(tp.topic, {}).get(tp.partition)
        minimum = standing.min_insync.get(tp.topic)
        if state is None or seen is None or minimum is None or state.in_flight:
            continue
        now = state.replicas
        if not before or set(now) == set(before):
            continue
        broken = (
            *_shorter(now, min(len(before), len(after))),
            *racks.crowded(now, before),
            *_below_minimum(now, before, minimum),
        )
        found += [Breach(tp, f"after its move, {what}") for what in broken]
        waits = _out_of_sync(now, now, seen, minimum, standing.ensemble)
        found += [Breach(tp, what, passing=True) for what in waits]
    return found


def refusal(plan: StoredPlan, standing: Standing) -> str:
    """Say which promises a plan would break, with the way out; empty if none.

    To be asked before anything of it is submitted. What would only have to be waited for is no
    reason to refuse.
    """
    whole: dict[str, dict[int, Replicas]] = {}
    for (topic, number), _, after in changes(plan):
        whole.setdefault(topic, {})[number] = after
    found = [breach for breach in breaches_of_batch(whole, plan, standing) if not breach.passing]
    return f"{_tell(found)}; ask for other brokers, or for more replicas" if found else ""


def judge(breaches: Iterable[Breach]) -> Verdict | None:
    """Say what follows: stop for a person, wait, or, None, go on."""
    found = list(breaches)
    broken = [breach for breach in found if not breach.passing]
    if broken:
        return Verdict(
            "PromiseBroken",
            f"nothing more is moved: {_tell(broken)}; undo the Reassignment (spec.undo: true), or "
            "delete it, and a new plan is made from where everything is now",
            stalled=True,
        )
    if found:
        return Verdict("NotInSync", f"no further batch before this ends: {_tell(found)}", False)
    return None


class _Entry(NamedTuple):
    """A partition of a batch: its new list, and who had a full copy so far."""

    partition: TopicPartition
    replicas: Replicas
    held: Replicas


def _broken(entry: _Entry, plan: StoredPlan, minimum: int, racks: _Racks) -> Iterator[str]:
    """Yield the promises that a new list would break."""
    (topic, number), replicas, held = entry
    planned = plan.target.get(topic, {}).get(number, ())
    before = plan.origin.get(topic, {}).get(number, held)
    if replicas != planned:
        leads = f"the plan leads to {list(planned)}" if planned else "it is not part of the plan"
        yield f"to go to brokers {list(replicas)}, but {leads}"
    meant = len(planned) < len(before)
    least = len(planned) if meant and planned else max(len(before), len(held))
    whats = (
        *_shorter(replicas, least),
        *racks.crowded(replicas, held),
        *_below_minimum(replicas, held, minimum),
    )
    yield from (f"as planned, {what}" for what in whats)


def _shorter(replicas: Replicas, least: int) -> Iterator[str]:
    if len(set(replicas)) < len(replicas):
        yield f"a broker twice in {list(replicas)}"
    if (count := len(set(replicas))) < least:
        yield f"{_replicas(count)} instead of {least}"


def _below_minimum(replicas: Replicas, before: Replicas, minimum: int) -> Iterator[str]:
    """Forbid to go below the minimum, not to be there: such a topic may leave a broker, too."""
    if (count := len(set(replicas))) < min(minimum, len(before)):
        yield f"{_replicas(count)}, while min.insync.replicas is {minimum}"


def _unready(
    replicas: Replicas, state: PartitionState, seen: Leadership, minimum: int, ensemble: Ensemble
) -> Iterator[str]:
    """Yield what has to be waited for before a partition may be sent on its way."""
    if away := sorted(set(replicas).difference(ensemble.brokers)):
        yield f"to go to broker {name_some(away)}, which is not registered"
    held = state.origin
    # Replicas that the move takes away are not waited for: it may be the cure. Except in flight:
    # there the controller calls the move under way off, and must find enough of the origin.
    awaited = held if state.in_flight else tuple(b for b in held if b in replicas)
    yield from _out_of_sync(held, awaited, seen, minimum, ensemble)


def _out_of_sync(
    held: Replicas, awaited: Replicas, seen: Leadership, minimum: int, ensemble: Ensemble
) -> Iterator[str]:
    """Say if too few of those who hold a partition are in sync, and more of them could be.

    Args:
        held: Replicas with a full copy, sooner or later.
        awaited: The ones of them that are waited for.
        seen: Leader and ISR.
        minimum: `min.insync.replicas`; a partition with fewer replicas needs them all.
        ensemble: Says which brokers are registered.
    """
    live = frozenset(ensemble.brokers)
    insync = live.intersection(held, seen.isr)
    needed = max(1, min(minimum, len(held)))
    late = frozenset(awaited) - insync
    if seen.leader is None:
        isr = name_some(sorted(seen.isr))
        yield f"no leader until a broker of the ISR is back ({isr})"
    elif not insync or len(insync) < needed <= len(insync) + len(late):
        away, slow = sorted(late - live), sorted(late & live)
        why = [
            *([f"broker {name_some(away)} is away"] if away else []),
            *([f"broker {name_some(slow)} has yet to catch up"] if slow else []),
        ]
        because = f" ({'; '.join(why)})" if why else ""
        yield f"{len(insync)} of {needed} in-sync replicas needed{because}"


class _Racks:
    """Judges how replicas are spread over racks; not if a broker has none, nor of an undo."""

    def __init__(self, standing: Standing) -> None:
        brokers = standing.ensemble.brokers
        self._rack = {broker: it.rack for broker, it in brokers.items() if it.rack}
        known = Counter(self._rack[b] for b in standing.targets if b in self._rack)
        matter = not standing.undo and len(self._rack) == len(brokers)
        self._sizes = tuple(known.values()) if matter else ()

    def crowded(self, replicas: Replicas, before: Replicas) -> Iterator[str]:
        """Say if one rack has more of the replicas than the racks force, and than it had before.

        Before counts only for lists of one length. A broker that is away may have been in any rack.
        """
        if len(replicas) > sum(self._sizes):
            return
        allowed = rack_cap(len(replicas), self._sizes)
        if len(replicas) == len(before):
            strangers = sum(broker not in self._rack for broker in before)
            allowed = max(allowed, strangers + max(self._count(before).values(), default=0))
        for rack, count in sorted(self._count(replicas).items()):
            if count > allowed:
                yield (
                    f"{count} of {len(replicas)} replicas in rack {rack}, where {allowed} would do"
                )

    def _count(self, replicas: Replicas) -> Counter[str]:
        return Counter(self._rack[broker] for broker in replicas if broker in self._rack)


def _tell(breaches: list[Breach]) -> str:
    """Name the partitions by what they have in common."""
    groups: dict[str, list[TopicPartition]] = {}
    for tp, what, _ in breaches:
        groups.setdefault(what, []).append(tp)
    told = [f"{name_some(tps)}: {what}" for what, tps in groups.items()]
    more = len(told) - _GROUPS
    return "; ".join(told[:_GROUPS]) + (f"; and {more} more kinds" if more > 0 else "")


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"
