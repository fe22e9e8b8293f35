"""Reassignments that nobody serves, for the BrokerCluster that they name is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.conditions import merge_conditions
from broker_operator.api.reassignment import State, decode_reassignment
from broker_operator.api.spec import API_VERSION
from broker_operator.core import lifecycle
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject
    from broker_operator.ports import Clock, Kubernetes, Recorder


async def tell(kube: Kubernetes, recorder: Recorder, clock: Clock, namespace: str) -> None:
    """Say so in the status of each, and in an Event. It does not end: the cluster may yet come.

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


def _with_status(body: KubeObject, status: KubeObject) -> KubeObject:
    metadata = body["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "Reassignment",
        "metadata": {key: metadata[key] for key in ("name", "namespace", "resourceVersion")},
        "status": status,
    }
