"""The ServiceAccount and the PodDisruptionBudget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core import naming
from broker_operator.core.render.common import child

if TYPE_CHECKING:
    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import KubeObject


def service_account(cluster: BrokerCluster) -> KubeObject:
    """Render the brokers' ServiceAccount; they never talk to the API server."""
    return child(
        cluster,
        "v1",
        "ServiceAccount",
        naming.brokers(cluster.name),
        {"automountServiceAccountToken": False},
    )


def disruption_budget(cluster: BrokerCluster) -> KubeObject:
    """Render the PDB: `kubectl drain` may take one broker at a time, and only a ready cluster's."""
    return child(
        cluster,
        "policy/v1",
        "PodDisruptionBudget",
        naming.brokers(cluster.name),
        {
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": naming.selector(cluster.name)},
            }
        },
    )
