"""Move partitions, batch by batch, and finish: leaders, throttle, record."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from broker_operator.api.reassignment import Cause
from broker_operator.api.spec import Via
from broker_operator.core.diagnose import largest_sizes
from broker_operator.core.model import Ensemble, KafkaView, TopicPartition, Unknown
from broker_operator.core.planner import next_batch, untold
from broker_operator.core.promises import (
    breaches_of_batch,
    breaches_of_state,
    judge,
)
from broker_operator.core.text import name_some
from broker_operator.ports import ReassignmentInProgressError
from broker_operator.reconcile import absence
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, Wait
from broker_operator.reconcile.steps import around, record, throttle, undo, unreachable
from broker_operator.reconcile.steps import plan as planning
from broker_operator.reconcile.steps.draft import no_room, standing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.facts import StoredPlan
    from broker_operator.core.model import Assignment
    from broker_operator.reconcile.scope import Scope

POLL_SECONDS, POLL_MOST_SECONDS, POLL_SHARE = 1.0, 5.0, 0.2
"""What is in flight is looked at so often, less often the longer it has been: after this share of
that time. A look asks all brokers and writes a status, some 70 ms of a processor, and where brokers
share it their clients notice. What is soon due is looked at every second again."""
LAG_SECONDS = 10.0
"""Replicas that lag for longer than this are freed of the throttle."""
MAX_ELECTIONS = 5
"""Preferred leader elections are tried this often; then the leaders are left where they are."""


async def advance(scope: Scope) -> Outcome:
    """Submit the next batch of the active plan, wait for it, or finish the reassignment."""
    active, plan = scope.facts.active, scope.facts.plan
    if active is None or plan is None or isinstance(plan, Unknown):
        return DONE
    if not planning.fits(scope, active):
        return DONE  # the plan step has said why it cannot be replaced yet
    if (not_now := await _not_now(scope, active, plan)) is not None:
        return not_now
    scope.memory.lagging_since = scope.memory.flying_since = None
    ensemble, kafka = scope.facts.ensemble, scope.facts.kafka
    if isinstance(ensemble, Unknown) or isinstance(kafka, Unknown):
        return DONE  # named by _not_now
    if not active.plan_begun:
        return _full(scope, active, plan, kafka) or await record.start(scope, active)
    # Kafka no longer mentions a topic that is being deleted, which ZooKeeper lists until all of its
    # brokers have answered; the controller would drop each batch with it, again and again.
    batch = next_batch(
        {t: partitions for t, partitions in ensemble.topics.items() if t in kafka.leadership},
        plan.ends,
        live=frozenset(ensemble.brokers),
        sizes=largest_sizes(kafka),
        max_moves_per_broker=scope.facts.cluster.spec.reassignment.max_moves_per_broker,
    )
    if (breach := await _breach(scope, active, plan, batch)) is not None:
        return breach
    if batch:
        return await _submit(scope, active, plan, batch, ensemble)
    left = scope.diagnosis.left
    if left is not None and left.done:
        return await _finish(scope, active, ensemble, kafka)
    return await _left_over(scope, active, plan)


async def _not_now(scope: Scope, active: Reassignment, plan: StoredPlan) -> Outcome | None:
    """Whatever forbids a new batch now: what flies, then its user, then how the cluster is."""
    if (flying := _in_flight(scope)) is not None:
        return await _meanwhile(scope, active, plan) or flying
    obstacle = _obstacle(scope, active)
    if held := await _held(scope, active, obstacle):
        return held
    if obstacle is not None:
        return await _meanwhile(scope, active, plan) or obstacle
    return None


async def _held(scope: Scope, active: Reassignment, obstacle: Outcome | None) -> Outcome | None:
    """Whatever its user forbids. Nothing is in flight: the throttle has nothing to hold back.

    It goes before an obstacle to the next batch, of which there will be none: a broker that is away
    may be so for days, and must not keep a throttle on the others.
    """
    left, kafka = scope.diagnosis.left, scope.facts.kafka
    if left is not None and left.done and obstacle is None:
        return None
    if not active.undo and not active.paused and record.approved(scope, active):
        return None
    if throttle.pending(scope, active):
        return obstacle if isinstance(kafka, Unknown) else await throttle.sweep(scope, active)
    if active.undo:
        message = f"{active.name} shall be undone: nothing more of it is submitted"
        return Blocked("Undoing", message, stalled=False)
    if active.paused:
        message = (
            f"{active.name} is paused, and nothing of it is in flight; to go on, set its "
            f"spec.paused to false: {record.patch(active, paused=False)}"
        )
        return Blocked("ReassignmentPaused", message, stalled=False, seconds=30.0)
    message = (
        f"plan {active.plan_hash} of {active.name} waits for approval: "
        f"{record.patch(active, approvedPlan=active.plan_hash)}"
    )
    return Blocked("AwaitingApproval", message, stalled=False, seconds=30.0)


def _full(scope: Scope, active: Reassignment, plan: StoredPlan, kafka: KafkaView) -> Blocked | None:
    """Do not start what there may be no room for any more: the plan may have waited for days."""
    name = f"plan {active.plan_hash} of {active.name}"
    if why := untold(plan, largest_sizes(kafka), kafka):
        message = (
            f"{name} does not start before it is known whether there is room for it on the disks: "
            f"{why}"
        )
        return Blocked("DiskUnknown", message, stalled=False, seconds=2.0)
    full = no_room(scope, plan, kafka)
    if not full:
        return None
    message = (
        f"{name} does not start before there is room for it: {full}; to give it up: "
        f"{record.patch(active, undo=True)}"
    )
    return Blocked("NotEnoughDisk", message, seconds=10.0)


async def _meanwhile(scope: Scope, active: Reassignment, plan: StoredPlan) -> Outcome | None:
    """Keep the throttle right while no batch can be submitted."""
    diagnosis, memory, now = scope.diagnosis, scope.memory, scope.clock.monotonic()
    if diagnosis.ours:
        memory.lagging_since = None
        # What is in flight may be so for hours: a changed throttle must not wait for its end.
        outcome = await throttle.ensure(scope, active, plan)
        kafka = scope.facts.kafka
        if outcome is not None or isinstance(kafka, Unknown):
            return outcome
        return await undo.give_up(scope, plan, kafka)
    memory.lagging_since = (memory.lagging_since or now) if diagnosis.lagging else None
    lagging = memory.lagging_since is not None and now - memory.lagging_since >= LAG_SECONDS
    if lagging and throttle.pending(scope, active):
        # It holds back moved replicas, too, that fell behind since: at a produce rate above the
        # throttle they would never catch up, and no batch would ever follow.
        return await throttle.sweep(scope, active)
    return None


def _in_flight(scope: Scope) -> Outcome | None:
    """Whatever is in the air, or keeps one from telling; None if nothing of ours can be."""
    diagnosis, ensemble = scope.diagnosis, scope.facts.ensemble
    if isinstance(ensemble, Unknown):
        return unreachable.zookeeper(ensemble)
    if scope.obstacle is not None:
        return scope.obstacle
    if not diagnosis.ours and ensemble.requested is None:
        return None
    if diagnosis.foreign:
        return planning.foreign(scope)
    flying = f"{len(diagnosis.ours)} partitions in flight"
    return Wait("Moving", flying, seconds=_patience(scope))


def _obstacle(scope: Scope, active: Reassignment) -> Blocked | None:
    """Whatever else forbids a new batch now."""
    diagnosis, ensemble, kafka = scope.diagnosis, scope.facts.ensemble, scope.facts.kafka
    if diagnosis.foreign:
        return planning.foreign(scope)
    if isinstance(ensemble, Unknown):
        return None  # named by _in_flight
    if isinstance(kafka, Unknown):
        return unreachable.kafka(kafka)
    # What was begun is ended without them; what was not waits for all that have a part in it.
    given_up = absence.given_up(scope) if active.started else frozenset()
    if late := diagnosis.missing - given_up - planning.spare(scope, active):
        missing = name_some(sorted(late))
        message = (
            f"{diagnosis.present} of {len(diagnosis.desired)} brokers are registered; no further "
            f"batch before broker {missing} is again"
        )
        return Blocked("BrokersNotReady", message, stalled=False, seconds=2.0)
    if diagnosis.lagging:
        message = (
            f"{len(diagnosis.lagging)} partitions wait for live replicas to catch up "
            f"({name_some(diagnosis.lagging)}) on broker {_behind(scope, ensemble, kafka)}; no "
            "further batch before. If that lasts, see the log and the disk of that broker"
        )
        return Blocked("UnderReplicated", message, stalled=False, seconds=2.0)
    return None


def _patience(scope: Scope) -> float:
    """Return the seconds until the next look at what is in flight."""
    memory, now = scope.memory, scope.clock.monotonic()
    since = memory.flying_since = now if memory.flying_since is None else memory.flying_since
    longest, pace = POLL_MOST_SECONDS, memory.pace
    if pace is not None and pace.least_seconds is not None:
        # Told at the end of the last pass, by what that had seen.
        longest = min(longest, pace.least_seconds - (now - pace.look.at))
    return max(POLL_SECONDS, min(POLL_SHARE * (now - since), longest))


def _behind(scope: Scope, ensemble: Ensemble, kafka: KafkaView) -> str:
    """Name the brokers that lag, with their number of partitions, most first."""
    lags = Counter(
        broker
        for topic, number in scope.diagnosis.lagging or ()
        for broker in scope.diagnosis.awaited.intersection(ensemble.topics[topic][number].replicas)
        if broker not in kafka.leadership[topic][number].isr
    )
    ordered = sorted(lags.items(), key=lambda lag: (-lag[1], lag[0]))
    return name_some(f"{broker} ({count})" for broker, count in ordered)


async def _left_over(scope: Scope, active: Reassignment, plan: StoredPlan) -> Outcome:
    """Say what the rest waits for, of which nothing is in flight and nothing can be submitted."""
    ensemble, kafka, left = scope.facts.ensemble, scope.facts.kafka, scope.diagnosis.left
    if left is None or isinstance(ensemble, Unknown) or isinstance(kafka, Unknown):
        return DONE  # named by _not_now
    if throttle.pending(scope, active):
        return await throttle.sweep(scope, active)  # it may be long until anything moves again
    waiting = {
        tp: frozenset(plan.target[tp.topic][tp.partition]).difference(ensemble.brokers)
        for tp in left.partitions
        if tp.topic in kafka.leadership
    }
    if not waiting:
        return _ending(left.partitions, ensemble)
    gone = absence.given_up(scope)
    if stuck := {tp: away & gone for tp, away in waiting.items() if away & gone}:
        down = frozenset().union(*stuck.values())
        led = await around.lead_around(scope, active)
        if led is not None and not isinstance(led, Blocked):
            return led
        way = "they move once it is back"
        if led is not None:
            way += f" (no other broker can stand in: {led.message})"
        if down - scope.diagnosis.desired:  # only an undo leads there
            way += f"; to let it go, delete Reassignments {active.name} and {active.undoes}"
        message = f"{_named(stuck)} stay where they are, for {absence.told(scope, down)}; {way}"
        return Blocked("TargetBrokerDown", message, seconds=10.0)
    away = sorted(frozenset().union(*waiting.values()))
    message = (
        f"{_named(waiting)} wait for broker {name_some(away)}, which is not registered; they move "
        "once it is"
    )
    return Blocked("BrokersNotReady", message, stalled=False, seconds=2.0)


def _ending(partitions: Sequence[TopicPartition], ensemble: Ensemble) -> Blocked:
    """Say that topics are being deleted, and which brokers have yet to come back for that."""
    holders = {b for tp in partitions for b in ensemble.topics[tp.topic][tp.partition].replicas}
    message = f"{_named(partitions)} are not moved any more, for their topics are being deleted"
    if away := sorted(holders.difference(ensemble.brokers)):
        message += f", which ends once broker {name_some(away)} is back"
    return Blocked("Moving", message, stalled=False, seconds=2.0)


def _named(partitions: Collection[TopicPartition]) -> str:
    return f"{len(partitions)} partitions ({name_some(sorted(partitions))})"


async def _breach(
    scope: Scope, active: Reassignment, plan: StoredPlan, batch: Assignment
) -> Outcome | None:
    """Hold what has landed, and what would go next, against what every reassignment promises."""
    ensemble, kafka = scope.facts.ensemble, scope.facts.kafka
    if isinstance(ensemble, Unknown) or isinstance(kafka, Unknown):
        return None  # nothing is submitted then
    targets = scope.diagnosis.desired - active.plan_avoids
    undoes = active.cause is Cause.UNDO
    now = await standing(scope, plan, ensemble, kafka, targets, undo=undoes)
    breaches = (*breaches_of_state(plan, now), *breaches_of_batch(batch, plan, now))
    verdict = judge(breaches)
    if verdict is None:
        return None
    if verdict.stalled and throttle.pending(scope, active):
        return await throttle.sweep(scope, active)  # it may be long until a person comes
    return Blocked(verdict.reason, verdict.message, stalled=verdict.stalled, seconds=2.0)


async def _submit(
    scope: Scope, active: Reassignment, plan: StoredPlan, batch: Assignment, seen: Ensemble
) -> Outcome:
    if (outcome := await throttle.ensure(scope, active, plan)) is not None:
        return outcome
    count = sum(len(partitions) for partitions in batch.values())
    if scope.facts.cluster.spec.reassignment.via is Via.ADMIN_API:
        if not _untouched(batch, seen, await scope.coordination.read()):
            return Wait("Moving", "nothing submitted: a partition has changed", POLL_SECONDS)
        await scope.admin.reassign(batch)
    else:
        try:
            await scope.coordination.submit(batch, seen.topics)
        except ReassignmentInProgressError:
            message = "/admin/reassign_partitions is in use; waiting for the controller"
            return Wait("Moving", message, seconds=POLL_SECONDS)
        except ValueError as error:  # a broker or a topic has gone since the facts were read
            return Wait("Moving", f"nothing submitted: {error}", seconds=POLL_SECONDS)
    return Wait("Moving", f"submitted {count} partitions", seconds=POLL_SECONDS)


def _untouched(batch: Assignment, seen: Ensemble, now: Ensemble) -> bool:
    """Whether nobody has moved these partitions, deleted them, or begun a migration since.

    The controller obeys whoever spoke last, and would call the other move off. Submission through
    ZooKeeper looks for itself, in a transaction, and has a lock besides.
    """
    return not now.migrating and all(
        now.topics.get(topic, {}).get(number) == seen.topics[topic][number]
        for topic, partitions in batch.items()
        for number in partitions
    )


async def _finish(
    scope: Scope, active: Reassignment, ensemble: Ensemble, kafka: KafkaView
) -> Outcome:
    """Every replica is where it belongs: leaders, then throttle, then the record."""
    mark = (active.uid, active.plan_hash)
    tried = scope.memory.elections.get(mark, 0)
    astray = _astray(ensemble, kafka)
    if astray and tried < MAX_ELECTIONS:
        scope.memory.elections[mark] = tried + 1
        await scope.admin.elect_preferred(astray)
        return Wait("ElectingLeaders", f"{len(astray)} preferred leaders", seconds=POLL_SECONDS)
    if throttle.pending(scope, active):
        return await throttle.sweep(scope, active)
    scope.memory.elections.pop(mark, None)
    return await record.finish(scope, active)


def _astray(ensemble: Ensemble, kafka: KafkaView) -> list[TopicPartition]:
    """Partitions that could be led by their preferred leader and are not."""
    astray = []
    for tp, state in ensemble.partitions():
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        preferred = state.replicas[0] if state.replicas else None
        if seen and preferred in seen.isr and seen.leader not in (preferred, None):
            astray.append(tp)
    return sorted(astray)
