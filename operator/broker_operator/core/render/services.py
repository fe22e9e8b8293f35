"""The Services: one that gives each broker its name, one to bootstrap from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core import naming
from broker_operator.core.render.common import child

if TYPE_CHECKING:
    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import KubeObject


def headless_service(cluster: BrokerCluster) -> KubeObject:
    """Render the headless Service.

    Names of brokers that are not ready resolve too: they need one another to become ready.
    """
    return child(
        cluster,
        "v1",
        "Service",
        naming.headless(cluster.name),
        {
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": naming.selector(cluster.name),
                "ports": [_port("kafka", naming.KAFKA_PORT), _port("metrics", naming.METRICS_PORT)],
            }
        },
    )


def bootstrap_service(cluster: BrokerCluster) -> KubeObject:
    """Render the Service whose address clients start from; ready brokers only."""
    return child(
        cluster,
        "v1",
        "Service",
        naming.brokers(cluster.name),
        {
            "spec": {
                "selector": naming.selector(cluster.name),
                "ports": [_port("kafka", naming.KAFKA_PORT)],
            }
        },
    )


def _port(name: str, number: int) -> dict[str, str | int]:
    return {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}
