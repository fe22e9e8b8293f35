"""Let a leaving broker go, once it is proved empty three times over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.text import name_some
from broker_operator.reconcile.gather import view_kafka
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, Wait
from broker_operator.reconcile.proof import doubt, has_strays
from broker_operator.reconcile.steps import brokers

if TYPE_CHECKING:
    from broker_operator.core.layout import Slot
    from broker_operator.reconcile.scope import Scope


async def prove(scope: Scope) -> Outcome:
    """Note which leaving brokers are empty: in every pass, or a lapse between two would be missed.

    The notes are in memory only: losing them costs the wait again.
    """
    memory, now = scope.memory, scope.clock.monotonic()
    facts, leaving = scope.facts, scope.diagnosis.leaving & scope.diagnosis.existing
    strays = [b for b in leaving if has_strays(b, facts.ensemble, facts.kafka)]
    memory.strays = {b: memory.last.strays.get(b, now) for b in strays}
    empty = [b for b in leaving if doubt(scope, b, facts.ensemble, facts.kafka) is None]
    memory.proofs = {b: memory.last.proofs.get(b, now) for b in empty}
    return DONE


async def apply(scope: Scope) -> Outcome:
    """Lower `replicas` of the StatefulSets whose highest brokers are proved empty.

    Two proofs at least `proof_seconds` apart come from two passes; the third is read here, right
    before the change.
    """
    memory, now = scope.memory, scope.clock.monotonic()
    leaving = scope.diagnosis.leaving & scope.diagnosis.existing
    if not leaving:
        return DONE
    lowered = {
        s: n for s in scope.diagnosis.slots if (n := _lowest(scope, s)) < _existing(scope, s)
    }
    if not lowered:
        first = min(leaving)
        facts = scope.facts
        doubts = (doubt(scope, b, facts.ensemble, facts.kafka) for b in sorted(leaving))
        doubted = next(filter(None, doubts), None)
        return Blocked(
            "BrokersNotEmpty",
            doubted.reason if doubted else f"broker {first} stays below one that is not empty yet",
            stalled=doubted.for_people if doubted else False,
            seconds=2.0,
        )
    candidates = sorted(b for s, n in lowered.items() for b in _ids(scope, s, n))
    oldest = max(memory.proofs[b] for b in candidates)
    if (rest := oldest + scope.settings.proof_seconds - now) > 0 or oldest == now:
        message = f"broker {name_some(candidates)} is empty; proving it again"
        return Wait("ProvingEmpty", message, seconds=max(rest, 0.1))
    ensemble = await scope.coordination.read()
    kafka = await view_kafka(scope.admin, ensemble)
    for broker in candidates:
        if doubted := doubt(scope, broker, ensemble, kafka):
            memory.proofs.pop(broker, None)
            return Wait("BrokersNotEmpty", doubted.reason, seconds=1.0)
    for slot, replicas in lowered.items():
        await scope.kube.apply(brokers.render(scope, slot, replicas, proved=True))
    message = f"broker {name_some(candidates)} held nothing in three proofs and goes"
    await scope.tell("RemovedBrokers", message)
    return Wait("RemovedBrokers", message, seconds=1.0)


def _existing(scope: Scope, slot: Slot) -> int:
    return next((s.replicas for s in scope.facts.broker_sets if s.name == slot.name), 0)


def _ids(scope: Scope, slot: Slot, lowest: int) -> range:
    return range(slot.start + lowest, slot.start + _existing(scope, slot))


def _lowest(scope: Scope, slot: Slot) -> int:
    """How far a StatefulSet may be lowered: past its highest brokers while proved empty."""
    replicas = _existing(scope, slot)
    while replicas > slot.desired and slot.start + replicas - 1 in scope.memory.proofs:
        replicas -= 1
    return replicas
