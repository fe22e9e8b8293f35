"""Make the plan for what is asked, and look at it with the eyes of its first objector."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from broker_operator.api.quantity import parse_bytes
from broker_operator.core.diagnose import largest_sizes
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Broker, TopicPartition
from broker_operator.core.planner import (
    Plan,
    PlanRefusedError,
    PlanRequest,
    disks,
    make_batches,
    overfull,
    too_full,
    untold,
)
from broker_operator.core.planner.report import Report, make_report
from broker_operator.core.promises import Standing, changed_topics, refusal
from broker_operator.core.text import name_some
from broker_operator.reconcile.outcome import Blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from broker_operator.api.spec import ReassignmentSettings
    from broker_operator.core.model import BrokerId, Ensemble, KafkaView
    from broker_operator.reconcile.scope import Scope


class Draft(NamedTuple):
    """A plan that is fit to be stored, and what it does."""

    plan: Plan
    report: Report


async def draft(
    scope: Scope,
    ensemble: Ensemble,
    kafka: KafkaView,
    make: Callable[[PlanRequest], Plan],
    *,
    undo: bool = False,
    without: frozenset[BrokerId] = frozenset(),
) -> Draft | Blocked:
    """Make a plan; Blocked if what it needs is not there now.

    Args:
        scope: This pass.
        ensemble: Where everything is.
        kafka: What the brokers say.
        make: Makes the plan that is wanted.
        undo: It puts back what was, however that was spread over racks.
        without: Brokers that are wanted and that it must not count on.

    Raises:
        PlanRefusedError: It cannot end well.
    """
    targets = scope.diagnosis.desired - without
    request = _request(scope, ensemble, kafka, targets)
    # In a thread: a large plan takes seconds, and other clusters and the probes must not wait.
    found = await asyncio.to_thread(
        _planned,
        make,
        request,
        scope.facts.cluster.spec.reassignment,
        scope.diagnosis.leaving,
    )
    if offline := _offline(found.plan, scope.diagnosis.offline or ()):
        insync = {b for topic, number in offline for b in kafka.leadership[topic][number].isr}
        whom = f"broker {name_some(sorted(insync))}, which is" if insync else "a broker that was"
        return Blocked(
            "OfflinePartitions",
            f"{len(offline)} partitions that must move have no leader ({name_some(offline)}); "
            f"bring back {whom} in their ISR, or delete their topics",
            seconds=10.0,
        )
    if why := untold(found.plan, request.sizes, kafka):
        message = (
            f"whether there is room on the disks cannot be told, for {why}; nothing is planned "
            "before"
        )
        return Blocked("DiskUnknown", message, stalled=False, seconds=2.0)
    if full := no_room(scope, found.plan, kafka):
        raise PlanRefusedError("NotEnoughDisk", full)
    stored = StoredPlan(found.plan.origin, found.plan.target)
    now = await standing(scope, stored, ensemble, kafka, targets, undo=undo)
    if broken := await asyncio.to_thread(refusal, stored, now):
        raise PlanRefusedError("PromiseBroken", broken)
    return found


async def drafted(
    scope: Scope,
    ensemble: Ensemble,
    kafka: KafkaView,
    maker: Callable[[PlanRequest], Plan],
    *,
    undo: bool = False,
    without: frozenset[BrokerId] = frozenset(),
) -> Draft | Blocked:
    """Make a plan as `draft` does; Blocked also if it cannot end well."""
    try:
        return await draft(scope, ensemble, kafka, maker, undo=undo, without=without)
    except PlanRefusedError as refusal:
        return Blocked(refusal.reason, refusal.message, seconds=10.0)


def no_room(scope: Scope, plan: Plan | StoredPlan, kafka: KafkaView) -> str:
    """Say which disks a plan would fill too far, as sizes are now; empty if none."""
    asked = parse_bytes(scope.facts.cluster.spec.storage.size)
    rooms = disks(kafka, asked, scope.diagnosis.volumes)
    full = overfull(plan, largest_sizes(kafka), rooms)
    return too_full(full) if full else ""


async def standing(
    scope: Scope,
    plan: StoredPlan,
    ensemble: Ensemble,
    kafka: KafkaView,
    targets: frozenset[BrokerId],
    *,
    undo: bool,
) -> Standing:
    """Return how the cluster stands, as far as a plan's promises go that counts on `targets`."""
    topics = changed_topics(plan).intersection(kafka.leadership, ensemble.topics)
    return Standing(
        ensemble=ensemble,
        leadership=kafka.leadership,
        targets=targets,
        min_insync=await scope.admin.min_insync(sorted(topics)) if topics else {},
        undo=undo,
    )


def _planned(
    make: Callable[[PlanRequest], Plan],
    request: PlanRequest,
    settings: ReassignmentSettings,
    leaving: Iterable[BrokerId],
) -> Draft:
    """Make a plan, and foretell what it does. May take seconds."""
    plan = make(request)
    batches = make_batches(
        plan.origin,
        plan.target,
        sizes=request.sizes,
        max_moves_per_broker=settings.max_moves_per_broker,
        live=[broker.id for broker in request.brokers if broker.live],
    )
    return Draft(plan, make_report(request, plan, batches, settings.foretold_rate, leaving))


def _request(
    scope: Scope, ensemble: Ensemble, kafka: KafkaView, targets: frozenset[BrokerId]
) -> PlanRequest:
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
        targets=targets,
        sizes=largest_sizes(kafka),
    )


def _offline(plan: Plan, offline: tuple[TopicPartition, ...]) -> list[TopicPartition]:
    changes = plan.changes
    return [tp for tp in offline if tp.partition in changes.get(tp.topic, {})]
