"""The children that are always safe to apply, in the order in which they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.render.config import broker_config
from broker_operator.core.render.policy import disruption_budget, service_account
from broker_operator.core.render.services import bootstrap_service, headless_service

if TYPE_CHECKING:
    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import KubeObject


def safe_children(cluster: BrokerCluster, cluster_id: str) -> list[KubeObject]:
    """Render every child but the StatefulSets: none of these can stop a broker."""
    return [
        service_account(cluster),
        headless_service(cluster),
        bootstrap_service(cluster),
        broker_config(cluster, cluster_id),
        disruption_budget(cluster),
    ]
