"""Take in what users ask for: one at a time, in order, or refused with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.reassignment import SWEEP_FINALIZER, State
from broker_operator.core.model import Unknown
from broker_operator.core.render import reassignment as render
from broker_operator.core.requests import objection
from broker_operator.reconcile.outcome import DONE, Outcome, Wait
from broker_operator.reconcile.steps import record, throttle

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.reconcile.scope import Scope

CAUSE_RESERVED = "spec.cause is the operator's to set; create the Reassignment without it"


async def admit(scope: Scope) -> Outcome:
    """Make new requests the cluster's own, and refuse those that can never be served.

    What stands in the way only now is looked at once it is a request's turn.
    """
    facts = scope.facts
    for intruder in facts.intruders:
        return await record.end(scope, intruder, State.REFUSED, CAUSE_RESERVED, warning=True)
    for request in facts.reassignments:
        untouched = request.deleting and not request.started and request.throttle is None
        if untouched and SWEEP_FINALIZER in request.finalizers:
            withdrawn = await _withdraw(scope, request)
            if withdrawn is not None:
                return withdrawn
    if (outcome := await _put_right(scope)) is not None:
        return outcome
    if isinstance(facts.ensemble, Unknown) or facts.ensemble.unreadable:
        return DONE
    waiting = [r for r in facts.queue if r.requested and not r.started and not r.deleting]
    for request in waiting:
        if refusal := objection(request, facts.ensemble, scope.diagnosis.desired):
            return await record.end(scope, request, State.REFUSED, refusal, warning=True)
    return DONE


async def _put_right(scope: Scope) -> Outcome | None:
    """Say again how those have ended whose status was lost; see that all others are held.

    Whatever may yet move would leave its throttle behind if it were deleted in mid-move. It lacks
    what holds it if it is new, if that was taken off, or if it had ended and nothing says so.
    """
    for old in scope.facts.reassignments:
        if old.forgotten:
            return await record.end_again(scope, old)
    for waiting in scope.facts.queue:
        held = waiting.owner and SWEEP_FINALIZER in waiting.finalizers
        if not held and not waiting.deleting:
            scope.touched.add(waiting.uid)
            await scope.kube.apply(render.adopted(scope.facts.cluster, waiting.name, waiting.uid))
            return Wait("TakenIn", f"Reassignment {waiting.name} is taken in")
    return None


async def _withdraw(scope: Scope, request: Reassignment) -> Outcome | None:
    """Let a deleted request go that has set nothing, whosever turn it is; None if it has to wait.

    What it has set is there still if its status was wiped. While another one moves, whose lists may
    be the same, it is that one's.
    """
    if await throttle.lost(scope, request):
        return None
    others = any(r.throttle and not r.throttle.swept for r in scope.facts.reassignments)
    if not others and (recovered := await throttle.recover(scope, request)):
        return recovered
    rest = [f for f in request.finalizers if f != SWEEP_FINALIZER]
    scope.touched.add(request.uid)
    await scope.kube.set_finalizers(dict(request.body), rest)
    return Wait("Withdrawn", f"Reassignment {request.name} is withdrawn")
