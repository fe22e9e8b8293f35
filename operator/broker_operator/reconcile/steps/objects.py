"""Children that are always safe to apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import Unknown
from broker_operator.core.render.children import safe_children
from broker_operator.core.render.common import in_sync
from broker_operator.ports import RejectedError
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome, rejected

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject
    from broker_operator.reconcile.scope import Scope


async def apply(scope: Scope) -> Outcome:
    """Make the Services, the ConfigMap, the PDB and the ServiceAccount what they shall be."""
    refused: list[Blocked] = []
    for body in safe_children(scope.facts.cluster, cluster_id(scope)):
        live = scope.facts.children.get((body["kind"], body["metadata"]["name"]))
        if not in_sync(body, live) and (problem := await put(scope, body)):
            refused.append(problem)
    return refused[0] if refused else DONE


async def put(scope: Scope, body: KubeObject) -> Blocked | None:
    """Apply a child; say so if that is refused, or if its name is somebody else's.

    One child that cannot be had must not keep the others, or a move under way, from going on.

    Raises:
        TransientError: Kubernetes did not answer.
    """
    kind, meta = body["kind"], body["metadata"]
    if (kind, meta["name"]) not in scope.facts.children:
        found = await scope.kube.get(kind, meta["namespace"], meta["name"])
        owners = (found or {}).get("metadata", {}).get("ownerReferences") or []
        uids = [owner.get("uid") for owner in owners if owner.get("controller")]
        if found and "deletionTimestamp" in found["metadata"]:
            message = (
                f"waiting for the former {kind} {meta['name']} to be gone; if that lasts, see its "
                "metadata.finalizers"
            )
            return Blocked("NameTaken", message, stalled=False, seconds=2.0)
        if found and scope.facts.cluster.uid not in uids:
            message = (
                f"{kind} {meta['name']} exists and is not this BrokerCluster's; delete it, or give "
                "the BrokerCluster another name"
            )
            return Blocked("NameTaken", message)
    try:
        await scope.kube.apply(body)
    except RejectedError as error:
        return rejected(error)
    return None


def cluster_id(scope: Scope) -> str:
    """Return the Kafka cluster id: as recorded, else as found; empty before the first broker."""
    ensemble = scope.facts.ensemble
    found = "" if isinstance(ensemble, Unknown) else ensemble.cluster_id or ""
    return scope.facts.recorded_cluster_id or found
