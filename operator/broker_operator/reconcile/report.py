"""Write what the pass has found: status of the cluster and of its reassignment, and Events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker_operator.api.conditions import is_true, merge_conditions
from broker_operator.api.reassignment import State
from broker_operator.api.spec import API_VERSION
from broker_operator.core import lifecycle
from broker_operator.core.status import Finding, blocked_by, cluster_status, standing
from broker_operator.reconcile import pace
from broker_operator.reconcile.outcome import Blocked, Outcome, Retry, Wait
from broker_operator.reconcile.steps import record, throttle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.progress import Progress
    from broker_operator.reconcile.scope import Scope


def findings(outcomes: Sequence[Outcome]) -> list[Finding]:
    """Turn what the steps said into what the status can say."""
    found = []
    for outcome in outcomes:
        match outcome:
            case Blocked(reason=reason, message=message, stalled=stalled):
                found.append(Finding("blocked", reason, message, stalled=stalled))
            case Wait(reason=reason, message=message):
                found.append(Finding("wait", reason, message))
            case Retry(message=message):
                found.append(Finding("retry", "Retrying", message))
            case _:
                pass
    return found


async def write(
    scope: Scope, outcomes: Sequence[Outcome]
) -> tuple[dict[str, Any], tuple[str, dict[str, Any]] | None]:
    """Compute both statuses and write those that differ.

    Returns:
        The cluster's status, and name and status of the reassignment under way, if any.
    """
    found = findings(outcomes)
    progress = pace.progress(scope)
    moving = await _write_reassignments(scope, found, progress)
    status = cluster_status(
        scope.facts,
        scope.diagnosis,
        found,
        progress=progress,
        balanced=scope.balanced,
        now=scope.timestamp(),
    )
    await write_cluster(scope, status)
    return status, moving


async def write_cluster(scope: Scope, status: dict[str, Any]) -> None:
    """Write the BrokerCluster's status if it differs, and say in an Event if it is stuck anew."""
    old = dict(scope.facts.status)
    if status == old:
        return
    cluster = scope.facts.cluster
    await scope.kube.apply_status(
        {
            "apiVersion": API_VERSION,
            "kind": "BrokerCluster",
            "metadata": {"name": cluster.name, "namespace": cluster.namespace},
            "status": status,
        }
    )
    for condition in status["conditions"]:
        if condition["type"] == "Stalled" and not _said(old, condition):
            await scope.tell(condition["reason"], condition["message"], warning=True)
    if is_true(status["conditions"], "Available") and not is_true(
        old.get("conditions") or [], "Available"
    ):
        await scope.tell("Available", "every partition has a leader")


def _said(old: dict[str, Any], condition: dict[str, Any]) -> bool:
    """Whether the same trouble was told before; its numbers may have changed since."""
    return any(
        c["type"] == "Stalled" and c["reason"] == condition["reason"]
        for c in old.get("conditions") or ()
    )


async def _write_reassignments(
    scope: Scope, found: list[Finding], progress: Progress | None
) -> tuple[str, dict[str, Any]] | None:
    """Write what those that are not finished are at. The first is the one whose turn it is."""
    for overtaken in lifecycle.overtaken(scope.facts.reassignments):
        if overtaken.uid not in scope.touched and overtaken.status.get("blockedBy") is None:
            await scope.update(overtaken, blockedBy=[lifecycle.too_late(overtaken)])
    active, *others = scope.facts.queue or (None,)
    for position, waiting in enumerate(others, start=1):
        ahead = scope.facts.queue[position - 1].name
        message = f"number {position} in the queue, after {ahead}"
        await _write(scope, waiting, State.QUEUED, message, queuePosition=position)
    if active is None or active.uid in scope.touched:
        return None
    blockers = blocked_by(found)
    blockers += pace.held_up(scope)
    if low := throttle.warn(scope):
        blockers.append(low)
    state, message = standing(active, found, flying=bool(scope.diagnosis.ours))
    changes: dict[str, Any] = {"blockedBy": blockers or None}
    if active.plan_hash:
        changes["queuePosition"] = None
    if progress is not None:
        changes["progress"] = progress.as_status()
    await _write(scope, active, state, message, **changes)
    return active.name, {**active.status, **changes}


async def _write(
    scope: Scope, reassignment: Reassignment, state: State, message: str, **changes: Any
) -> None:
    """Write a Reassignment's state and other parts of its status, if any of it differs."""
    if reassignment.uid in scope.touched or not reassignment.owner:
        return
    generation = reassignment.body["metadata"].get("generation", 1)
    old = reassignment.status.get("conditions") or []
    changes["observedGeneration"] = generation
    changes["conditions"] = merge_conditions(
        old,
        lifecycle.conditions(
            reassignment,
            state,
            message,
            approval=record.approval(scope, reassignment) if reassignment.plan_hash else None,
        ),
        generation=generation,
        now=scope.timestamp(),
    )
    if any(reassignment.status.get(key) != value for key, value in changes.items()):
        await scope.update(reassignment, **changes)
