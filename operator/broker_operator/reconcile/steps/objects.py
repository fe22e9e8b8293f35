"""Children that are always safe to apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import Unknown
from broker_operator.core.render.children import safe_children
from broker_operator.core.render.common import in_sync
from broker_operator.reconcile.outcome import DONE, Outcome

if TYPE_CHECKING:
    from broker_operator.reconcile.scope import Scope


async def apply(scope: Scope) -> Outcome:
    """Make the Services, the ConfigMap, the PDB and the ServiceAccount what they shall be."""
    for body in safe_children(scope.facts.cluster, cluster_id(scope)):
        live = scope.facts.children.get((body["kind"], body["metadata"]["name"]))
        if not in_sync(body, live):
            await scope.kube.apply(body)
    return DONE


def cluster_id(scope: Scope) -> str:
    """Return the Kafka cluster id: as recorded, else as found; empty before the first broker."""
    ensemble = scope.facts.ensemble
    found = "" if isinstance(ensemble, Unknown) else ensemble.cluster_id or ""
    return scope.facts.recorded_cluster_id or found
