"""Lead a plan around brokers that are lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from broker_operator.api.reassignment import Cause
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Unknown
from broker_operator.core.planner.fixed import plan_around, stuck_around
from broker_operator.reconcile import absence
from broker_operator.reconcile.outcome import Blocked, Outcome
from broker_operator.reconcile.steps import record
from broker_operator.reconcile.steps.draft import drafted

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import Assignment
    from broker_operator.reconcile.scope import Scope


async def lead_around(scope: Scope, active: Reassignment) -> Outcome | None:
    """Plan anew what empties a broker and needs one that is given up; nothing may be in flight.

    Only that: a broker that joins, or gets its share, has no stand-in. Nor has one that its user
    names, or that an undo leads back to.

    Returns:
        Blocked, if no other broker can take it; None, if there is nothing of the kind.
    """
    ensemble, kafka, plan = scope.facts.ensemble, scope.facts.kafka, scope.facts.plan
    lost = absence.given_up(scope) & scope.diagnosis.desired
    emptied = scope.diagnosis.leaving | active.evacuate
    if not lost or not active.started or active.replace or active.cause is Cause.UNDO:
        return None
    if isinstance(ensemble, Unknown) or isinstance(kafka, Unknown):
        return None
    now, known = ensemble.assignment, plan if isinstance(plan, StoredPlan) else StoredPlan({}, {})
    former = _since(known.ends, now) if active.topics else known.ends
    # What is being deleted stays: the controller would drop every batch with it.
    former = {**former, **{t: its for t, its in now.items() if t not in kafka.leadership}}
    if not stuck_around(now, former, scope.diagnosis.desired - lost - emptied, emptied):
        return None
    maker = partial(plan_around, former=former, emptied=emptied)
    found = await drafted(scope, ensemble, kafka, maker, without=lost)
    if isinstance(found, Blocked):
        return found
    why, avoids = absence.told(scope, lost), active.plan_avoids | lost
    stored = await record.store(scope, active, *found, why, avoids=avoids)
    await scope.tell("LedAround", f"{active.name} has a plan that needs no lost broker, for {why}")
    return stored


def _since(first: Assignment, now: Assignment) -> Assignment:
    """Return where everything led at first, and what is new since as it is."""
    return {
        topic: {n: first.get(topic, {}).get(n, replicas) for n, replicas in its.items()}
        for topic, its in now.items()
    }
