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
    over = [r for r in scope.facts.reassignments if r.finished or r.deleting]
    keep = scope.facts.cluster.spec.reassignment.history
    ended = sorted((r for r in over if not r.deleting), key=lambda r: (r.ended, r.number))
    # The newest of our own tells what was decided on these brokers last: see lifecycle.held_back.
    # What is being undone tells where that leads, and that a user has decided it.
    needed = (*scope.facts.own[-1:], scope.facts.undoing)
    beyond = [r for r in ended[:-keep] if r not in needed]
    for old in over:
        if SWEEP_FINALIZER not in old.finalizers:
            continue
        if old is scope.facts.active and scope.diagnosis.ours:
            continue  # its moves are in flight still, and it is by it that they are known as ours
        if throttle.pending(scope, old):
            return await throttle.sweep(scope, old)
        if old.throttle is not None:
            if not (old.deleting or old in beyond) or _awaited(scope, old):
                continue
            await scope.tell("ThrottleLeft", throttle.left_behind(old.throttle), warning=True)
        if await throttle.lost(scope, old):
            continue
        rest = [f for f in old.finalizers if f != SWEEP_FINALIZER]
        await scope.kube.set_finalizers(dict(old.body), rest)
    for old in beyond:
        if SWEEP_FINALIZER in old.finalizers:
            continue
        namespace = scope.facts.cluster.namespace
        await scope.kube.delete("Reassignment", namespace, old.name, old.uid)
    return DONE


def _awaited(scope: Scope, old: Reassignment) -> bool:
    """Whether a broker that still has this one's throttle is meant to return."""
    left = old.throttle.brokers if old.throttle else ()
    return not (scope.diagnosis.desired | scope.diagnosis.existing).isdisjoint(left)
