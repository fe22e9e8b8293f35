"""Put away what has served: old Reassignments, their throttles and finalizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.reassignment import SWEEP_FINALIZER
from broker_operator.reconcile.outcome import DONE, Outcome
from broker_operator.reconcile.steps import throttle

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.reconcile.scope import Scope


async def history(scope: Scope) -> Outcome:
    """Release finished Reassignments and delete the oldest beyond `reassignment.history`."""
    finished = [r for r in scope.facts.reassignments if r.finished or r.deleting]
    for old in finished:
        if SWEEP_FINALIZER not in old.finalizers:
            continue
        if throttle.pending(scope, old):
            return await throttle.sweep(scope, old)
        if old.throttle is not None and not _given_up(scope, old):
            continue  # for the brokers that were away
        rest = [f for f in old.finalizers if f != SWEEP_FINALIZER]
        await scope.kube.set_finalizers(dict(old.body), rest)
    keep = scope.facts.cluster.spec.reassignment.history
    for old in [r for r in finished if not r.deleting][:-keep]:
        if SWEEP_FINALIZER in old.finalizers:
            continue
        namespace = scope.facts.cluster.namespace
        await scope.kube.delete("Reassignment", namespace, old.name, old.uid)
    return DONE


def _given_up(scope: Scope, old: Reassignment) -> bool:
    """Whether it is deleted, and none of the brokers that it waits for is meant to return."""
    left = old.throttle.brokers if old.throttle else ()
    return old.deleting and not (scope.diagnosis.desired | scope.diagnosis.existing) & {*left}
