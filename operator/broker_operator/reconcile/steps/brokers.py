"""The StatefulSets: as many brokers as desired, and every one that may still hold data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core import naming
from broker_operator.core.model import Unknown
from broker_operator.core.render.common import in_sync
from broker_operator.core.render.stateful_set import stateful_set
from broker_operator.core.text import name_some
from broker_operator.ports import RejectedError
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, Wait
from broker_operator.reconcile.steps import objects, unreachable

if TYPE_CHECKING:
    from broker_operator.core.layout import Slot
    from broker_operator.core.model import BrokerId, KubeObject
    from broker_operator.reconcile.scope import Scope


UNMADE_SECONDS, DOUBLINGS = 20.0, 4
"""A pod that does not exist after this long is not just late. So long, and then twice as long each
time, so many times, passes before Kubernetes is made to try again."""


def render(scope: Scope, slot: Slot, replicas: int, *, proved: bool = False) -> KubeObject:
    """Render one slot's StatefulSet.

    `proved`: the brokers beyond `replicas` were just proved empty. Until their pods are gone, which
    is when their volumes go if so asked, the set stays as that proof has made it; no other way
    leads to a volume's end.

    It is to be applied to the set as it was read, or not at all: a process that is suspended on
    the way must not lower what another one has raised since. The brokers that this process holds
    for empty are named in it, so that it changes, too, as soon as another one finds one wanted
    again, or with data.
    """
    found = scope.facts.children.get(("StatefulSet", slot.name), {})
    live = found.get("spec", {})
    policy = (live.get("persistentVolumeClaimRetentionPolicy") or {}).get("whenScaled")
    going = any(slot.owns(b) and b >= slot.start + replicas for b in scope.facts.pods)
    kept = range(slot.start, slot.start + replicas)
    body = stateful_set(
        scope.facts.cluster,
        slot,
        replicas,
        image=scope.image,
        domain=scope.settings.cluster_domain,
        going=going and (proved or policy == "Delete"),
        empty=scope.memory.proofs.keys() & kept,
        awaited=_awaited(scope, slot, kept),
    )
    if found:
        body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
    return body


async def apply(scope: Scope) -> Outcome:
    """Apply each rack's StatefulSet; never with fewer brokers than exist or hold a replica.

    Lowering is the business of `remove` alone.
    """
    changed: list[str] = []
    refused: list[Blocked] = []
    for slot in scope.diagnosis.slots:
        kept = scope.diagnosis.kept(slot)
        body = render(scope, slot, kept)
        live = scope.facts.children.get(("StatefulSet", slot.name))
        if in_sync(body, live):
            continue
        if problem := await objects.put(scope, body):
            refused.append(problem)
            continue
        before = live["spec"].get("replicas", 1) if live else 0
        changed.append(slot.name)
        if kept > before:
            await scope.tell(
                "AddingBrokers", f"StatefulSet {slot.name} goes from {before} to {kept} brokers"
            )
    if changed:
        return Wait("ApplyingBrokers", f"applied StatefulSet {', '.join(changed)}", seconds=0.5)
    return refused[0] if refused else DONE


async def replace(scope: Scope) -> Outcome:
    """Delete pods that cannot start and whose template has been changed since.

    The StatefulSets leave every pod as it is (`OnDelete`), so a pod that a mistake in the spec
    keeps from starting would outlive the mistake. No broker runs in it, and none is registered.
    """
    facts, ensemble = scope.facts, scope.facts.ensemble
    if isinstance(ensemble, Unknown):
        return DONE
    replaced: list[str] = []
    for owner in facts.broker_sets:
        pods = [facts.pods[b] for b in owner.ids if b in facts.pods and b not in ensemble.brokers]
        for pod in pods:
            if not pod.problem or not owner.revision or pod.revision in ("", owner.revision):
                continue
            try:
                await scope.kube.delete("Pod", facts.cluster.namespace, pod.name, pod.uid)
            except RejectedError as error:
                return Blocked("Rejected", str(error), seconds=30.0)
            replaced.append(f"{pod.name} ({pod.problem})")
    if not replaced:
        return DONE
    message = (
        f"pods that could not start are made anew from the changed spec: {', '.join(replaced)}"
    )
    await scope.tell("ReplacedPods", message)
    return Wait("ReplacedPods", message, seconds=1.0)


async def wait(scope: Scope) -> Outcome:
    """Say which desired brokers are not ready yet, and why."""
    diagnosis, pods, ensemble = scope.diagnosis, scope.facts.pods, scope.facts.ensemble
    late, unmade = sorted(diagnosis.desired - diagnosis.ready), _unmade(scope)
    if not late and isinstance(ensemble, Unknown):
        return unreachable.zookeeper(ensemble)
    if not late:
        return DONE
    problems = [f"{pods[b].name}: {pods[b].problem}" for b in late if b in pods and pods[b].problem]
    problems += unmade
    ready = len(diagnosis.desired) - len(late)
    message = f"{ready} of {len(diagnosis.desired)} brokers are ready"
    message += f"; {name_some(problems)}" if problems else f"; waiting for broker {name_some(late)}"
    return Blocked("BrokersNotReady", message, stalled=bool(problems), seconds=3.0)


def _awaited(scope: Scope, slot: Slot, kept: range) -> str:
    """Say which pods a StatefulSet owes, and which try it is; in other words, it tries again.

    Its controller tries less and less often, down to every 17 minutes (5 ms, doubled with each
    failure), and nothing tells it that the cause is gone. Above all, a set that was deleted with
    its pods and made anew fails for as long as the old pods end, and is not told of their end:
    they were another set's (`deletePod` of Kubernetes' StatefulSet controller). Every change of
    the set makes it try at once.

    What is written is left alone until this process has seen it for its time, by its own clock: two
    processes never write against each other.
    """
    found = scope.facts.children.get(("StatefulSet", slot.name), {})
    notes = found.get("metadata", {}).get("annotations") or {}
    shown = str(notes.get(naming.AWAITED_ANNOTATION, ""))
    ids, _, number = shown.partition(", try ")
    tries = int(number[:9]) if number.isdecimal() else 0  # anybody may write there
    named = {broker for broker in kept if str(broker) in ids.split(",")}
    now, missing = scope.clock.monotonic(), {*kept} - scope.facts.pods.keys()
    owed = missing & (named | _late(scope))
    if not owed:
        scope.memory.awaited.pop(slot.name, None)
        return ""
    if tries and missing & named:
        text, since = scope.memory.awaited.setdefault(slot.name, (shown, now))
        if text != shown:
            scope.memory.awaited[slot.name] = (shown, now)
            return shown
        if now - since < UNMADE_SECONDS * 2 ** min(tries - 1, DOUBLINGS):
            return shown
    return f"{','.join(map(str, sorted(owed)))}, try {tries + 1}"


def _late(scope: Scope) -> set[BrokerId]:
    """Return the brokers that were without a pod for too long when this was last looked at."""
    now = scope.clock.monotonic()
    return {b for b, since in scope.memory.unmade.items() if now - since >= UNMADE_SECONDS}


def _unmade(scope: Scope) -> list[str]:
    """Say which StatefulSets fail to make a pod: a quota, a policy or a priority class forbids it.

    Why, only their Events tell. For a moment every pod is still to be made.
    """
    memory, now = scope.memory, scope.clock.monotonic()
    missing = scope.diagnosis.existing - scope.facts.pods.keys()
    memory.unmade = {b: memory.unmade.get(b, now) for b in missing}
    late = sorted(_late(scope))
    owners = {b: slot.name for slot in scope.diagnosis.slots for b in late if slot.owns(b)}
    return [
        f"StatefulSet {owner} has not made pod {owner}-{b}; see kubectl describe sts {owner}"
        for b, owner in owners.items()
    ]
