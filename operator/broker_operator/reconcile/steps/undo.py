"""Take moves back: at a user's word, because `replicas` was set back, or from a dead broker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from broker_operator.api.reassignment import Cause, Reassignment, State
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Ensemble, KafkaView, Replicas, TopicPartition, Unknown
from broker_operator.core.planner import Plan, PlanRefusedError, PlanRequest
from broker_operator.core.planner.fixed import plan_back
from broker_operator.core.text import name_some
from broker_operator.reconcile.outcome import Blocked, Outcome, Wait
from broker_operator.reconcile.steps import record, throttle
from broker_operator.reconcile.steps.draft import draft

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker_operator.reconcile.scope import Scope

LOST_SECONDS = 60.0
"""A broker that nobody wants is waited for this long before its moves are given up."""


def wanted(scope: Scope) -> Reassignment | None:
    """Return the reassignment that its user wants undone, if that is not under way."""
    active, undone = scope.facts.active, scope.facts.undoing
    if undone is None or not undone.undo or undone.deleting:
        return None
    if active is not undone and active is not None and active.undoes == undone.name:
        return None
    return undone


async def begin(scope: Scope, old: Reassignment, ensemble: Ensemble, kafka: KafkaView) -> Outcome:
    """Replace a reassignment by the one that moves everything back."""
    if old is scope.facts.active and not old.started:
        return await record.end(scope, old, State.UNDONE, "undone before anything had moved")
    if scope.diagnosis.ours:
        return await land(scope, old, kafka, back=True)
    if throttle.pending(scope, old):
        return await throttle.sweep(scope, old)
    former = scope.facts.plan if old is scope.facts.active else scope.facts.former
    if not isinstance(former, StoredPlan):
        why = former.reason if isinstance(former, Unknown) else "it has none"
        return Blocked(
            "PlanLost",
            f"{old.name} cannot be undone: where its partitions were stands in its plan, and "
            f"{why}; set spec.replicas instead, or create a Reassignment, and delete {old.name}",
        )
    try:
        found = await draft(scope, ensemble, kafka, back(scope, former), undo=True)
    except PlanRefusedError as refusal:
        message = f"{old.name} cannot be undone: {refusal.message}"
        if old.finished:
            message += f"; to forget it, delete {old.name}"
        return Blocked(refusal.reason, message, seconds=10.0)
    if isinstance(found, Blocked):
        return found
    if not found.plan.changes:
        return await record.end(scope, old, State.UNDONE, "everything is where it was")
    created = await record.create(scope, Cause.UNDO, undoes=old.name)
    await record.store(scope, created, *found)
    return await record.end(scope, old, State.UNDONE, f"taken back by {created.name}")


def back(scope: Scope, former: StoredPlan) -> Callable[[PlanRequest], Plan]:
    """Return what makes the plan back to where a former one found everything.

    A user who undoes a drain wants the data on the broker that shall leave. Where `replicas` was
    set back nobody does.
    """
    undone, there = scope.facts.undoing, frozenset[int]()
    if undone is not None and undone.undo:
        there = scope.diagnosis.existing & (scope.diagnosis.registered or frozenset())
    return partial(plan_back, former=former.origin, allowed=there)


def reverses(scope: Scope, active: Reassignment) -> bool:
    """Whether the spec wants again exactly the brokers that held everything at the beginning."""
    plan = scope.facts.plan
    if active.requested or not active.started or active.deleting:
        return False
    if not isinstance(plan, StoredPlan) or active.brokers == scope.diagnosis.desired:
        return False
    held = {b for its in plan.origin.values() for replicas in its.values() for b in replicas}
    return held == scope.diagnosis.desired


async def land(
    scope: Scope, active: Reassignment | None, kafka: KafkaView, *, back: bool
) -> Outcome:
    """Let what is in flight under a former plan land, at the throttle that is asked for now.

    `back`: what can turn round in the air does so.
    """
    plan, flying = scope.facts.plan, scope.diagnosis.ours
    if active is not None and isinstance(plan, StoredPlan):
        outcome = await throttle.ensure(scope, active, plan)
        if outcome is not None:
            return outcome
        if back and (outward := await _outward(scope, plan, kafka)):
            return await _send(scope, plan, outward, "they are taken back")
        if stuck := _stuck(scope):
            return await _send_back(scope, plan, kafka, stuck)
    return Wait(
        "FinishingBatch", f"{len(flying)} partitions of the former plan are in flight", seconds=1.0
    )


async def _outward(scope: Scope, plan: StoredPlan, kafka: KafkaView) -> list[TopicPartition]:
    """Return what is in flight to the plan's target and can safely turn back.

    Its origin must lead it and have enough replicas in sync: the controller would take any other
    out of the ISR at once (KAFKA-14424), and with it what producers were told is safe.
    """
    topics = {} if isinstance(scope.facts.ensemble, Unknown) else scope.facts.ensemble.topics
    least = await scope.admin.min_insync(sorted({tp.topic for tp in scope.diagnosis.ours}))
    found = []
    for tp in scope.diagnosis.ours:
        state = topics.get(tp.topic, {}).get(tp.partition)
        origin = plan.origin.get(tp.topic, {}).get(tp.partition, ())
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        if state is None or seen is None or set(state.target) == set(origin):
            continue
        enough = min(least.get(tp.topic, 1), len(origin))
        if seen.leader in origin and len(seen.isr.intersection(origin)) >= enough:
            found.append(tp)
    return found


def _stuck(scope: Scope) -> list[TopicPartition]:
    """Partitions in flight to a broker that is down for good: not wanted, not there, and for long.

    One whose pod is ready, or that left only a moment ago, is on its way back to finish them.
    """
    ensemble, memory, now = scope.facts.ensemble, scope.memory, scope.clock.monotonic()
    topics = {} if isinstance(ensemble, Unknown) else ensemble.topics
    ready = {b for b, pod in scope.facts.pods.items() if pod.ready}
    awaited = scope.diagnosis.desired | (scope.diagnosis.registered or frozenset()) | ready
    targets = {
        tp: set(state.target)
        for tp in scope.diagnosis.ours
        if (state := topics.get(tp.topic, {}).get(tp.partition))
    }
    lost = {broker for target in targets.values() for broker in target - awaited}
    memory.lost = {b: memory.lost.get(b, now) for b in lost}
    dead = {b for b, since in memory.lost.items() if now - since >= LOST_SECONDS}
    return [tp for tp, target in targets.items() if target & dead]


async def _send_back(
    scope: Scope, plan: StoredPlan, kafka: KafkaView, stuck: list[TopicPartition]
) -> Outcome:
    """Send partitions back to where the plan found them: their way on ends at a dead broker.

    Only where one of the origin leads: then it has all that was acknowledged, and what is dropped
    is a copy. (A replica that was added and leads may be the only one in sync, and the controller
    would delete it.)
    """
    led = [
        tp
        for tp in stuck
        if (seen := kafka.leadership.get(tp.topic, {}).get(tp.partition))
        and seen.leader in plan.origin[tp.topic][tp.partition]
    ]
    if not led:
        return Blocked(
            "TargetBrokerDown",
            f"{len(stuck)} partitions ({name_some(stuck)}) are on their way to a broker that is "
            "down and not wanted, and where they came from nobody leads; bring one of both back",
        )
    return await _send(
        scope, plan, led, "the broker that they were on their way to is down, and no longer wanted"
    )


async def _send(
    scope: Scope, plan: StoredPlan, partitions: Sequence[TopicPartition], why: str
) -> Outcome:
    """Turn partitions round in mid-flight.

    By the Admin API whatever `via` says: the znode is taken until these moves end. The order of
    the replicas, which a cancel would lose, is that of the origin.
    """
    batch: dict[str, dict[int, Replicas]] = {}
    for tp in partitions:
        batch.setdefault(tp.topic, {})[tp.partition] = plan.origin[tp.topic][tp.partition]
    await scope.admin.reassign(batch)
    count = len(partitions)
    message = f"{count} partitions go back to where they were ({name_some(partitions)}): {why}"
    await scope.tell("SentBack", message)
    return Wait("SentBack", message, seconds=1.0)
