"""Is this broker empty? The one question that stands between data and its removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.api.reassignment import Cause
from broker_operator.api.spec import WhenScaledDown
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import BrokerLogs, Ensemble, KafkaView, Unknown

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment, BrokerId
    from broker_operator.reconcile.scope import Scope

STRAY_SECONDS = 60.0
"""Logs on an otherwise empty broker count as left over after this long: the controller's order to
delete them reaches a live broker within moments."""
_WAY_OUT = "or set spec.storage.whenScaledDown to Retain, and it goes while its volume stays"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a broker cannot be called empty.

    Attributes:
        reason: A sentence for people.
        for_people: It will not end by itself.
    """

    reason: str
    for_people: bool = False


def doubt(
    scope: Scope, broker: BrokerId, ensemble: Ensemble | Unknown, kafka: KafkaView | Unknown
) -> Doubt | None:
    """Say why a broker cannot be called empty; None is the proof that it is.

    What no partition's metadata names can never be served again: where the volume is kept, such
    logs hold a broker only for as long as it may still be told to delete them. Where the volume is
    deleted, its log dirs must have been seen empty.
    """
    keeps = scope.facts.cluster.spec.storage.when_scaled_down is WhenScaledDown.RETAIN
    if reason := _named(broker, ensemble) or _needed(scope, broker):
        return Doubt(reason)
    logs = _logs(broker, ensemble, kafka)
    if logs is None:
        if keeps:
            return None  # it cannot be asked, and no partition's metadata names it
        reason = f"broker {broker} is down, so what is on its volume, which would be deleted"
        return Doubt(f"{reason} with it, cannot be seen; bring it back, {_WAY_OUT}", True)
    if isinstance(logs, Unknown):
        return Doubt(logs.reason)
    if not logs.partitions:
        return None
    now = scope.clock.monotonic()
    lasting = now - scope.memory.strays.get(broker, now) >= STRAY_SECONDS
    reason = f"broker {broker} still has {logs.partitions} partitions on disk"
    if not lasting:
        return Doubt(reason)
    if keeps:
        return None
    return Doubt(f"{reason} that no metadata names; delete these by hand, {_WAY_OUT}", True)


def has_strays(broker: BrokerId, ensemble: Ensemble | Unknown, kafka: KafkaView | Unknown) -> bool:
    """Whether all that speaks against a broker is logs on its disk that no metadata names."""
    logs = None if _named(broker, ensemble) else _logs(broker, ensemble, kafka)
    return isinstance(logs, BrokerLogs) and bool(logs.partitions)


def _named(broker: BrokerId, ensemble: Ensemble | Unknown) -> str:
    """Say what ZooKeeper has against it; empty if nothing."""
    if isinstance(ensemble, Unknown):
        return f"cannot prove broker {broker} empty: {ensemble.reason}"
    if ensemble.cluster_id is None:
        return f"cannot prove broker {broker} empty: ZooKeeper knows no Kafka cluster"
    if ensemble.unreadable:
        why = next(iter(ensemble.unreadable.values())).reason
        return f"cannot prove broker {broker} empty: {why}"
    if replicas := ensemble.replicas.get(broker, 0):
        return f"broker {broker} still holds {replicas} replicas"
    if ensemble.in_flight:
        return f"broker {broker} is empty, but a reassignment is in flight"
    return ""


def _needed(scope: Scope, broker: BrokerId) -> str:
    """Say which undo leads back to it, as that of its own drain does; empty if none.

    Nothing would bring a broker back that the spec does not want, so the undo would never end. One
    that cannot be, for another of its brokers has gone already, holds nobody up.
    """
    facts, diagnosis = scope.facts, scope.diagnosis
    active, undone = facts.active, facts.undoing
    if active is not None and active.cause is Cause.UNDO and not active.undo and active.plan_hash:
        its, what, brokers = active, active.name, active.plan_brokers
    else:
        former = facts.plan if undone is active else facts.former
        if undone is None or not isinstance(former, StoredPlan):
            return ""
        its, what = undone, f"undoing {undone.name}"
        brokers = _holders(former.way_back)
        if not brokers <= diagnosis.desired | diagnosis.existing:
            return ""
    if its.deleting or broker not in brokers:
        return ""
    return (
        f"broker {broker} is empty, but {what} takes moves back to it; to let it go all the same, "
        f"delete Reassignment {its.name}"
    )


def _holders(assignment: Assignment) -> frozenset[BrokerId]:
    return frozenset(
        b for its in assignment.values() for replicas in its.values() for b in replicas
    )


def _logs(
    broker: BrokerId, ensemble: Ensemble | Unknown, kafka: KafkaView | Unknown
) -> BrokerLogs | Unknown | None:
    """Return what lies on its disks; None if it is not registered, so that nobody can tell."""
    if isinstance(ensemble, Ensemble) and broker not in ensemble.brokers:
        return None
    if isinstance(kafka, Unknown):
        return Unknown(f"cannot prove broker {broker} empty: {kafka.reason}")
    logs = kafka.logs.get(broker, Unknown("it was not asked"))
    if isinstance(logs, Unknown):
        return Unknown(f"cannot read the log dirs of broker {broker}: {logs.reason}")
    if logs.failed:
        return Unknown(f"a log dir of broker {broker} has failed: see its log and its disk")
    return logs
