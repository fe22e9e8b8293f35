"""Clear the controller's way of what is ours and stuck; say what is in it and somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core import stuck
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Ensemble, Unknown
from broker_operator.ports import RejectedError
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, Wait

if TYPE_CHECKING:
    from broker_operator.core.stuck import Obstacle
    from broker_operator.reconcile.scope import Scope


async def clear(scope: Scope) -> Outcome:
    """Make the controller drop a request of ours that it has missed; name everything else.

    `scope.obstacle` keeps the later steps from asking the controller for anything.
    """
    ensemble = scope.facts.ensemble
    found = None if isinstance(ensemble, Unknown) else _find(scope, ensemble)
    if found is None or not _lasts(scope, found):
        return DONE
    if found.nudge:
        return await _nudge(scope, found)
    scope.obstacle = Blocked(found.reason, found.message)
    return scope.obstacle


def _find(scope: Scope, ensemble: Ensemble) -> Obstacle | None:
    plan = scope.facts.plan if isinstance(scope.facts.plan, StoredPlan) else None
    found = stuck.find(ensemble, plan, scope.diagnosis.foreign)
    if found is None:
        scope.memory.unheard = None
    return found


def _lasts(scope: Scope, found: Obstacle) -> bool:
    """Whether it has been so for as long as it may be in good order."""
    memory, now = scope.memory, scope.clock.monotonic()
    if memory.unheard is None or memory.unheard[0] != found.message:
        memory.unheard = (found.message, now)
    return now - memory.unheard[1] >= found.patience


async def _nudge(scope: Scope, found: Obstacle) -> Outcome:
    """Have the controller drop the request, if it has still begun nothing of it."""
    now = await scope.coordination.read()
    if now.migrating or _find(scope, now) != found:
        return Wait("UnheardRequest", "/admin/reassign_partitions has just changed", seconds=1.0)
    try:
        await scope.admin.reassign(found.nudge)
    except RejectedError:
        # What is gone is refused, and dropped all the same.
        if all(n in now.topics.get(t, {}) for t, numbers in found.nudge.items() for n in numbers):
            raise
    scope.memory.unheard = None
    await scope.tell(found.reason, found.message)
    return Wait(found.reason, found.message, seconds=1.0)
