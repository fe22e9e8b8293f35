"""Follow the reassignment under way from pass to pass: how far, how fast, until when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker_operator.core import copying, slowest
from broker_operator.core.diagnose import largest_sizes
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Ensemble, KafkaView
from broker_operator.core.outcome import outcome
from broker_operator.core.pace import Pace, begin, go_on, load
from broker_operator.core.progress import Progress, falls, measure, monotone

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.planner.remaining import Remaining
    from broker_operator.reconcile.scope import Scope

_LASTING = ("plan", "movesDone", "bytesDone", "percent", "note")
"""What of `status.progress` is still true when all has ended."""


def progress(scope: Scope) -> Progress | None:
    """Say how far the active reassignment is, and remember it; None while there is no plan.

    Asked again in the same pass it says the same.
    """
    active, plan, left = scope.facts.active, scope.facts.plan, scope.diagnosis.left
    ensemble, kafka, memory = scope.facts.ensemble, scope.facts.kafka, scope.memory
    if active is None or not isinstance(plan, StoredPlan) or left is None:
        memory.pace = memory.pace if active else None
        return None
    if not isinstance(ensemble, Ensemble):
        return None
    told = isinstance(kafka, KafkaView)
    if isinstance(kafka, KafkaView):
        memory.pace = _follow(scope, active, plan, ensemble, kafka, left=left)
    pace = memory.pace if memory.pace and _of(memory.pace, active) else None
    measured = measure(active, left, pace)
    if not told:
        measured = replace(measured, bytes_per_second=None, seconds_left=None, slowest=())
    if active.paused:
        measured = replace(measured, seconds_left=None)
    shown = active.status.get("progress") or {}
    if pace is not None and not falls(shown, measured):
        memory.pace = replace(pace, causes=())
    return monotone(shown, measured, pace.causes if pace else ())


def held_up(scope: Scope) -> list[str]:
    """Say what in flight cannot go on, after `progress` was asked for in this pass."""
    active, pace = scope.facts.active, scope.memory.pace
    known = isinstance(scope.facts.kafka, KafkaView) and isinstance(scope.facts.ensemble, Ensemble)
    if not known or active is None or pace is None or not _of(pace, active):
        return []
    return slowest.held_up(pace.look)


def ended(scope: Scope, reassignment: Reassignment, finished_at: str) -> dict[str, Any]:
    """Return `progress` and `outcome` for the status of a reassignment that ends, done or not.

    Call it with the facts by which it ends: what was copied last is not in its status yet.
    """
    active, status = scope.facts.active, reassignment.status
    last = progress(scope) if active is not None and active.uid == reassignment.uid else None
    shown = last.as_status() if last else status.get("progress") or {}
    lasting = {key: shown[key] for key in _LASTING if key in shown}
    result = outcome({**status, "progress": lasting}, finished_at)
    return {"progress": lasting or None, "outcome": result}


def _of(pace: Pace, active: Reassignment) -> bool:
    return (pace.uid, pace.plan) == (active.uid, active.plan_hash)


def _follow(
    scope: Scope,
    active: Reassignment,
    plan: StoredPlan,
    ensemble: Ensemble,
    kafka: KafkaView,
    *,
    left: Remaining,
) -> Pace:
    before, sizes = scope.memory.pace, largest_sizes(kafka)
    now = copying.look(
        plan.target, ensemble, kafka, left=left, sizes=sizes, at=scope.clock.monotonic()
    )
    rate = _throttle(active, now)
    if before is None or not _of(before, active):
        known = before.done if before is not None and before.uid == active.uid else 0
        shown = (active.status.get("progress") or {}).get("bytesDone", 0)
        planned = active.bytes - sum(map(now.rest, now.left))
        return begin(active.uid, active.plan_hash, now, max(0, known, shown, planned), rate)
    now = copying.carried(before.look, now, copying.silent(now, kafka))
    gain = copying.compare(before.look, now, ensemble, sizes)
    return go_on(before, now, gain, rate)


def _throttle(active: Reassignment, now: copying.Look) -> int | None:
    """Return the rate that holds all brokers back that have anything to do, if there is one.

    One that carries somebody else's throttle, or none, goes at a pace that ours does not bound.
    """
    record = active.throttle
    if record is None or record.swept:
        return None
    return record.rate if {b for _, b in load(now.left, now)} <= set(record.brokers) else None
