"""Reassignments that nobody serves, for their BrokerCluster is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.conditions import merge_conditions
from broker_operator.api.reassignment import SWEEP_FINALIZER, State, decode_reassignment
from broker_operator.api.spec import API_VERSION
from broker_operator.core import lifecycle
from broker_operator.core.text import name_some
from broker_operator.reconcile.steps import throttle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import KubeObject
    from broker_operator.ports import Clock, Kubernetes, Recorder


async def look(kube: Kubernetes, recorder: Recorder, clock: Clock, namespace: str) -> None:
    """Let go of those that are being deleted; say to the others that their cluster is not there.

    That is said in the status of each, and in an Event. It does not end: the cluster may yet come.

    Raises:
        TransientError: Kubernetes did not answer, or one has changed since it was read.
        RejectedError: It refused.
    """
    waiting = await kube.list("Reassignment", namespace)
    clusters = await kube.list("BrokerCluster", namespace)
    names = sorted(
        c["metadata"]["name"] for c in clusters if "deletionTimestamp" not in c["metadata"]
    )
    for body in waiting:
        found = decode_reassignment(body)
        if _orphaned(found, clusters):
            await let_go(kube, recorder, body, body)
        if found.owner or found.finished or found.deleting or found.cluster in names:
            continue
        known = f"there is {name_some(names)}" if names else "there is none at all"
        message = (
            f"spec.cluster is {found.cluster!r}, but namespace {namespace} has no such "
            f"BrokerCluster ({known}); make it, or delete this Reassignment and make one that "
            "names another"
        )
        changes = {
            "observedGeneration": body["metadata"].get("generation", 1),
            "conditions": merge_conditions(
                found.status.get("conditions") or [],
                lifecycle.conditions(found, State.NO_CLUSTER, message),
                generation=body["metadata"].get("generation", 1),
                now=clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            ),
        }
        if any(found.status.get(key) != value for key, value in changes.items()):
            await kube.apply_status(_with_status(body, {**found.status, **changes}))
            await recorder.event(body, reason=str(State.NO_CLUSTER), message=message, warning=True)


async def let_go(kube: Kubernetes, recorder: Recorder, body: KubeObject, about: KubeObject) -> None:
    """Take our finalizer off a Reassignment that nobody will sweep any more.

    Says in an Event on `about` what throttle is left: nobody will remember it.

    Raises:
        TransientError: Kubernetes did not answer, or it has changed since it was read.
    """
    found = decode_reassignment(body)
    if found.throttle is not None:
        message = throttle.left_behind(found.throttle)
        await recorder.event(about, reason="ThrottleLeft", message=message, warning=True)
    await kube.set_finalizers(body, [f for f in found.finalizers if f != SWEEP_FINALIZER])


def _orphaned(found: Reassignment, clusters: Iterable[KubeObject]) -> bool:
    """Whether it is being deleted and waits for a sweep by a cluster that is gone.

    One that is itself being deleted is not: it lets its Reassignments go. Nor is another one of the
    same name the owner.
    """
    if not found.deleting or SWEEP_FINALIZER not in found.finalizers:
        return False
    key, wanted = ("uid", found.owner) if found.owner else ("name", found.cluster)
    return all(cluster["metadata"][key] != wanted for cluster in clusters)


def _with_status(body: KubeObject, status: KubeObject) -> KubeObject:
    metadata = body["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "Reassignment",
        "metadata": {key: metadata[key] for key in ("name", "namespace", "resourceVersion")},
        "status": status,
    }
