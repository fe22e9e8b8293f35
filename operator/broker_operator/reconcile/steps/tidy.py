"""Put away what has served: old Reassignments, their throttles and finalizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.reassignment import ENDED_ANNOTATION, SWEEP_FINALIZER
from broker_operator.reconcile.outcome import DONE, Outcome
from broker_operator.reconcile.steps import throttle

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.reconcile.scope import Scope


async def history(scope: Scope) -> Outcome:
    """Release finished Reassignments and delete the oldest beyond `reassignment.history`.

    How each has ended is noted with the release, or before it: later nothing holds it any more.
    """
    over = [r for r in scope.facts.reassignments if r.finished or r.deleting]
    keep = scope.facts.cluster.spec.reassignment.history
    ended = sorted((r for r in over if not r.deleting), key=lambda r: (r.ended, r.number))
    # The newest of our own tells what was decided on these brokers last: see lifecycle.held_back.
    # What is being undone tells where that leads, and that a user has decided it.
    needed = (*scope.facts.own[-1:], scope.facts.undoing)
    beyond = [r for r in ended[:-keep] if r not in needed]
    for old in over:
        # What is in flight still is known as ours by the one that moves it.
        flying = old is scope.facts.active and bool(scope.diagnosis.ours)
        held = SWEEP_FINALIZER in old.finalizers and not flying
        if held and throttle.pending(scope, old):
            return await throttle.sweep(scope, old)
        goes = held and await _may_go(scope, old, last=old.deleting or old in beyond)
        unnoted = old.finished and old.ended_as is not old.state
        if goes or unnoted:
            rest = [f for f in old.finalizers if f != SWEEP_FINALIZER or not goes]
            notes = {ENDED_ANNOTATION: str(old.state)} if unnoted else None
            scope.touched.add(old.uid)
            await scope.kube.set_finalizers(dict(old.body), rest, notes)
    for old in beyond:
        if SWEEP_FINALIZER in old.finalizers:
            continue
        namespace = scope.facts.cluster.namespace
        await scope.kube.delete("Reassignment", namespace, old.name, old.uid)
    return DONE


async def _may_go(scope: Scope, old: Reassignment, *, last: bool) -> bool:
    """Whether nothing is left to sweep, or nobody will; `last`: it is about to be deleted."""
    if old.throttle is not None:
        if not last or _awaited(scope, old):
            return False
        await scope.tell("ThrottleLeft", throttle.left_behind(old.throttle), warning=True)
    return not await throttle.lost(scope, old)


def _awaited(scope: Scope, old: Reassignment) -> bool:
    """Whether a broker that still has this one's throttle is meant to return."""
    left = old.throttle.brokers if old.throttle else ()
    return not (scope.diagnosis.desired | scope.diagnosis.existing).isdisjoint(left)
