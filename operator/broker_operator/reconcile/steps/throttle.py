"""The replication throttle of one reassignment: recorded, set, swept.

What we set is written into the Reassignment's status before it is set. Whoever dies in between
leaves a record of something that is not there, never something that nobody has recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker_operator.api.quantity import format_bytes
from broker_operator.api.reassignment import ThrottleRecord
from broker_operator.core.diagnose import name_some
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
    Throttle,
    ThrottleConfigs,
    Unknown,
)
from broker_operator.core.planner.throttle import throttle_for
from broker_operator.reconcile.outcome import Outcome, Wait

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.reconcile.scope import Scope


async def ensure(scope: Scope, active: Reassignment, plan: StoredPlan) -> Outcome | None:
    """Set the throttle for a plan unless it is set; None once there is nothing to do."""
    rate, record = scope.facts.cluster.spec.reassignment.throttle, active.throttle
    for old in scope.facts.reassignments:
        # What an earlier one had to leave on a broker that is back now would be taken for foreign.
        if (old is not active or rate is None or (record and record.swept)) and pending(scope, old):
            return await sweep(scope, old)
    if rate is None:
        return None
    if record is None or record.swept or record.rate != rate:
        return await _record(scope, active, plan, rate)
    live = frozenset(record.brokers) & (scope.diagnosis.registered or frozenset())
    topics = _served_topics(scope, record.topics)
    mark = (active.uid, active.plan_hash, rate, live, topics)
    if scope.memory.throttled == mark:
        return None
    ours = _ours(plan, record, live, topics)
    await scope.admin.set_throttle(
        _unchanged(ours, record, await scope.admin.throttles(sorted(live), topics))
    )
    scope.memory.throttled = mark
    return None


async def _record(scope: Scope, active: Reassignment, plan: StoredPlan, rate: int) -> Outcome:
    """Write down what is about to be set. A new rate is set over the old one: both are ours."""
    old = active.throttle
    if old is None or old.swept:
        wanted = throttle_for(plan.origin, plan.target, rate, scope.diagnosis.registered or ())
        wanted = await _without_foreign(scope, wanted)
        brokers = {*wanted.brokers, *(old.brokers if old else ())}
        topics = {*wanted.leader_replicas, *wanted.follower_replicas}
    else:
        brokers, topics = {*old.brokers}, {*old.topics}
    former = {*old.former, old.rate} - {rate} if old else set[int]()
    record = ThrottleRecord(
        rate, tuple(sorted(brokers)), tuple(sorted(topics)), tuple(sorted(former))
    )
    await scope.update(active, throttle=record.as_status())
    return Wait("RecordedThrottle", f"throttle of {format_bytes(rate)}/s is recorded")


def pending(scope: Scope, reassignment: Reassignment) -> bool:
    """Whether a sweep has something to do now: all of it, or a broker that has come back."""
    record, registered = reassignment.throttle, scope.diagnosis.registered
    if record is None:
        return False
    return not record.swept or not (registered or frozenset()).isdisjoint(record.brokers)


async def sweep(scope: Scope, active: Reassignment) -> Outcome:
    """Remove what the record says is ours, unless somebody gave it another value since.

    Only a broker that is up can be told. The record keeps those that are not, for when they are
    back; while ZooKeeper cannot say who is up, all are tried, and must answer.
    """
    record = active.throttle
    if record is None:
        return Wait("ThrottleSwept", "there is no throttle to sweep")
    registered = scope.diagnosis.registered
    brokers = [b for b in record.brokers if registered is None or b in registered]
    topics = _known_topics(scope, record.topics)
    live = await scope.admin.throttles(brokers, topics)
    plan = scope.facts.plan if scope.facts.active is active else None
    if isinstance(plan, StoredPlan):
        ours = _ours(plan, record, brokers, topics)
        swept = _unchanged(ours, record, live)
        await _report_kept(scope, ours, swept, live)
    else:
        swept = _unchanged(_as_found(record, brokers, live), record, live)
    await scope.admin.clear_throttle(swept)
    scope.memory.throttled = None
    absent = tuple(b for b in record.brokers if b not in brokers)
    kept = replace(record, brokers=absent, topics=(), swept=True) if absent else None
    await scope.update(active, throttle=kept.as_status() if kept else None)
    return Wait("ThrottleSwept", f"the throttle of {active.name} is removed")


def left_behind(record: ThrottleRecord) -> str:
    """Say what a throttle that could not be swept has set, and how to take it off by hand."""
    places = [f"broker {b}" for b in record.brokers] + [f"topic {t}" for t in record.topics]
    return (
        f"the replication throttle of {format_bytes(record.rate)}/s on {name_some(places)} could "
        "not be removed; once Kafka answers, delete {leader,follower}.replication.throttled.rate "
        "of the brokers and .replicas of the topics: kafka-configs --alter --delete-config"
    )


def _ours(
    plan: StoredPlan, record: ThrottleRecord, brokers: Collection[int], topics: Collection[str]
) -> Throttle:
    """Return what we set for a plan: the rates of these brokers, the lists of these topics."""
    wanted = throttle_for(plan.origin, plan.target, record.rate, brokers)
    return _restrict(wanted, topics, rated=record.brokers)


def _as_found(record: ThrottleRecord, brokers: list[int], live: ThrottleConfigs) -> Throttle:
    """Return what is ours without a plan to tell: lists that name none but recorded brokers."""

    def lists(key: str) -> dict[str, str]:
        found = {topic: values.get(key, "") for topic, values in live.topics.items()}
        named = {topic: _brokers_in(value) for topic, value in found.items() if value}
        return {t: found[t] for t, ids in named.items() if ids and ids.issubset(record.brokers)}

    return Throttle(record.rate, tuple(brokers), lists(LEADER_REPLICAS), lists(FOLLOWER_REPLICAS))


def _brokers_in(value: str) -> set[int]:
    """Return the brokers of a list such as `0:1,0:2`; none for `*`, which is never ours."""
    ids = [entry.rpartition(":")[2] for entry in value.split(",")]
    return {int(broker) for broker in ids if broker.isdecimal()}


def _known_topics(scope: Scope, topics: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out topics that were deleted since; their settings went with them."""
    ensemble = scope.facts.ensemble
    if isinstance(ensemble, Unknown):
        return topics
    return tuple(t for t in topics if t in ensemble.topics)


def _served_topics(scope: Scope, topics: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out also those that Kafka no longer mentions: being deleted, they take no settings.

    Not for a sweep: a broker that has yet to hear of a topic would leave its throttle for ever.
    """
    known, kafka = _known_topics(scope, topics), scope.facts.kafka
    return known if isinstance(kafka, Unknown) else tuple(t for t in known if t in kafka.leadership)


def _restrict(wanted: Throttle, topics: Collection[str], *, rated: Collection[int]) -> Throttle:
    """Keep the rates of `rated` brokers and the lists of `topics`.

    Only replicas on rated brokers are listed: on any other the listing would put our moves under
    somebody else's rate, however low that is.
    """

    def lists(values: Mapping[str, str]) -> dict[str, str]:
        kept = {
            topic: ",".join(e for e in value.split(",") if int(e.rpartition(":")[2]) in rated)
            for topic, value in values.items()
            if topic in topics
        }
        return {topic: value for topic, value in kept.items() if value}

    return Throttle(
        rate=wanted.rate,
        brokers=tuple(b for b in wanted.brokers if b in rated),
        leader_replicas=lists(wanted.leader_replicas),
        follower_replicas=lists(wanted.follower_replicas),
    )


async def _without_foreign(scope: Scope, wanted: Throttle) -> Throttle:
    """Leave out brokers and topics that carry somebody else's throttle, and say so."""
    topics = sorted({*wanted.leader_replicas, *wanted.follower_replicas})
    live = await scope.admin.throttles(wanted.brokers, topics)
    if live.brokers or live.topics:
        names = [f"broker {b}" for b in sorted(live.brokers)] + sorted(live.topics)
        await scope.tell(
            "ForeignThrottle",
            f"{name_some(names)} already carry a replication throttle that is not ours; "
            "it stays, and ours is left off there",
            warning=True,
        )
    rated = frozenset(wanted.brokers) - frozenset(live.brokers)
    return _restrict(wanted, frozenset(topics) - frozenset(live.topics), rated=rated)


def _unchanged(ours: Throttle, record: ThrottleRecord, live: ThrottleConfigs) -> Throttle:
    """Leave out what shows another value: somebody else has set it since.

    What shows no value is kept: a broker may not have heard of ours yet.
    """
    rates = {str(rate) for rate in (record.rate, *record.former)}

    def lists(key: str, values: Mapping[str, str]) -> dict[str, str]:
        return {t: v for t, v in values.items() if live.topics.get(t, {}).get(key, v) == v}

    return Throttle(
        rate=ours.rate,
        brokers=tuple(b for b in ours.brokers if rates.issuperset(_values(live.brokers.get(b)))),
        leader_replicas=lists(LEADER_REPLICAS, ours.leader_replicas),
        follower_replicas=lists(FOLLOWER_REPLICAS, ours.follower_replicas),
    )


def _values(configs: Mapping[str, str] | None) -> set[str]:
    return {v for k, v in (configs or {}).items() if k in (LEADER_RATE, FOLLOWER_RATE)}


async def _report_kept(
    scope: Scope, ours: Throttle, swept: Throttle, live: ThrottleConfigs
) -> None:
    changed = [f"broker {b}" for b in ours.brokers if b in live.brokers and b not in swept.brokers]
    changed += [
        topic
        for topic in sorted({*ours.leader_replicas, *ours.follower_replicas})
        if topic in live.topics
        and topic not in swept.leader_replicas
        and topic not in swept.follower_replicas
    ]
    if changed:
        await scope.tell(
            "ForeignThrottle",
            f"the throttle on {name_some(changed)} was changed by somebody else; it stays",
            warning=True,
        )
