"""Decide whether partitions must move, and write down how."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker_operator.api.conditions import Condition, merge_conditions
from broker_operator.api.quantity import format_bytes
from broker_operator.api.reassignment import Cause, Reassignment, decode_reassignment
from broker_operator.core.diagnose import largest_sizes, name_some
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import (
    Broker,
    BrokerId,
    Ensemble,
    KafkaView,
    Replicas,
    TopicPartition,
    Unknown,
)
from broker_operator.core.planner import (
    Overfull,
    Plan,
    PlanRefusedError,
    PlanRequest,
    make_batches,
    make_plan,
    overfull,
)
from broker_operator.core.planner.report import Report, make_report
from broker_operator.core.render import reassignment as render
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, Wait
from broker_operator.reconcile.steps import throttle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.api.spec import ReassignmentSettings
    from broker_operator.reconcile.scope import Scope


LOST_SECONDS = 60.0
"""A broker that nobody wants is waited for this long before its moves are given up."""


async def make(scope: Scope) -> Outcome:
    """Keep exactly one unfinished Reassignment with a plan that fits, while one is needed."""
    for older in scope.facts.reassignments[:-1]:
        if not older.finished:
            return await _supersede(scope, older, "a newer Reassignment was made")
    active = scope.facts.active
    cause = _cause(scope)
    if active is None and cause is None:
        return DONE
    if active is not None and fits(scope, active):
        return DONE
    view = _view(scope)
    if isinstance(view, Blocked):
        return view
    if scope.diagnosis.ours:
        return await _finish_batch(scope, active, view[1])
    if active is not None and throttle.pending(scope, active):
        return await throttle.sweep(scope, active)
    return await _plan(scope, active, cause or Cause.REBALANCE, *view)


async def _finish_batch(scope: Scope, active: Reassignment | None, kafka: KafkaView) -> Outcome:
    """Let what is in flight under the former plan land, at the throttle that is asked for now."""
    plan = scope.facts.plan
    if active is not None and isinstance(plan, StoredPlan):
        outcome = await throttle.ensure(scope, active, plan)
        if outcome is not None:
            return outcome
        if stuck := _stuck(scope):
            return await _send_back(scope, plan, kafka, stuck)
    return Wait(
        "FinishingBatch",
        f"{len(scope.diagnosis.ours)} partitions of the former plan are in flight",
        seconds=1.0,
    )


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

    By the Admin API whatever `via` says: the znode is taken until these moves end. The order of
    the replicas, which a cancel would lose, is that of the origin. Only where one of them leads:
    then it has all that was acknowledged, and what is dropped is a copy. (A replica that was added
    and leads may be the only one in sync, and the controller would delete it.)
    """
    batch: dict[str, dict[int, Replicas]] = {}
    for tp in stuck:
        origin = plan.origin[tp.topic][tp.partition]
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        if seen is not None and seen.leader in origin:
            batch.setdefault(tp.topic, {})[tp.partition] = origin
    back = [tp for tp in stuck if tp.partition in batch.get(tp.topic, {})]
    if not back:
        return Blocked(
            "TargetBrokerDown",
            f"{len(stuck)} partitions ({name_some(stuck)}) are on their way to a broker that is "
            "down and not wanted, and where they came from nobody leads; bring one of both back",
        )
    await scope.admin.reassign(batch)
    message = (
        f"{len(back)} partitions go back to where they were ({name_some(back)}): the broker that "
        "they were on their way to is down, and no longer wanted"
    )
    await scope.tell("SentBack", message)
    return Wait("SentBack", message, seconds=1.0)


def _cause(scope: Scope) -> Cause | None:
    """Why partitions must move now, if no Reassignment is under way."""
    diagnosis = scope.diagnosis
    if diagnosis.occupied:
        return Cause.SCALE_DOWN
    if diagnosis.replicas is None:
        return None
    balanced = _balanced_over(scope)
    if balanced is not None:
        if balanced == diagnosis.desired:
            scope.balanced = True
            return None
        return Cause.SCALE_UP if diagnosis.desired - balanced else Cause.REBALANCE
    # Nothing is recorded. Moving data that nobody asked to move would be rude: act only on a
    # reassignment that was given up half-way, or on a broker that holds nothing at all.
    if scope.facts.reassignments:
        return Cause.REBALANCE
    if any(not diagnosis.replicas.get(b) for b in diagnosis.desired) and diagnosis.replicas:
        return Cause.SCALE_UP
    scope.balanced = not diagnosis.missing
    return None


def _balanced_over(scope: Scope) -> frozenset[int] | None:
    """The brokers over which the replicas were last known to be balanced."""
    newest = scope.facts.reassignments[-1] if scope.facts.reassignments else None
    if newest is not None and newest.succeeded:
        recorded = scope.facts.status.get("balancedBrokers")
        return frozenset(recorded) if recorded else newest.brokers
    recorded = scope.facts.status.get("balancedBrokers")
    return frozenset(recorded) if recorded else None


def fits(scope: Scope, active: Reassignment) -> bool:
    """Whether the active reassignment still leads where the spec wants to go."""
    plan, ensemble = scope.facts.plan, scope.facts.ensemble
    if active.deleting or active.brokers != scope.diagnosis.desired:
        return False
    if plan is None or isinstance(plan, Unknown):
        return False
    return isinstance(ensemble, Unknown) or not _outgrown(plan, ensemble, active.brokers)


def _outgrown(plan: StoredPlan, ensemble: Ensemble, brokers: frozenset[int]) -> bool:
    """Whether the cluster holds what the plan cannot put right.

    That is a partition which it does not know and which has a replica on a broker that shall have
    none, or one whose replication factor somebody changed.
    """
    for tp, state in ensemble.partitions():
        planned = plan.target.get(tp.topic, {}).get(tp.partition)
        if planned is None and not brokers.issuperset(state.target):
            return True
        if planned is not None and len(planned) != len(state.target):
            return True
    return False


def _view(scope: Scope) -> tuple[Ensemble, KafkaView] | Blocked:
    """Return what a plan needs to know, or why it cannot be made now."""
    ensemble, kafka, diagnosis = scope.facts.ensemble, scope.facts.kafka, scope.diagnosis
    if isinstance(ensemble, Unknown):
        return Blocked("ZooKeeperUnreachable", f"cannot plan: {ensemble.reason}", stalled=False)
    if isinstance(kafka, Unknown):
        return Blocked("KafkaUnreachable", f"cannot plan: {kafka.reason}", stalled=False)
    if diagnosis.missing:
        missing = name_some(sorted(diagnosis.missing))
        message = f"partitions move once broker {missing} is registered"
        return Blocked("BrokersNotReady", message, stalled=False)
    if isinstance(ensemble.requested, Unknown):
        return Blocked("StuckReassignment", stuck_message(ensemble.requested))
    if diagnosis.foreign:
        return foreign(diagnosis.foreign)
    return ensemble, kafka


def foreign(partitions: tuple[TopicPartition, ...]) -> Blocked:
    """Say that somebody else's reassignment is waited for."""
    return Blocked(
        "ForeignReassignment",
        f"{len(partitions)} partitions are moved by another tool ({name_some(partitions)}); "
        "waiting for it to end",
        stalled=False,
        seconds=2.0,
    )


def stuck_message(requested: Unknown) -> str:
    """Say that `/admin/reassign_partitions` is in the way, and how to clear it."""
    return (
        f"/admin/reassign_partitions cannot be read ({requested.reason}); reassign any partition "
        "to its present replicas through the Admin API to make the controller drop it"
    )


async def _plan(
    scope: Scope, active: Reassignment | None, cause: Cause, ensemble: Ensemble, kafka: KafkaView
) -> Outcome:
    try:
        # In a thread: a large plan takes seconds, and other clusters and the probes must not wait.
        plan, report = await asyncio.to_thread(
            _planned,
            _request(scope, ensemble, kafka),
            scope.facts.cluster.spec.reassignment,
            scope.diagnosis.leaving,
        )
    except PlanRefusedError as refusal:
        return Blocked(refusal.reason, refusal.message, seconds=10.0)
    if offline := _offline(plan, scope.diagnosis.offline or ()):
        return Blocked(
            "OfflinePartitions",
            f"{len(offline)} partitions that must move have no leader ({name_some(offline)}); "
            "bring a broker of their ISR back",
            seconds=10.0,
        )
    if full := overfull(plan, largest_sizes(kafka), _usable(kafka)):
        return Blocked("NotEnoughDisk", _too_full(full), seconds=10.0)
    fits = active is not None and not active.deleting and active.brokers == scope.diagnosis.desired
    if active is not None and not fits:
        return await _replace(scope, active, plan, report)
    if active is None:
        if not plan.changes:
            scope.balanced = True
            return DONE
        active = await _create(scope, cause)
    return await _store(scope, active, plan, report)


def _planned(
    request: PlanRequest, settings: ReassignmentSettings, leaving: Iterable[BrokerId]
) -> tuple[Plan, Report]:
    """Make a plan, and foretell what it does. May take seconds."""
    plan = make_plan(request)
    batches = make_batches(
        plan.origin,
        plan.target,
        sizes=request.sizes,
        max_moves_per_broker=settings.max_moves_per_broker,
        live=[broker.id for broker in request.brokers if broker.live],
    )
    return plan, make_report(request, plan, batches, settings.throttle, leaving)


def _usable(kafka: KafkaView) -> dict[BrokerId, int]:
    """Return the bytes left on the disks of each broker that tells."""
    known = {b: logs for b, logs in kafka.logs.items() if not isinstance(logs, Unknown)}
    return {b: logs.usable for b, logs in known.items() if logs.usable is not None}


def _too_full(full: list[Overfull]) -> str:
    worst = full[0]
    others = f"; so would {len(full) - 1} more brokers" if len(full) > 1 else ""
    return (
        f"broker {worst.broker} would receive {format_bytes(worst.incoming)} and has "
        f"{format_bytes(worst.usable)} left on its disks{others}; make room, or keep more brokers"
    )


def _request(scope: Scope, ensemble: Ensemble, kafka: KafkaView) -> PlanRequest:
    named = {b for _, state in ensemble.partitions() for b in state.replicas}
    brokers = [
        Broker(
            id=b,
            rack=ensemble.brokers[b].rack if b in ensemble.brokers else None,
            live=b in ensemble.brokers,
        )
        for b in sorted(named | set(ensemble.brokers) | scope.diagnosis.desired)
    ]
    return PlanRequest(
        assignment=ensemble.assignment,
        brokers=tuple(brokers),
        targets=scope.diagnosis.desired,
        sizes=largest_sizes(kafka),
    )


def _offline(plan: Plan, offline: tuple[TopicPartition, ...]) -> list[TopicPartition]:
    changes = plan.changes
    return [tp for tp in offline if tp.partition in changes.get(tp.topic, {})]


async def _replace(scope: Scope, active: Reassignment, plan: Plan, report: Report) -> Outcome:
    """Give way to a Reassignment over the brokers that are desired now.

    The new one is made first: whoever dies in between leaves two, and the older one yields.
    """
    if not plan.changes or active.deleting:
        return await _supersede(scope, active, "the desired brokers changed")
    cause = Cause.SCALE_DOWN if scope.diagnosis.occupied else Cause.REBALANCE
    if scope.diagnosis.desired - active.brokers and not scope.diagnosis.occupied:
        cause = Cause.SCALE_UP
    created = await _create(scope, cause)
    await _store(scope, created, plan, report)
    return await _supersede(scope, active, f"{created.name} replaces it")


async def _create(scope: Scope, cause: Cause) -> Reassignment:
    cluster = scope.facts.cluster
    number = max((r.number for r in scope.facts.reassignments), default=0) + 1
    body = render.reassignment(cluster, number, cause, scope.diagnosis.desired)
    return decode_reassignment(await scope.kube.create(body))


async def _store(scope: Scope, active: Reassignment, plan: Plan, report: Report) -> Outcome:
    """Write the plan down: ConfigMaps first, so that a recorded hash always has its plan."""
    config_maps = render.plan_config_maps(scope.facts.cluster, active, plan, report)
    for body in config_maps:
        await scope.kube.apply(body)
    done, done_bytes = _so_far(scope, active)
    now = scope.timestamp()
    message = (
        f"{plan.moves} replica moves of {format_bytes(plan.bytes)} "
        f"(lower bound {plan.lower_bound}), {plan.leader_changes} preferred leader changes"
    )
    conditions = (
        Condition("Planned", status=True, reason="Planned", message=message),
        Condition("Progressing", status=True, reason="Moving", message="partitions are moving"),
        Condition("Complete", status=False, reason="Moving", message="not all moves are done"),
    )
    await scope.update(
        active,
        observedGeneration=active.body["metadata"].get("generation", 1),
        startedAt=active.status.get("startedAt") or now,
        plan={
            "hash": plan.hash,
            "moves": done + plan.moves,
            "lowerBound": done + plan.lower_bound,
            "optimal": plan.optimal,
            "bytes": done_bytes + plan.bytes,
            "leaderChanges": plan.leader_changes,
            **render.plan_figures(report),
            "configMaps": [body["metadata"]["name"] for body in config_maps],
        },
        conditions=merge_conditions(
            active.status.get("conditions") or [], conditions, generation=1, now=now
        ),
    )
    await scope.tell("PlannedReassignment", f"{active.name} ({active.cause}): {message}")
    return Wait("Planned", f"{active.name}: {message}")


def _so_far(scope: Scope, active: Reassignment) -> tuple[int, int]:
    """Moves and bytes done under the former plan of this very reassignment."""
    left, known = scope.diagnosis.left, scope.facts.active
    if left is None or known is None or known.uid != active.uid:
        return 0, 0
    return max(0, active.moves - left.moves), max(0, active.bytes - left.bytes)


async def _supersede(scope: Scope, old: Reassignment, why: str) -> Outcome:
    """End a reassignment that no longer leads anywhere; its throttle is swept by now or first."""
    if throttle.pending(scope, old):
        return await throttle.sweep(scope, old)
    conditions = (
        Condition("Progressing", status=False, reason="Superseded", message=why),
        Condition("Complete", status=False, reason="Superseded", message=why),
    )
    await scope.update(
        old,
        finishedAt=scope.timestamp(),
        blockedBy=None,
        conditions=merge_conditions(
            old.status.get("conditions") or [],
            conditions,
            generation=1,
            now=scope.timestamp(),
        ),
    )
    await scope.tell("SupersededReassignment", f"{old.name} ends half-way: {why}")
    return Wait("Superseded", f"{old.name} ends half-way: {why}")
