"""The replication throttle of one reassignment: recorded, set, swept.

What we set is written into the Reassignment's status before it is set. Whoever dies in between
leaves a record of something that is not there, never something that nobody has recorded.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING

from broker_operator.api.quantity import format_bytes
from broker_operator.api.reassignment import ThrottleRecord, decode_reassignment
from broker_operator.api.spec import AdaptiveThrottle
from broker_operator.core import naming
from broker_operator.core.catch_up import (
    LEAST_SECONDS,
    Flow,
    advise,
    flows,
    growth,
    sizes_of,
    too_low,
)
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Throttle, ThrottleConfigs, Unknown
from broker_operator.core.ownership import as_found, kept, pick, restrict, retrace, unchanged
from broker_operator.core.planner.throttle import listed, throttle_for
from broker_operator.core.render.reassignment import plan_labels, read_plan
from broker_operator.core.text import name_some
from broker_operator.ports import ConflictError
from broker_operator.reconcile.outcome import Outcome, Wait
from broker_operator.reconcile.scope import Writing
from broker_operator.reconcile.steps import adapt
from broker_operator.reconcile.steps.adapt import Wanted

if TYPE_CHECKING:
    from collections.abc import Collection

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import KubeObject
    from broker_operator.reconcile.scope import Scope

MANY_TOPICS = 300
"""Above this a sweep goes by what is shown: to delete what may yet come would take so long, in each
try, that none would ever end. A deleted cluster has ten seconds for each."""
WRITING_SECONDS = 60.0
"""What producers write is measured over this long."""


async def ensure(scope: Scope, active: Reassignment, plan: StoredPlan) -> Outcome | None:
    """Set the throttle for a plan unless it is set; None once there is nothing to do."""
    setting, record = scope.facts.cluster.spec.reassignment.throttle, active.throttle
    for old in scope.facts.reassignments:
        # What an earlier one had to leave on a broker that is back now would be taken for foreign.
        gone = old is not active or setting is None or (record and record.swept)
        if gone and pending(scope, old):
            return await sweep(scope, old)
    if setting is None:
        return None
    force = None if record is None or record.swept else record
    wanted: Wanted | Wait
    if isinstance(setting, AdaptiveThrottle):
        wanted = await adapt.choose(scope, active, force, setting)
    else:
        wanted = Wanted(setting)
    if isinstance(wanted, Wait):
        return wanted
    if force is None or wanted != Wanted(force.rate, force.adaptive, force.p99_before):
        return await _record(scope, active, plan, wanted)
    await _set(scope, active, plan, force)
    return None


async def _set(
    scope: Scope, active: Reassignment, plan: StoredPlan, record: ThrottleRecord
) -> None:
    """Set what is recorded, unless it is known to be set. Nobody else's value is touched."""
    live = frozenset(record.brokers) & (scope.diagnosis.registered or frozenset())
    topics = _served_topics(scope, record.topics)
    before, now = scope.memory.throttled, (active.uid, active.plan_hash, record.rate, live, topics)
    if before == now:
        return
    if before is not None and now == (*before[:2], record.rate, *before[3:]):
        topics = ()  # the lists are set, and the rate is each broker's own
    scope.memory.throttled = None
    ours = _ours(plan, record, live, topics)
    found = await scope.admin.throttles(sorted(live), topics)
    wanted = unchanged(ours, record, found)
    # Thousands of topics may take several tries: each goes on from where the last was cut off.
    await scope.admin.set_throttle(pick(wanted, found, shown=False))
    await _check_recorded(scope, active, record, wanted)
    scope.memory.throttled = now


async def _check_recorded(
    scope: Scope, active: Reassignment, record: ThrottleRecord, just_set: Throttle
) -> None:
    """See that what was just set is still on record.

    Kafka cannot refuse what comes too late: this process may have been suspended since it read the
    record, and another one may have ended the reassignment and swept.

    Raises:
        ConflictError: It is not. If nobody would sweep it, it is removed again.
    """
    body = await scope.kube.get("Reassignment", scope.facts.cluster.namespace, active.name)
    found = decode_reassignment(body).throttle if body is not None else None
    if found == record:
        return
    if found is None or found.swept:
        await scope.admin.clear_throttle(just_set)
    raise ConflictError(f"the throttle of {active.name} was changed while it was being set")


async def _record(scope: Scope, active: Reassignment, plan: StoredPlan, new: Wanted) -> Outcome:
    """Write down what is about to be set. A new rate is set over the old one: both are ours."""
    old, rate, foreign = active.throttle, new.rate, ThrottleConfigs({}, {})
    if old is None or old.swept:
        wanted = throttle_for(plan.origin, plan.target, rate, scope.diagnosis.registered or ())
        wanted, foreign = await _without_foreign(scope, wanted)
        brokers = {*wanted.brokers, *(old.brokers if old else ())}
        topics = {*wanted.leader_replicas, *wanted.follower_replicas}
    else:
        brokers, topics = {*old.brokers}, {*old.topics}
    former = {*old.former, old.rate} - {rate} if old else set[int]()
    record = ThrottleRecord(
        rate,
        tuple(sorted(brokers)),
        tuple(sorted(topics)),
        tuple(sorted(former)),
        adaptive=new.reason,
        p99_before=new.p99_before,
    )
    await scope.update(active, throttle=record.as_status())
    await _report_foreign(scope, foreign)  # not before: another process may have set what it found
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
        # A broker that is back may have its rate from an earlier plan, and no part in this one.
        ours = replace(_ours(plan, record, brokers, topics), brokers=tuple(brokers))
        swept = unchanged(ours, record, live)
        await _report_kept(scope, ours, swept, live)
    else:
        swept = unchanged(as_found(record, brokers, live), record, live)
    if len(topics) > MANY_TOPICS:
        swept = pick(swept, live, shown=True)
    await scope.admin.clear_throttle(swept)
    scope.memory.throttled = None
    absent = tuple(b for b in record.brokers if b not in brokers)
    rest = replace(record, brokers=absent, topics=(), swept=True) if absent else None
    await scope.update(active, throttle=rest.as_status() if rest else None)
    return Wait("ThrottleSwept", f"the throttle of {active.name} is removed")


async def recover(scope: Scope, active: Reassignment) -> Outcome | None:
    """Record again what is ours, if the status that recorded it was wiped; None if nothing is.

    The plan is still stored under its name. It may be so, too, because whoever made it died, or
    was refused, before it was recorded: then nothing is ours, whatever rates there are.
    """
    if active.plan_hash or active.throttle is not None:
        return None
    state = (active.uid, str(active.body["metadata"].get("resourceVersion")))
    if scope.memory.unplanned == state:
        return None  # all plans of a cluster are much to read, and this one may wait for long
    plans = await stored_plans(scope, active)
    if not plans:
        scope.memory.unplanned = state
        return None
    registered = scope.diagnosis.registered or frozenset[int]()
    topics = {topic: None for plan in plans for topic in plan.origin}
    found = await scope.admin.throttles(
        sorted(registered), sorted(_known_topics(scope, (*topics,)))
    )
    setting = scope.facts.cluster.spec.reassignment.throttle
    rates = [rate for rate in _rates(found) if _may_be_set(rate, setting)]
    lists = [throttle_for(plan.origin, plan.target, 0, ()) for plan in plans]
    records = [retrace(each, rates, found, registered) for each in lists]
    # Parts of it look like that of the plan before, too.
    record = max(filter(None, records), key=lambda record: len(record.topics), default=None)
    if record is None:
        return None
    await scope.update(active, throttle=record.as_status())
    return Wait("RecordedThrottle", f"the throttle that {active.name} has set is recorded again")


async def lost(scope: Scope, old: Reassignment) -> bool:
    """Whether a throttle may be set that no status tells of, and nobody knows whom to ask for it.

    That is so if the status was wiped, and until ZooKeeper says which brokers are up.
    """
    untold = not old.plan_hash and old.throttle is None
    return untold and scope.diagnosis.registered is None and bool(await stored_plans(scope, old))


async def stored_plans(scope: Scope, active: Reassignment) -> list[StoredPlan]:
    """Return the plans that are stored for a reassignment, the latest last, whatever it records.

    Under its name there may also lie those of a former one, which go with that. Whoever died while
    storing one has left it incomplete: it is not what its name says.
    """
    cluster = scope.facts.cluster
    found = await scope.kube.list("ConfigMap", cluster.namespace, plan_labels(cluster))
    parts: dict[tuple[str, str], dict[int, KubeObject]] = {}
    for part in found:
        metadata = part["metadata"]
        named = naming.plan_of(metadata["name"])
        owners = {owner["uid"] for owner in metadata.get("ownerReferences") or ()}
        if named is not None and active.uid in owners:
            parts.setdefault(named[:2], {})[named[2]] = part
    plans = []
    for (_, plan_hash), its in parts.items():
        whole = [its[number] for number in sorted(its)]
        with suppress(ValueError):
            plan = read_plan(whole)
            if plan.hash == plan_hash:
                plans.append((whole[0]["metadata"].get("creationTimestamp", ""), plan))
    return [plan for _, plan in sorted(plans, key=itemgetter(0))]


def _rates(found: ThrottleConfigs) -> set[int]:
    values = (value for configs in found.brokers.values() for value in configs.values())
    return {int(value) for value in values if value.isdecimal()}


def _may_be_set(rate: int, setting: int | AdaptiveThrottle | None) -> bool:
    """Whether the spec's throttle may have led to a rate."""
    if isinstance(setting, AdaptiveThrottle):
        return setting.min <= rate <= setting.max
    return rate == setting


def left_behind(record: ThrottleRecord) -> str:
    """Say what a throttle that could not be swept has set, and how to take it off by hand.

    All of it, for nobody will remember; what is too long for an Event is cut off at its end.
    """
    return (
        f"the replication throttle of {format_bytes(record.rate)}/s could not be removed; once "
        "Kafka answers, use kafka-configs --alter --delete-config on "
        "{leader,follower}.replication.throttled.rate of broker "
        f"{', '.join(map(str, record.brokers))} and "
        f"{{leader,follower}}.replication.throttled.replicas of topic {', '.join(record.topics)}"
    )


def warn(scope: Scope) -> str:
    """Say that at this throttle a move never ends, and what would do; empty if it does.

    To be called in every pass: it tells from how sizes grow. It looks at them every quarter of a
    minute, so that the sentence stands still, and a plan of many partitions costs little.
    """
    facts, writing, now = scope.facts, scope.memory.writing, scope.clock.monotonic()
    record = facts.active.throttle if facts.active else None
    setting = facts.cluster.spec.reassignment.throttle
    if record is None or record.swept or setting is None or not scope.diagnosis.ours:
        scope.memory.writing = Writing()
        return ""
    plan, ensemble, kafka = facts.plan, facts.ensemble, facts.kafka
    if isinstance(ensemble, Unknown) or isinstance(kafka, Unknown):
        return writing.said
    early = writing.at is not None and now - writing.at < LEAST_SECONDS
    if early or not isinstance(plan, StoredPlan):
        return writing.said
    writing.at = now
    lists = listed(plan.origin, plan.target)
    recent = [sample for sample in writing.samples if sample[0] >= now - WRITING_SECONDS]
    writing.samples = [*recent, (now, sizes_of(lists, kafka))]
    found = flows(growth(writing.samples), lists, ensemble, kafka)
    writing.in_sync = {(f.side, f.broker): f.in_sync for f in found if f.broker in record.brokers}
    writing.said = _too_low(writing, found, record, setting, now)
    return writing.said


def _too_low(
    writing: Writing,
    found: list[Flow],
    record: ThrottleRecord,
    setting: int | AdaptiveThrottle,
    now: float,
) -> str:
    """Advise on the field that is too low; a rate that adapts has a minute to do so."""
    flow = too_low(found, record.rate, record.brokers)
    if flow is None:
        writing.low = None
        return ""
    if not isinstance(setting, AdaptiveThrottle):
        return advise(flow, record.rate, "spec.reassignment.throttle")
    if flow.rate >= setting.max:
        return advise(flow, setting.max, "spec.reassignment.adaptive.max")
    writing.low = now if writing.low is None else writing.low
    if now - writing.low < WRITING_SECONDS:
        return ""
    return advise(flow, record.rate, "spec.reassignment.adaptive.min")


def _ours(
    plan: StoredPlan, record: ThrottleRecord, brokers: Collection[int], topics: Collection[str]
) -> Throttle:
    """Return what we set for a plan: the rates of these brokers, the lists of these topics."""
    wanted = throttle_for(plan.origin, plan.target, record.rate, brokers)
    return restrict(wanted, frozenset(topics), rated=frozenset(record.brokers))


def _known_topics(scope: Scope, topics: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out topics that were deleted since; their settings went with them."""
    ensemble = scope.facts.ensemble
    if isinstance(ensemble, Unknown):
        return topics
    known = ensemble.names
    return tuple(t for t in topics if t in known)


def _served_topics(scope: Scope, topics: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out also those that Kafka no longer mentions: being deleted, they take no settings.

    Not for a sweep: a broker that has yet to hear of a topic would leave its throttle for ever.
    """
    known, kafka = _known_topics(scope, topics), scope.facts.kafka
    return known if isinstance(kafka, Unknown) else tuple(t for t in known if t in kafka.leadership)


async def _without_foreign(scope: Scope, wanted: Throttle) -> tuple[Throttle, ThrottleConfigs]:
    """Leave out brokers and topics that carry somebody else's throttle, which is returned, too."""
    topics = sorted({*wanted.leader_replicas, *wanted.follower_replicas})
    live = await scope.admin.throttles(wanted.brokers, topics)
    rated = frozenset(wanted.brokers) - frozenset(live.brokers)
    return restrict(wanted, frozenset(topics) - frozenset(live.topics), rated=rated), live


async def _report_foreign(scope: Scope, found: ThrottleConfigs) -> None:
    if found.brokers or found.topics:
        names = [f"broker {b}" for b in sorted(found.brokers)] + sorted(found.topics)
        await scope.tell(
            "ForeignThrottle",
            f"{name_some(names)} already carry a replication throttle that is not ours; "
            "it stays, and ours is left off there",
            warning=True,
        )


async def _report_kept(
    scope: Scope, ours: Throttle, swept: Throttle, live: ThrottleConfigs
) -> None:
    if changed := kept(ours, swept, live):
        await scope.tell(
            "ForeignThrottle",
            f"the throttle on {name_some(changed)} was changed by somebody else; it stays",
            warning=True,
        )
