"""Facts, diagnosis and what the steps said -> the status that people and tools read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker_operator.api.conditions import Condition, merge_conditions, was_set
from broker_operator.api.reassignment import State
from broker_operator.core import naming
from broker_operator.core.lifecycle import balanced_over
from broker_operator.core.model import Ensemble, KafkaView, Unknown
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.diagnose import Diagnosis
    from broker_operator.core.facts import Facts
    from broker_operator.core.model import BrokerId
    from broker_operator.core.progress import Progress

MIB = 1024**2
STALE_SHARE = 0.05
"""Bytes of a broker are reported anew once they differ by more than this share."""


_HOLDING = {
    "AwaitingApproval": State.AWAITING_APPROVAL,
    "ReassignmentPaused": State.PAUSED,
    "Paused": State.PAUSED,
}
"""What a user holds back, by the reason that is found."""
_MOVING = "Moving"
"""Reason of what is found in a pass that submits something."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step reported, for conditions: `kind` is "wait", "blocked" or "retry"."""

    kind: str
    reason: str
    message: str
    stalled: bool = False


def cluster_status(
    facts: Facts,
    diagnosis: Diagnosis,
    findings: Iterable[Finding],
    *,
    progress: Progress | None,
    balanced: bool,
    now: str,
) -> dict[str, Any]:
    """Return the whole new status of the BrokerCluster. Equal input gives an equal status."""
    findings = list(findings)
    old, generation = facts.status, facts.cluster.generation
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "replicas": len(diagnosis.existing),
        "readyReplicas": len(diagnosis.ready),
        "selector": ",".join(f"{k}={v}" for k, v in naming.selector(facts.cluster.name).items()),
        "conditions": merge_conditions(
            old.get("conditions") or [],
            _conditions(facts, diagnosis, findings),
            generation=generation,
            now=now,
        ),
        "brokers": _brokers(facts, diagnosis),
    }
    if cluster_id := facts.recorded_cluster_id or _found_cluster_id(facts, diagnosis):
        status["clusterId"] = cluster_id
    if recorded := _balanced_brokers(facts, diagnosis, balanced=balanced):
        status["balancedBrokers"] = recorded
    if facts.active is not None:
        status["reassignment"] = _reassignment(facts, diagnosis, findings, progress)
    return status


def invalid_status(
    old: Mapping[str, Any], generation: int, problems: Iterable[str], now: str
) -> dict[str, Any]:
    """Return the status of a cluster whose spec cannot be served: all else stays as it was."""
    stalled = Condition("Stalled", status=True, reason="InvalidSpec", message="; ".join(problems))
    kept = [c for c in old.get("conditions") or [] if c["type"] not in ("Stalled", "Reconciling")]
    merged = merge_conditions(
        old.get("conditions") or [], [stalled], generation=generation, now=now
    )
    return {**old, "observedGeneration": generation, "conditions": [*kept, *merged]}


def _found_cluster_id(facts: Facts, diagnosis: Diagnosis) -> str:
    """Record an id only once one of our own brokers has registered under it."""
    if isinstance(facts.ensemble, Unknown) or diagnosis.existing.isdisjoint(facts.ensemble.brokers):
        return ""
    return facts.ensemble.cluster_id or ""


def _balanced_brokers(
    facts: Facts, diagnosis: Diagnosis, *, balanced: bool
) -> list[BrokerId] | None:
    if facts.active is not None and not facts.active.requested:
        return None
    if balanced:
        return sorted(diagnosis.desired)
    known = balanced_over(facts.status.get("balancedBrokers"), facts.reassignments)
    return None if known is None else sorted(known)


def _conditions(facts: Facts, diagnosis: Diagnosis, findings: list[Finding]) -> list[Condition]:
    old = facts.status.get("conditions") or []
    conditions = [
        _available(facts, diagnosis),
        _brokers_ready(diagnosis, findings),
    ]
    stalled = next((f for f in findings if f.stalled), None)
    moving = next((f for f in findings if not f.stalled), None)
    if stalled:
        conditions.append(
            Condition("Stalled", status=True, reason=stalled.reason, message=stalled.message)
        )
    elif moving and moving.reason != "Paused":
        conditions.append(
            Condition("Reconciling", status=True, reason=moving.reason, message=moving.message)
        )
    joining, leaving = diagnosis.desired - diagnosis.ready, diagnosis.leaving
    active = facts.active
    for kind, holds, message in (
        ("ScalingUp", bool(joining), f"broker {name_some(sorted(joining))} is not ready yet"),
        ("ScalingDown", bool(leaving), f"broker {name_some(sorted(leaving))} is leaving"),
        ("ReassignmentInProgress", active is not None, active.name if active else ""),
        ("Paused", facts.cluster.spec.paused, "spec.paused is true"),
    ):
        if holds:
            conditions.append(Condition(kind, status=True, reason=kind, message=message))
        elif was_set(old, kind):
            conditions.append(Condition(kind, status=False, reason=f"Not{kind}", message="no"))
    return conditions


def _available(facts: Facts, diagnosis: Diagnosis) -> Condition:
    """Clients are served: every partition has a leader.

    A cluster that holds nothing yet is there for them once every broker is.
    """
    if isinstance(facts.ensemble, Unknown):
        return Condition("Available", None, "ZooKeeperUnreachable", facts.ensemble.reason)
    if isinstance(facts.kafka, Unknown):
        seen = bool(facts.broker_sets) and bool(facts.ensemble.brokers)
        status = None if seen else False
        return Condition("Available", status, "KafkaUnreachable", facts.kafka.reason)
    if diagnosis.offline:
        message = f"{len(diagnosis.offline)} partitions have no leader: "
        message += name_some(diagnosis.offline)
        return Condition("Available", status=False, reason="OfflinePartitions", message=message)
    served = any(
        c.get("type") == "Available" and c.get("status") == "True"
        for c in facts.status.get("conditions") or ()
    )
    if diagnosis.missing and not served and not facts.ensemble.names:
        message = f"waiting for broker {name_some(sorted(diagnosis.missing))} to register"
        return Condition("Available", status=False, reason="BrokersMissing", message=message)
    count = sum(len(partitions) for partitions in facts.ensemble.topics.values())
    count += sum(len(facts.kafka.leadership.get(t, ())) for t in facts.ensemble.unreadable)
    message = f"all {count} partitions have a leader"
    return Condition("Available", status=True, reason="AllPartitionsLed", message=message)


def _brokers_ready(diagnosis: Diagnosis, findings: list[Finding]) -> Condition:
    count = len(diagnosis.ready & diagnosis.desired)
    message = f"{count} of {len(diagnosis.desired)} brokers are ready"
    if count == len(diagnosis.desired):
        return Condition("BrokersReady", status=True, reason="AllReady", message=message)
    told = next((f.message for f in findings if f.reason == "BrokersNotReady"), message)
    return Condition("BrokersReady", status=False, reason="BrokersNotReady", message=told)


def _brokers(facts: Facts, diagnosis: Diagnosis) -> list[dict[str, Any]]:
    kafka = facts.kafka if isinstance(facts.kafka, KafkaView) else None
    replicas = _replicas(facts.ensemble) if isinstance(facts.ensemble, Ensemble) else None
    leaders: dict[BrokerId, int] = {}
    for partitions in (kafka.leadership if kafka else {}).values():
        for seen in partitions.values():
            if seen.leader is not None:
                leaders[seen.leader] = leaders.get(seen.leader, 0) + 1
    known = {row["id"]: row.get("bytes") for row in facts.status.get("brokers") or ()}
    rows = []
    for broker in sorted(diagnosis.existing | diagnosis.desired | diagnosis.leaving):
        slot = next((s for s in diagnosis.slots if s.owns(broker)), None)
        name = f"{slot.name}-{broker}" if slot else ""
        row: dict[str, Any] = {"id": broker, "pod": name, "state": _state(facts, diagnosis, broker)}
        if slot and slot.rack:
            row["rack"] = slot.rack
        if replicas is not None:
            row["replicas"] = replicas.get(broker, 0)
        if kafka:
            row["leaders"] = leaders.get(broker, 0)
            logs = kafka.logs.get(broker)
            if logs is not None and not isinstance(logs, Unknown):
                row["bytes"] = _rounded(logs.bytes, known.get(broker))
        rows.append(row)
    return rows


def _rounded(size: int, known: int | None) -> int:
    """Return bytes as they are shown; what was shown before, if that is about right.

    A status that changes with every record would be written in every pass over a cluster in use.
    """
    size = size // MIB * MIB
    if known is not None and abs(size - known) <= max(MIB, STALE_SHARE * known):
        return known
    return size


def _replicas(ensemble: Ensemble) -> dict[BrokerId, int]:
    counts: dict[BrokerId, int] = {}
    for _, state in ensemble.partitions():
        for broker in state.replicas:
            counts[broker] = counts.get(broker, 0) + 1
    return counts


def _state(facts: Facts, diagnosis: Diagnosis, broker: BrokerId) -> str:
    if diagnosis.registered is None:
        return "Unknown"
    pod = facts.pods.get(broker)
    up = broker in diagnosis.registered and pod is not None and pod.ready
    if broker in diagnosis.leaving:
        return "Draining" if broker in diagnosis.occupied else "Leaving"
    if up:
        return "Ready"
    return "Starting" if broker in diagnosis.existing else "Joining"


def _reassignment(
    facts: Facts, diagnosis: Diagnosis, findings: list[Finding], progress: Progress | None
) -> dict[str, Any]:
    assert facts.active is not None  # noqa: S101 - the caller has looked
    state, _ = standing(facts.active, findings, flying=bool(diagnosis.ours))
    report: dict[str, Any] = {"name": facts.active.name, "state": str(state)}
    if queued := [r.name for r in facts.queue[1:]]:
        report["queued"] = queued
    if progress is not None:
        report["percent"] = progress.percent
        if progress.eta:
            report["eta"] = progress.eta
    if blocked := blocked_by(findings):
        report["blockedBy"] = blocked
    return report


def standing(
    active: Reassignment, findings: Sequence[Finding], *, flying: bool
) -> tuple[State, str]:
    """Return the state of the reassignment whose turn it is, and why.

    `flying`: something of it is in flight. What this pass has submitted is not known to be yet.
    """
    for reason, state in _HOLDING.items():
        if held := next((f for f in findings if f.reason == reason), None):
            return state, held.message
    if stalled := next((f for f in findings if f.stalled), None):
        return State.STALLED, stalled.message
    if not active.plan_hash:
        return State.QUEUED, "it is next, and waits for its plan"
    if not active.plan_begun:
        return State.QUEUED, "its new plan has yet to begin" if active.started else "it is next"
    if flying or any(f.kind == "wait" and f.reason == _MOVING for f in findings):
        return State.MOVING, "partitions are moving"
    first = next(iter(findings), None)
    return State.WAITING, first.message if first else "nothing of it is in flight"


def blocked_by(findings: Iterable[Finding]) -> list[str]:
    """Return the sentences of what holds things up."""
    return list(dict.fromkeys(f.message for f in findings if f.kind in ("blocked", "retry")))
