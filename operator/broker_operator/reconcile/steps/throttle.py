"""The replication throttle of one reassignment: recorded, set, swept.

What we set is written into the Reassignment's status before it is set. Whoever dies in between
leaves a record of something that is not there, never something that nobody has recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.quantity import format_bytes
from broker_operator.core.diagnose import name_some
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
from broker_operator.reconcile.outcome import Blocked, Outcome, Wait

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.facts import StoredPlan
    from broker_operator.reconcile.scope import Scope


async def ensure(scope: Scope, active: Reassignment, plan: StoredPlan) -> Outcome | None:
    """Set the throttle for a plan unless it is set; None once there is nothing to do."""
    rate = scope.facts.cluster.spec.reassignment.throttle
    record = active.throttle
    if record is not None and record.rate != rate:
        return await sweep(scope, active)
    if rate is None:
        return None
    mark = (active.uid, active.plan_hash)
    if scope.memory.throttled == mark:
        return None
    wanted = throttle_for(plan.origin, plan.target, rate, scope.diagnosis.registered or ())
    if record is None:
        wanted = await _without_foreign(scope, wanted)
        await scope.update(
            active,
            throttle={
                "bytesPerSecond": rate,
                "brokers": list(wanted.brokers),
                "topics": sorted({*wanted.leader_replicas, *wanted.follower_replicas}),
            },
        )
        return Wait("RecordedThrottle", f"throttle of {format_bytes(rate)}/s is recorded")
    rated, topics = frozenset(record.brokers), frozenset(_known_topics(scope, record.topics))
    ours = _restrict(wanted, rated, topics, rated=rated)
    await scope.admin.set_throttle(ours)
    scope.memory.throttled = mark
    return None


async def sweep(scope: Scope, active: Reassignment) -> Outcome:
    """Remove what the record says is ours, unless somebody gave it another value since.

    Only a broker that is up can be told. The record keeps the desired ones that are not, for when
    they are back; while ZooKeeper cannot say who is up, all are tried, and must answer.
    """
    record = active.throttle
    if record is None:
        return Wait("ThrottleSwept", "there is no throttle to sweep")
    registered = scope.diagnosis.registered
    brokers = tuple(b for b in record.brokers if registered is None or b in registered)
    absent = [b for b in record.brokers if b not in brokers and b in scope.diagnosis.desired]
    if absent and not brokers and not record.topics:
        message = f"the throttle of {active.name} goes once broker {name_some(absent)} is back"
        return Blocked("ThrottleLeft", message, stalled=False)
    topics = _known_topics(scope, record.topics)
    ours = Throttle(record.rate, brokers)
    live = await scope.admin.throttles(brokers, topics)
    plan = scope.facts.plan if scope.facts.active is active else None
    if plan is None or isinstance(plan, Unknown):
        # Without the plan the lists cannot be compared; the record alone says that they are ours.
        lists = dict.fromkeys(topics, "")
        swept = Throttle(record.rate, _same_rate(ours, live), lists, lists)
    else:
        wanted = throttle_for(plan.origin, plan.target, record.rate, brokers)
        rated = frozenset(record.brokers)
        ours = _restrict(wanted, frozenset(brokers), frozenset(topics), rated=rated)
        swept = _same_values(ours, live)
        await _report_kept(scope, ours, swept, live)
    await scope.admin.clear_throttle(swept)
    scope.memory.throttled = None
    kept = {"bytesPerSecond": record.rate, "brokers": absent, "topics": []} if absent else None
    await scope.update(active, throttle=kept)
    return Wait("ThrottleSwept", f"the throttle of {active.name} is removed")


def _known_topics(scope: Scope, topics: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out topics that were deleted since; their settings went with them."""
    ensemble = scope.facts.ensemble
    if isinstance(ensemble, Unknown):
        return topics
    return tuple(t for t in topics if t in ensemble.topics)


def _restrict(
    wanted: Throttle, brokers: frozenset[int], topics: frozenset[str], *, rated: frozenset[int]
) -> Throttle:
    """Keep the rates of `brokers` and the lists of `topics`.

    Only replicas on `rated` brokers, those with our rate, are listed: on any other the listing
    would put our moves under somebody else's rate, however low that is.
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
        brokers=tuple(b for b in wanted.brokers if b in brokers),
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
    return _restrict(wanted, rated, frozenset(topics) - frozenset(live.topics), rated=rated)


def _same_rate(ours: Throttle, live: ThrottleConfigs) -> tuple[int, ...]:
    """Brokers that show no rate but ours; one that shows none may not have heard of it yet."""
    rates = {LEADER_RATE: str(ours.rate), FOLLOWER_RATE: str(ours.rate)}
    return tuple(b for b in ours.brokers if live.brokers.get(b, {}).items() <= rates.items())


def _same_values(ours: Throttle, live: ThrottleConfigs) -> Throttle:
    def lists(key: str, values: dict[str, str]) -> dict[str, str]:
        return {t: v for t, v in values.items() if live.topics.get(t, {}).get(key, v) == v}

    return Throttle(
        rate=ours.rate,
        brokers=_same_rate(ours, live),
        leader_replicas=lists(LEADER_REPLICAS, dict(ours.leader_replicas)),
        follower_replicas=lists(FOLLOWER_REPLICAS, dict(ours.follower_replicas)),
    )


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
