"""Names, labels and addresses of everything that belongs to a BrokerCluster. Nowhere else."""

from __future__ import annotations

import hashlib
import re
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

_STEM = 220
"""Characters of a ConfigMap's name, of 253, that are left for that of its Reassignment."""
_PLAN_PART = re.compile(r"(.+-plan-([0-9a-f]{12})-[0-9a-f]{6})-([0-9]+)")

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


def plan_config_map(reassignment: str, uid: str, version: str, plan_hash: str, part: int) -> str:
    """Return the name of one part of a stored plan.

    Whoever stores another plan, or the same one at another time, writes to other names, however
    late: nobody overwrites or deletes what somebody else has recorded.

    Args:
        reassignment: Name of the plan's Reassignment, which may be as long as names can be.
        uid: Its uid.
        version: Its resourceVersion when the plan was made for it.
        plan_hash: Of the plan.
        part: From 0.
    """
    stem = reassignment
    if len(stem) > _STEM:
        stem = f"{stem[: _STEM - len(uid) - 1]}-{uid}"
    when = hashlib.sha256(version.encode()).hexdigest()[:6]
    return f"{stem}-plan-{plan_hash}-{when}-{part}"


def plan_of(config_map: str) -> tuple[str, str, int] | None:
    """Return what tells plans apart in the name of a part, the plan's hash, and the part's number.

    None if it is not the name of a part.
    """
    found = _PLAN_PART.fullmatch(config_map)
    return (found[1], found[2], int(found[3])) if found else None


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
