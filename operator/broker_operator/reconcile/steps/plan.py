"""Decide whether partitions must move, and write down how."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from broker_operator.api.reassignment import Cause, Reassignment, State
from broker_operator.core.facts import StoredPlan
from broker_operator.core.fit import misfit, receivers
from broker_operator.core.lifecycle import balanced_over, held_back
from broker_operator.core.model import Ensemble, KafkaView, Unknown
from broker_operator.core.planner import Plan, PlanRefusedError, PlanRequest, make_plan
from broker_operator.core.requests import matching, plan_request
from broker_operator.core.text import name_some
from broker_operator.reconcile import absence
from broker_operator.reconcile.outcome import DONE, Blocked, Done, Outcome
from broker_operator.reconcile.steps import around, record, throttle, undo, unreachable
from broker_operator.reconcile.steps.draft import draft, drafted

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker_operator.core.model import BrokerId
    from broker_operator.reconcile.scope import Scope


async def make(scope: Scope) -> Outcome:
    """See that the Reassignment whose turn it is has a plan that fits, and make one if needed."""
    if (outcome := await _end_older(scope)) is not None:
        return outcome
    undone, blocked = undo.wanted(scope), None
    if undone is not None:
        view = _view(scope, everybody=False)
        outcome = view if isinstance(view, Blocked) else await undo.begin(scope, undone, *view)
        if not (isinstance(outcome, Blocked) and undone.finished):
            return outcome
        blocked = outcome  # what has ended holds nobody up, even if it cannot be taken back
    outcome = await _go_on(scope)
    return blocked if blocked is not None and isinstance(outcome, Done) else outcome


async def _go_on(scope: Scope) -> Outcome:
    active, cause = scope.facts.active, _cause(scope)
    without = spare(scope, active)
    # What the spec asks for goes before what users ask for, as soon as nothing is in flight, unless
    # it cannot be had.
    first = active is not None and active.requested and cause is not None and not without
    if active is None and cause is None:
        return _held_back(scope)
    if active is not None and not first and fits(scope, active):
        return DONE
    view = _view(scope, everybody=not without)
    if isinstance(view, Blocked):
        led = None if active is None else await _without_lost(scope, active)
        return view if led is None else led
    if scope.diagnosis.ours:
        back = active is not None and undo.reverses(scope, active)
        return await undo.land(scope, active, view[1], back=back)
    if active is not None and (recovered := await throttle.recover(scope, active)) is not None:
        return recovered
    if active is not None and throttle.pending(scope, active):
        return await throttle.sweep(scope, active)
    if active is None or first:
        outcome = await _begin(scope, cause or Cause.REBALANCE, *view)
        if active is None or not isinstance(outcome, Blocked) or fits(scope, active):
            return outcome
        # What the spec asks for cannot be had now: that is no reason to keep users waiting.
        anew = await _plan_anew(scope, active, *view)
        if isinstance(anew, Blocked):
            return replace(outcome, message=f"{outcome.message}; and {anew.message}")
        return anew
    return await _plan_anew(scope, active, *view)


def spare(scope: Scope, active: Reassignment | None) -> frozenset[BrokerId]:
    """Return the missing brokers, if what a user asks for does not wait for them, or no more.

    What has begun goes on as it was planned, and a replacement has no use for others. All else is
    better planned once all brokers are there.
    """
    missing = scope.diagnosis.missing
    if active is None or not _needs_none_missing(scope, active):
        return frozenset()
    soon = active.replace is not None or (active.plan_begun and fits(scope, active))
    return missing if soon or missing <= absence.given_up(scope) else frozenset()


def _needs_none_missing(scope: Scope, active: Reassignment) -> bool:
    """Whether what a user asks for can do without the missing brokers, once they are given up.

    They hold nothing (a pod that never started, mostly) and are not named in it. What the spec asks
    for gives them their share later: else a plan without them would be the last one.
    """
    missing, held = scope.diagnosis.missing, scope.diagnosis.replicas
    if not active.requested or held is None or _cause(scope) is None:
        return False
    named = active.evacuate.union(active.replace or ())
    return not any(held.get(broker) for broker in missing) and not missing & named


def fits(scope: Scope, active: Reassignment) -> bool:
    """Whether the plan of the reassignment still leads where it shall."""
    return not _unfit(scope, active)


def _unfit(scope: Scope, active: Reassignment) -> str:
    """Say why the plan of a reassignment does not fit; empty if it does. Found once per pass."""
    if active.uid not in scope.unfit:
        scope.unfit[active.uid] = _find_unfit(scope, active)
    return scope.unfit[active.uid]


def _find_unfit(scope: Scope, active: Reassignment) -> str:
    plan, ensemble, desired = scope.facts.plan, scope.facts.ensemble, scope.diagnosis.desired
    if active.deleting:
        return "the Reassignment was deleted"
    if not active.requested and active.brokers != desired:
        return f"the brokers that are desired are {name_some(sorted(desired))} now"
    if plan is None:
        return "it has no plan yet"
    if isinstance(plan, Unknown):
        return plan.reason
    if isinstance(ensemble, Unknown) or ensemble.unreadable:
        return ""
    if active.requested and (leaving := receivers(plan, ensemble) - desired):
        return f"broker {name_some(sorted(leaving))} shall leave"
    if active.requested and active.started and (new := _strangers(plan, ensemble) & desired):
        return f"broker {name_some(sorted(new))} holds replicas now, and the plan does not know it"
    holders = desired - active.evacuate.union((active.replace or ())[:1])
    topics = matching(active.topics, ensemble.topics) if active.topics else None
    if active.cause is Cause.UNDO:
        holders |= active.plan_brokers
    # While the brokers are away that a plan leads around no other one can be made: there is nothing
    # left to lead around. So it is kept, except if it merely does without one that never came.
    lost = active.plan_avoids & scope.diagnosis.missing
    kept = bool(active.started and lost) and not _needs_none_missing(scope, active)
    return misfit(plan, ensemble, holders, started=active.plan_begun or kept, topics=topics)


def _strangers(plan: StoredPlan, ensemble: Ensemble) -> frozenset[BrokerId]:
    """Return the brokers with replicas that had none when a plan was made, and were to get none.

    What the spec asks for goes before a request that has begun. To go on by the old plan would take
    from a broker that came in between all that it was given.
    """
    known = {
        broker
        for lists in (plan.origin, plan.target)
        for partitions in lists.values()
        for replicas in partitions.values()
        for broker in replicas
    }
    return frozenset(b for _, state in ensemble.partitions() for b in state.target) - known


def foreign(scope: Scope) -> Blocked:
    """Say that somebody else's reassignment is waited for.

    What is in flight under a plan of ours that is lost cannot be told from that.
    """
    partitions, active = scope.diagnosis.foreign, scope.facts.active
    by = "another tool"
    if active is not None and active.started and not isinstance(scope.facts.plan, StoredPlan):
        by += f", or under the plan of {active.name}, which is lost"
    return Blocked(
        "ForeignReassignment",
        f"{len(partitions)} partitions are moved by {by} ({name_some(partitions)}); "
        "waiting for it to end. Only who started it should call it off: "
        "kafka-reassign-partitions --cancel with the JSON that it was given",
        stalled=False,
        seconds=2.0,
    )


async def _end_older(scope: Scope) -> Outcome | None:
    """End what was overtaken: whoever made a new one may have died before the old one's end.

    Not before the new one has its plan: if that is refused, nothing was taken back or replaced.
    """
    facts = scope.facts
    for old in facts.reassignments:
        # Without a plan it has succeeded if everything was in its place by the time it was planned.
        by = [r.name for r in facts.own if r.takes_back(old) and (r.plan_hash or r.succeeded)]
        if old.undo and by and old.state is not State.UNDONE:
            return await record.end(scope, old, State.UNDONE, f"taken back by {by[-1]}")
    for old in facts.own[:-1]:
        newest = facts.own[-1]
        if not old.finished and (newest.plan_hash or newest.finished):
            why = "a newer Reassignment was made"
            return await record.end(scope, old, State.SUPERSEDED, why)
    return None


def _cause(scope: Scope) -> Cause | None:
    """Why partitions must move now of the spec's own accord, if nothing does yet."""
    diagnosis = scope.diagnosis
    if held_back(scope.facts.reassignments, diagnosis.desired):
        return None
    if diagnosis.occupied:
        return Cause.SCALE_DOWN
    if diagnosis.replicas is None:
        return None
    facts = scope.facts
    balanced = balanced_over(facts.status.get("balancedBrokers"), facts.reassignments)
    if balanced is not None:
        if balanced == diagnosis.desired:
            scope.balanced = True
            return None
        return Cause.SCALE_UP if diagnosis.desired - balanced else Cause.REBALANCE
    # Nothing is recorded. Moving data that nobody asked to move would be rude: act only on a
    # reassignment that was given up half-way, or on a broker that holds nothing at all.
    if facts.own:
        return Cause.REBALANCE
    if any(not diagnosis.replicas.get(b) for b in diagnosis.desired) and diagnosis.replicas:
        return Cause.SCALE_UP
    scope.balanced = not diagnosis.missing
    return None


def _held_back(scope: Scope) -> Outcome:
    why = held_back(scope.facts.reassignments, scope.diagnosis.desired)
    return Blocked("Undone", why, stalled=False, seconds=30.0) if why else DONE


def _view(scope: Scope, *, everybody: bool = True) -> tuple[Ensemble, KafkaView] | Blocked:
    """Return what a plan needs to know, or why it cannot be made now.

    `everybody`: all desired brokers must be there. Who takes moves back need not wait for them: a
    broker that died may be the reason.
    """
    ensemble, kafka, diagnosis = scope.facts.ensemble, scope.facts.kafka, scope.diagnosis
    if isinstance(ensemble, Unknown):
        return unreachable.zookeeper(ensemble)
    if isinstance(kafka, Unknown):
        return unreachable.kafka(kafka)
    if everybody and diagnosis.missing:
        missing = name_some(sorted(diagnosis.missing))
        message = (
            f"{diagnosis.present} of {len(diagnosis.desired)} brokers are registered; partitions "
            f"move once broker {missing} is, too"
        )
        active = scope.facts.active
        if active is not None and _needs_none_missing(scope, active):
            minutes = absence.DESIRED_SECONDS / 60
            message += f"; {active.name} waits for that until it has been away for {minutes:g} min"
        return Blocked("BrokersNotReady", message, stalled=False)
    if scope.obstacle is not None:
        return scope.obstacle
    if diagnosis.foreign:
        return foreign(scope)
    return ensemble, kafka


async def _begin(scope: Scope, cause: Cause, ensemble: Ensemble, kafka: KafkaView) -> Outcome:
    """Make a Reassignment for what the spec asks, if anything must move for it."""
    found = await drafted(scope, ensemble, kafka, make_plan)
    if isinstance(found, Blocked):
        return found
    if not found.plan.changes:
        scope.balanced = True
        return DONE
    return await record.store(scope, await record.create(scope, cause), *found)


async def _plan_anew(
    scope: Scope, active: Reassignment, ensemble: Ensemble, kafka: KafkaView
) -> Outcome:
    """Give a Reassignment the plan that it lacks, or one that fits; or another its place."""
    if active.deleting:
        return await record.end(scope, active, State.SUPERSEDED, "it was deleted")
    if not active.requested and active.brokers != scope.diagnosis.desired:
        return await _replace(scope, active, ensemble, kafka)
    if active.cause is Cause.UNDO and not isinstance(scope.facts.former, StoredPlan):
        why = f"the plan of {active.undoes}, which it takes back, is gone"
        return await record.end(scope, active, State.SUPERSEDED, why, warning=True)
    without = spare(scope, active)
    try:
        undoes = active.cause is Cause.UNDO
        maker = _maker(scope, active)
        found = await draft(scope, ensemble, kafka, maker, undo=undoes, without=without)
    except PlanRefusedError as refusal:
        if without and active.replace is None:
            why = f"{refusal.message}; it waits, for {absence.told(scope, without)}"
            why = _refused(active, why) if active.started else why
            return Blocked(refusal.reason, why, seconds=10.0)
        if active.requested and not active.started:
            return await record.end(scope, active, State.REFUSED, refusal.message, warning=True)
        return Blocked(refusal.reason, _refused(active, refusal.message), seconds=10.0)
    if isinstance(found, Blocked):
        return found
    if active.requested and (leaving := receivers(found.plan, ensemble) - scope.diagnosis.desired):
        # That is how it was asked for, so such a plan would be made again and again.
        why = f"it leads to broker {name_some(sorted(leaving))}, which is not wanted any more"
        return Blocked("BrokerGone", _refused(active, why), seconds=10.0)
    if not found.plan.changes and not active.started:
        return await record.end(scope, active, State.SUCCEEDED, "nothing has to move")
    changed = _unfit(scope, active) if active.plan_hash else ""
    return await record.store(scope, active, *found, changed, avoids=without)


async def _without_lost(scope: Scope, active: Reassignment) -> Outcome | None:
    """Replace a plan that does not fit, or is lost, although a broker is away for good."""
    missing, plan, ensemble = scope.diagnosis.missing, scope.facts.plan, scope.facts.ensemble
    if not missing or missing - absence.given_up(scope) or isinstance(ensemble, Unknown):
        return None
    if scope.obstacle is not None or scope.diagnosis.foreign:
        return None
    if scope.diagnosis.ours or ensemble.requested is not None:
        if isinstance(plan, StoredPlan) and not isinstance(scope.facts.kafka, Unknown):
            return await undo.give_up(scope, plan, scope.facts.kafka)
        return None
    if throttle.pending(scope, active):
        return await throttle.sweep(scope, active)
    if active.deleting or not (active.requested or active.brokers == scope.diagnosis.desired):
        return None  # it is to end, not to go on in another way
    outcome = await around.lead_around(scope, active)
    return None if isinstance(outcome, Blocked) else outcome


def _refused(active: Reassignment, why: str) -> str:
    """Say why there is no new plan; what a user has asked for, and is half done, can be undone."""
    if not active.requested:
        return why
    return (
        f"{active.name} cannot go on: {why}; to take back what it has moved: "
        f"{record.patch(active, undo=True)}; to leave that where it is, delete {active.name}"
    )


def _maker(scope: Scope, active: Reassignment) -> Callable[[PlanRequest], Plan]:
    if active.requested:
        return partial(plan_request, active)
    former = scope.facts.former
    if active.cause is Cause.UNDO and isinstance(former, StoredPlan):
        return undo.back(scope, former)
    return make_plan


async def _replace(
    scope: Scope, active: Reassignment, ensemble: Ensemble, kafka: KafkaView
) -> Outcome:
    """Give way to a Reassignment over the brokers that are desired now.

    The new one is made first: whoever dies in between leaves two, and the older one yields.
    """
    cause, plan = Cause.REBALANCE, scope.facts.plan
    maker: Callable[[PlanRequest], Plan] = make_plan
    if undo.reverses(scope, active) and isinstance(plan, StoredPlan):
        cause, maker = Cause.UNDO, undo.back(scope, plan)
    elif scope.diagnosis.occupied:
        cause = Cause.SCALE_DOWN
    elif scope.diagnosis.desired - active.brokers:
        cause = Cause.SCALE_UP
    found = await drafted(scope, ensemble, kafka, maker, undo=cause is Cause.UNDO)
    if isinstance(found, Blocked):
        return found
    if not found.plan.changes:
        return await record.end(scope, active, State.SUPERSEDED, "the desired brokers changed")
    created = await record.create(scope, cause, active if cause is Cause.UNDO else None)
    await record.store(scope, created, *found)
    return await record.end(scope, active, State.SUPERSEDED, f"{created.name} replaces it")
