"""The StatefulSets: as many brokers as desired, and every one that may still hold data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.diagnose import name_some
from broker_operator.core.model import Unknown
from broker_operator.core.render.common import in_sync
from broker_operator.core.render.stateful_set import stateful_set
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, Wait

if TYPE_CHECKING:
    from broker_operator.core.layout import Slot
    from broker_operator.core.model import KubeObject
    from broker_operator.reconcile.scope import Scope


def render(scope: Scope, slot: Slot, replicas: int) -> KubeObject:
    """Render one slot's StatefulSet."""
    return stateful_set(
        scope.facts.cluster,
        slot,
        replicas,
        image=scope.image,
        domain=scope.settings.cluster_domain,
        going=any(slot.owns(b) and b >= slot.start + replicas for b in scope.facts.pods),
    )


async def apply(scope: Scope) -> Outcome:
    """Apply each rack's StatefulSet; never with fewer brokers than exist or hold a replica.

    Lowering is the business of `remove` alone.
    """
    changed = []
    for slot in scope.diagnosis.slots:
        kept = scope.diagnosis.kept(slot)
        body = render(scope, slot, kept)
        live = scope.facts.children.get(("StatefulSet", slot.name))
        if in_sync(body, live):
            continue
        await scope.kube.apply(body)
        before = live["spec"].get("replicas", 1) if live else 0
        changed.append(slot.name)
        if kept > before:
            await scope.tell(
                "AddingBrokers", f"StatefulSet {slot.name} goes from {before} to {kept} brokers"
            )
    if changed:
        return Wait("ApplyingBrokers", f"applied StatefulSet {', '.join(changed)}", seconds=0.5)
    return DONE


async def wait(scope: Scope) -> Outcome:
    """Say which desired brokers are not ready yet, and why."""
    diagnosis, pods, ensemble = scope.diagnosis, scope.facts.pods, scope.facts.ensemble
    late = sorted(diagnosis.desired - diagnosis.ready)
    if not late and isinstance(ensemble, Unknown):
        return Blocked("ZooKeeperUnreachable", ensemble.reason, stalled=False, seconds=2.0)
    if not late:
        return DONE
    problems = [f"{pods[b].name}: {pods[b].problem}" for b in late if b in pods and pods[b].problem]
    ready = len(diagnosis.desired) - len(late)
    message = f"{ready} of {len(diagnosis.desired)} brokers are ready"
    message += f"; {name_some(problems)}" if problems else f"; waiting for {name_some(late)}"
    return Blocked("BrokersNotReady", message, stalled=bool(problems), seconds=3.0)
