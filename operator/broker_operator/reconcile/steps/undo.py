"""Take moves back: at a user's word, because `replicas` was set back, or from a dead broker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from broker_operator.api.reassignment import Cause, Reassignment, State
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Ensemble, KafkaView, Replicas, TopicPartition, Unknown
from broker_operator.core.planner import Plan, PlanRefusedError, PlanRequest
from broker_operator.core.planner.fixed import other_factors, plan_back
from broker_operator.core.text import name_some
from broker_operator.reconcile import absence
from broker_operator.reconcile.outcome import Blocked, Outcome, Wait
from broker_operator.reconcile.steps import record, throttle
from broker_operator.reconcile.steps.draft import draft

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker_operator.core.model import BrokerId
    from broker_operator.reconcile.scope import Scope


def wanted(scope: Scope) -> Reassignment | None:
    """Return the reassignment that its user wants undone, if that is not under way."""
    active, undone = scope.facts.active, scope.facts.undoing
    if undone is None or not undone.undo or undone.deleting:
        return None
    if active is not undone and active is not None and active.takes_back(undone):
        return None
    return undone


async def begin(scope: Scope, old: Reassignment, ensemble: Ensemble, kafka: KafkaView) -> Outcome:
    """Replace a reassignment by the one that moves everything back."""
    former = scope.facts.plan if old is scope.facts.active else scope.facts.former
    if old is scope.facts.active and not old.started:
        stored = [] if old.plan_hash else await throttle.stored_plans(scope, old)
        if not stored:
            return await record.end(scope, old, State.UNDONE, "undone before anything had moved")
        # Its status was wiped, and by what is stored it may have moved all the same.
        if recovered := await throttle.recover(scope, old):
            return recovered
        former = _landed(stored[-1], ensemble)
    if scope.diagnosis.ours:
        return await land(scope, old, kafka, back=True)
    if throttle.pending(scope, old):
        return await throttle.sweep(scope, old)
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
        what = "forget it" if old.finished else "leave what it has moved where it is"
        message += f"; to {what}, delete {old.name}"
        return Blocked(refusal.reason, message, seconds=10.0)
    if isinstance(found, Blocked):
        return found
    kept = _kept(ensemble, former)
    if not found.plan.changes:
        what = "everything else" if kept else "everything"
        return await record.end(scope, old, State.UNDONE, f"{what} is where it was{kept}")
    created = await record.create(scope, Cause.UNDO, undoes=old)
    await record.store(scope, created, *found)
    return await record.end(scope, old, State.UNDONE, f"taken back by {created.name}{kept}")


def _landed(plan: StoredPlan, ensemble: Ensemble) -> StoredPlan:
    """Leave out what does not lie where a plan leads: nothing tells that the plan had begun."""
    origin: dict[str, dict[int, Replicas]] = {}
    target: dict[str, dict[int, Replicas]] = {}
    for topic, its in plan.starts.items():
        for number, replicas in its.items():
            end = plan.target.get(topic, {}).get(number, ())
            state = ensemble.topics.get(topic, {}).get(number)
            if state is not None and set(state.target) == set(end):
                origin.setdefault(topic, {})[number] = replicas
                target.setdefault(topic, {})[number] = end
    return StoredPlan(origin, target)


def _kept(ensemble: Ensemble, former: StoredPlan) -> str:
    """Name what does not go back, for its replication factor is somebody else's; empty if none."""
    others = other_factors(ensemble.assignment, former.starts, former.target)
    if not others:
        return ""
    return (
        f"; {len(others)} partitions keep the replication factor that somebody has given them "
        f"since ({name_some(others)})"
    )


def back(scope: Scope, former: StoredPlan) -> Callable[[PlanRequest], Plan]:
    """Return what makes the plan back to where a former one found what it may have moved.

    A user who undoes a drain wants the data on the broker that shall leave. Where `replicas` was
    set back nobody does.
    """
    undone, there = scope.facts.undoing, frozenset[int]()
    if undone is not None and undone.undo:
        there = scope.diagnosis.existing & (scope.diagnosis.registered or frozenset())
    return partial(plan_back, former=former.starts, reached=former.target, allowed=there)


def reverses(scope: Scope, active: Reassignment) -> bool:
    """Whether the spec wants again exactly the brokers that held everything at the beginning."""
    plan = scope.facts.plan
    if active.requested or not active.started or active.deleting:
        return False
    if not isinstance(plan, StoredPlan) or active.brokers == scope.diagnosis.desired:
        return False
    held = {b for its in plan.way_back.values() for replicas in its.values() for b in replicas}
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
        if back and (turning := await _turnable(scope, plan, kafka)):
            return await _send(scope, plan, turning, "they are taken back")
        if outcome := await give_up(scope, plan, kafka):
            return outcome
    return Wait(
        "FinishingBatch", f"{len(flying)} partitions of the former plan are in flight", seconds=1.0
    )


async def give_up(scope: Scope, plan: StoredPlan, kafka: KafkaView) -> Outcome | None:
    """Send back what is on its way to a broker that is given up; None if nothing is.

    What can be had of the plan without it goes on then, and the rest when the broker is back.
    """
    gone = absence.given_up(scope)
    stuck = {tp: target & gone for tp, target in _outward(scope, plan).items() if target & gone}
    if not stuck:
        return None
    why = absence.told(scope, frozenset().union(*stuck.values()))
    safe = [tp for tp in await _turnable(scope, plan, kafka) if tp in stuck]
    if safe:
        return await _send(scope, plan, safe, why)
    return Blocked(
        "TargetBrokerDown",
        f"{len(stuck)} partitions in flight ({name_some(sorted(stuck))}) cannot arrive, for {why}; "
        "nor can they go back, for too few replicas are in sync where they came from: bring a "
        "broker of either side back",
    )


def _outward(scope: Scope, plan: StoredPlan) -> dict[TopicPartition, frozenset[BrokerId]]:
    """Return what is in flight away from where the plan found it, and the brokers it goes to."""
    topics = {} if isinstance(scope.facts.ensemble, Unknown) else scope.facts.ensemble.topics
    return {
        tp: frozenset(state.target)
        for tp in scope.diagnosis.ours
        if (state := topics.get(tp.topic, {}).get(tp.partition))
        and set(state.target) != set(plan.origin.get(tp.topic, {}).get(tp.partition, ()))
    }


async def _turnable(scope: Scope, plan: StoredPlan, kafka: KafkaView) -> list[TopicPartition]:
    """Return what is in flight to the plan's target and can safely turn back.

    Its origin must lead it and have enough replicas in sync: the controller would take any other
    out of the ISR at once (KAFKA-14424), and with it what producers were told is safe.
    """
    outward = _outward(scope, plan)
    least = await scope.admin.min_insync(sorted({tp.topic for tp in outward}))
    found = []
    for tp in outward:
        origin = plan.origin.get(tp.topic, {}).get(tp.partition, ())
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        if seen is None or seen.leader not in origin:
            continue
        enough = min(least.get(tp.topic, 1), len(origin))
        if seen.isr.issubset(origin) or len(seen.isr.intersection(origin)) >= enough:
            found.append(tp)
    return found


async def _send(
    scope: Scope, plan: StoredPlan, partitions: Sequence[TopicPartition], why: str
) -> Outcome:
    """Turn partitions round in mid-flight.

    By the Admin API whatever `via` says: the znode is taken until these moves end. The order of
    the replicas, which a cancel would lose, is that of the origin.
    """
    now = await scope.coordination.read()
    if now.migrating:
        return Wait("FinishingBatch", "nothing sent back: a migration has begun", seconds=1.0)
    flying = [tp for tp in partitions if _same_flight(scope, tp, now)]
    if not flying:
        return Wait("FinishingBatch", "nothing sent back: all of it has changed", seconds=1.0)
    batch: dict[str, dict[int, Replicas]] = {}
    for tp in flying:
        batch.setdefault(tp.topic, {})[tp.partition] = plan.origin[tp.topic][tp.partition]
    await scope.admin.reassign(batch)
    message = f"{len(flying)} partitions go back to where they were ({name_some(flying)}): {why}"
    await scope.tell("SentBack", message)
    return Wait("SentBack", message, seconds=1.0)


def _same_flight(scope: Scope, tp: TopicPartition, now: Ensemble) -> bool:
    """Whether a partition still moves where it did when this pass began.

    The controller obeys whoever spoke last: if it has landed, and somebody else moves it on, that
    move would be called off.
    """
    facts = scope.facts.ensemble
    if isinstance(facts, Unknown):
        return False
    before, state = (it.topics.get(tp.topic, {}).get(tp.partition) for it in (facts, now))
    if before is None or state is None:
        return False
    return state.in_flight and state.target == before.target
