"""Put away what has served: volumes of removed brokers, old Reassignments, their finalizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.reassignment import SWEEP_FINALIZER
from broker_operator.api.spec import WhenScaledDown
from broker_operator.core import naming
from broker_operator.core.model import Unknown
from broker_operator.reconcile.outcome import DONE, Outcome
from broker_operator.reconcile.steps import throttle

if TYPE_CHECKING:
    from broker_operator.reconcile.scope import Scope


async def claims(scope: Scope) -> Outcome:
    """Delete the volumes of removed brokers if the spec says so.

    Only of ids below which no pod exists and which no partition's metadata names; a volume that
    the operator never knew as one of its brokers' is left alone.
    """
    storage, ensemble = scope.facts.cluster.spec.storage, scope.facts.ensemble
    if storage.when_scaled_down is not WhenScaledDown.DELETE or isinstance(ensemble, Unknown):
        return DONE
    if ensemble.cluster_id is None or scope.diagnosis.replicas is None:
        return DONE
    for name in sorted(scope.facts.claims):
        owner, _, ordinal = name.removeprefix("data-").rpartition("-")
        slot = next((s for s in scope.diagnosis.slots if s.name == owner), None)
        if slot is None or not ordinal.isdigit() or name != naming.claim(owner, int(ordinal)):
            continue
        broker = int(ordinal)
        in_use = (
            broker in scope.diagnosis.desired
            or broker in scope.diagnosis.existing
            or broker in ensemble.brokers
            or broker in scope.facts.pods
            or scope.diagnosis.replicas.get(broker)
        )
        if in_use:
            continue
        await scope.kube.delete("PersistentVolumeClaim", scope.facts.cluster.namespace, name)
        await scope.tell("DeletedVolume", f"deleted PVC {name}: broker {broker} is gone and empty")
    return DONE


async def history(scope: Scope) -> Outcome:
    """Release finished Reassignments and delete the oldest beyond `reassignment.history`."""
    finished = [r for r in scope.facts.reassignments if r.finished or r.deleting]
    for old in finished:
        if SWEEP_FINALIZER not in old.finalizers:
            continue
        if old.throttle is not None:
            return await throttle.sweep(scope, old)
        rest = [f for f in old.finalizers if f != SWEEP_FINALIZER]
        await scope.kube.set_finalizers(dict(old.body), rest)
    keep = scope.facts.cluster.spec.reassignment.history
    for old in [r for r in finished if not r.deleting][:-keep]:
        if SWEEP_FINALIZER in old.finalizers:
            continue
        namespace = scope.facts.cluster.namespace
        await scope.kube.delete("Reassignment", namespace, old.name, old.uid)
    return DONE
