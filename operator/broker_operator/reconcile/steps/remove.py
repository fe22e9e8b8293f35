"""Let a leaving broker go, once it is proved empty three times over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.diagnose import count_replicas, name_some
from broker_operator.core.model import Ensemble, KafkaView, Unknown
from broker_operator.reconcile.gather import view_kafka
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, Wait
from broker_operator.reconcile.steps import brokers

if TYPE_CHECKING:
    from broker_operator.core.layout import Slot
    from broker_operator.core.model import BrokerId
    from broker_operator.reconcile.scope import Scope


async def prove(scope: Scope) -> Outcome:
    """Note which leaving brokers are empty: in every pass, or a lapse between two would be missed.

    The notes are in memory only: losing them costs the wait again.
    """
    memory, now = scope.memory, scope.clock.monotonic()
    facts, leaving = scope.facts, scope.diagnosis.leaving & scope.diagnosis.existing
    empty = [b for b in leaving if not doubt(b, facts.ensemble, facts.kafka)]
    memory.proofs = {b: memory.proofs.get(b, now) for b in empty}
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
        doubts = (doubt(b, scope.facts.ensemble, scope.facts.kafka) for b in sorted(leaving))
        doubted = next(filter(None, doubts), "")
        return Blocked(
            "BrokersNotEmpty",
            doubted or f"broker {first} stays below one that is not empty yet",
            stalled=False,
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
        if reason := doubt(broker, ensemble, kafka):
            memory.proofs.pop(broker, None)
            return Wait("BrokersNotEmpty", reason, seconds=1.0)
    for slot, replicas in lowered.items():
        await scope.kube.apply(brokers.render(scope, slot, replicas))
    message = f"broker {name_some(candidates)} held nothing in three proofs and goes"
    await scope.tell("RemovedBrokers", message)
    return Wait("RemovedBrokers", message, seconds=1.0)


def doubt(broker: BrokerId, ensemble: Ensemble | Unknown, kafka: KafkaView | Unknown) -> str:
    """Say why a broker cannot be called empty; an empty string is the proof that it is."""
    if isinstance(ensemble, Unknown):
        return f"cannot prove broker {broker} empty: {ensemble.reason}"
    if ensemble.cluster_id is None:
        return f"cannot prove broker {broker} empty: ZooKeeper knows no Kafka cluster"
    if replicas := count_replicas(ensemble).get(broker, 0):
        return f"broker {broker} still holds {replicas} replicas"
    if ensemble.requested is not None or any(s.in_flight for _, s in ensemble.partitions()):
        return f"broker {broker} is empty, but a reassignment is in flight"
    if broker not in ensemble.brokers:
        return ""  # it cannot be asked, and no partition's metadata names it
    if isinstance(kafka, Unknown):
        return f"cannot prove broker {broker} empty: {kafka.reason}"
    logs = kafka.logs.get(broker, Unknown("it was not asked"))
    if isinstance(logs, Unknown):
        return f"cannot read the log dirs of broker {broker}: {logs.reason}"
    if logs.failed:
        return f"a log dir of broker {broker} has failed, so what it holds is unknown"
    if logs.partitions:
        return f"broker {broker} still has {logs.partitions} partitions on disk"
    return ""


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
