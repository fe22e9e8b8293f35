"""Write what the pass has found: status of the cluster and of its reassignment, and Events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker_operator.api.conditions import is_true
from broker_operator.api.spec import API_VERSION
from broker_operator.core.diagnose import largest_sizes
from broker_operator.core.model import Ensemble, KafkaView, Unknown
from broker_operator.core.progress import Progress, measure, rate
from broker_operator.core.status import Finding, blocked_by, cluster_status
from broker_operator.reconcile.outcome import Blocked, Outcome, Retry, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.reconcile.scope import Scope

SAMPLE_SECONDS = 60.0
"""The rate is smoothed over this long."""


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
    progress = _progress(scope)
    moving = await _write_reassignment(scope, found, progress)
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


def _progress(scope: Scope) -> Progress | None:
    active, plan = scope.facts.active, scope.facts.plan
    ensemble, kafka = scope.facts.ensemble, scope.facts.kafka
    if active is None or plan is None or isinstance(plan, Unknown):
        return None
    if not isinstance(ensemble, Ensemble) or scope.diagnosis.left is None:
        return None
    progress = measure(
        active,
        plan.target,
        ensemble,
        kafka,
        left=scope.diagnosis.left,
        sizes=largest_sizes(kafka) if isinstance(kafka, KafkaView) else {},
    )
    return _with_rate(scope, active.uid, progress)


def _with_rate(scope: Scope, uid: str, progress: Progress) -> Progress:
    memory, now = scope.memory, scope.clock.monotonic()
    if memory.sampled != uid:
        memory.samples.clear()
        memory.sampled = uid
    memory.samples.append((now, progress.bytes_done))
    while memory.samples[0][0] < now - SAMPLE_SECONDS:
        memory.samples.popleft()
    return replace(progress, bytes_per_second=rate(list(memory.samples)))


async def _write_reassignment(
    scope: Scope, found: list[Finding], progress: Progress | None
) -> tuple[str, dict[str, Any]] | None:
    active = scope.facts.active
    if active is None or scope.touched:
        return None
    changes: dict[str, Any] = {"blockedBy": blocked_by(found) or None}
    if progress is not None:
        changes["progress"] = progress.as_status()
    if any(active.status.get(key) != value for key, value in changes.items()):
        await scope.update(active, **changes)
    return active.name, {**active.status, **changes}
