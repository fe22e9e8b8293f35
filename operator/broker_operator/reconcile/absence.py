"""Which brokers are gone, as far as one can tell, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import Ensemble
from broker_operator.core.text import name_some
from broker_operator.reconcile.outcome import DONE, Outcome

if TYPE_CHECKING:
    from broker_operator.core.model import BrokerId
    from broker_operator.reconcile.scope import Scope

DESIRED_SECONDS = 600.0
"""A broker that is wanted is waited for this long. Kubernetes gives a lost node up after five
minutes; then the volume is attached elsewhere, and the logs are recovered."""
UNWANTED_SECONDS = 60.0
"""A broker that nobody wants is waited for this long: for a restart, not for a repair."""


async def note(scope: Scope) -> Outcome:
    """Note since when brokers are away that are wanted, or that something moves or shall move to.

    An undo may lead to a broker that the spec does not want. That an id is missing from ZooKeeper
    is not enough, for a fault there lets many vanish at once: the pod must not be ready either.
    While ZooKeeper tells nothing nobody is known to be away. The time begins anew then, and after a
    pass that has not come here (`Memory.turn`).
    """
    ensemble, memory, now = scope.facts.ensemble, scope.memory, scope.clock.monotonic()
    active = scope.facts.active
    if not isinstance(ensemble, Ensemble):
        return DONE
    flying = {
        broker
        for tp in scope.diagnosis.ours
        if (state := ensemble.topics.get(tp.topic, {}).get(tp.partition))
        for broker in state.target
    }
    planned = active.plan_brokers if active is not None else frozenset[int]()
    ready = {broker for broker, pod in scope.facts.pods.items() if pod.ready}
    away = (scope.diagnosis.desired | planned | flying) - ready - ensemble.brokers.keys()
    memory.away = {broker: memory.last.away.get(broker, now) for broker in away}
    return DONE


def given_up(scope: Scope) -> frozenset[BrokerId]:
    """Return the brokers that have been away for so long that nothing waits for them any more."""
    now, desired = scope.clock.monotonic(), scope.diagnosis.desired
    return frozenset(
        broker
        for broker, since in scope.memory.away.items()
        if now - since >= (DESIRED_SECONDS if broker in desired else UNWANTED_SECONDS)
    )


def told(scope: Scope, brokers: frozenset[BrokerId]) -> str:
    """Say of brokers that are given up, at least one, how long they were waited for."""
    wanted = brokers & scope.diagnosis.desired
    minutes = (DESIRED_SECONDS if wanted else UNWANTED_SECONDS) / 60
    what = "" if wanted else ", which is not wanted any more,"
    named = name_some(sorted(wanted or brokers))
    return f"broker {named}{what} has been away for more than {minutes:g} min"
