"""Names, labels and addresses of everything that belongs to a BrokerCluster. Nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.spec import GROUP, MAX_BROKERS_PER_RACK

if TYPE_CHECKING:
    from broker_operator.core.model import BrokerId

KAFKA_PORT = 9092
METRICS_PORT = 9404
MANAGED_BY = "broker-operator"

HASH_ANNOTATION = f"{GROUP}/applied-hash"
CONFIG_HASH_ANNOTATION = f"{GROUP}/config-hash"
EMPTY_ANNOTATION = f"{GROUP}/proved-empty"
AWAITED_ANNOTATION = f"{GROUP}/awaited-pods"
RACK_LABEL = f"{GROUP}/rack"

RACK_ID_STEP = MAX_BROKERS_PER_RACK
"""Distance between the first broker ids of two racks: each rack has room for this many."""


def brokers(cluster: str) -> str:
    """Return the name of the bootstrap Service, ConfigMap, PDB and ServiceAccount."""
    return f"{cluster}-broker"


def headless(cluster: str) -> str:
    """Return the name of the headless Service that gives each broker its DNS name."""
    return f"{cluster}-broker-headless"


def stateful_set(cluster: str, rack: str | None) -> str:
    """Return the name of the StatefulSet that holds a rack's brokers."""
    return f"{cluster}-broker-{rack}" if rack else f"{cluster}-broker"


def broker_host(pod: str, cluster: str, namespace: str, domain: str) -> str:
    """Return the stable DNS name that a broker advertises."""
    return f"{pod}.{headless(cluster)}.{namespace}.svc.{domain}"


def claim(stateful_set_name: str, broker: BrokerId) -> str:
    """Return the name of a broker's PersistentVolumeClaim."""
    return f"data-{stateful_set_name}-{broker}"


def reassignment(cluster: str, number: int) -> str:
    """Return the name of the n-th Reassignment of a cluster."""
    return f"{reassignment_prefix(cluster)}{number}"


def reassignment_prefix(cluster: str) -> str:
    """Return what the names of a cluster's Reassignments begin with, before their number."""
    return f"{cluster}-"


def plan_config_map(reassignment_name: str, plan_hash: str, part: int) -> str:
    """Return the name of one part of a stored plan.

    Whoever stores another plan, however late, writes to other names.
    """
    return f"{reassignment_name}-plan-{plan_hash}-{part}"


def selector(cluster: str) -> dict[str, str]:
    """Return the labels that select a cluster's pods; they never change."""
    return {
        "app.kubernetes.io/name": "kafka",
        "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/component": "broker",
    }


def labels(cluster: str, version: str) -> dict[str, str]:
    """Return the labels of every child."""
    return {
        **selector(cluster),
        "app.kubernetes.io/part-of": cluster,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/version": version,
    }
