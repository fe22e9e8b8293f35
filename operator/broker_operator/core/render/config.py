"""The ConfigMap with the brokers' properties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core import naming
from broker_operator.core.render.common import child

if TYPE_CHECKING:
    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import KubeObject

REPLICATED_BROKERS = 3
"""From this many brokers on, internal topics get this replication factor."""
CLEANER_SHARE, CLEANER_BYTES = 8, 128 * 1024**2
"""Log cleaner's buffer: Kafka's default, and the share of the heap that it may be at most. It is
taken when the broker starts (LogCleaner), which a heap of less than 192 MiB would not survive."""

RESPONSE_BYTES, QUOTA_SECONDS, LOOK_MILLISECONDS = 1024**2, 2, 100
"""A replica that is about to catch up holds back those who write to its partition while the quota
is exceeded, so what exceeds it is kept small, soon forgotten, and looked at again soon: ADR 7.
Kafka's own are 10 MiB, 11 seconds, and 500 (wait) and 1,000 (backoff) milliseconds."""


def broker_properties(cluster: BrokerCluster) -> str:
    """Return broker.properties: safe defaults, overridden by `spec.config`, sorted."""
    factor = min(cluster.spec.replicas, REPLICATED_BROKERS)
    in_sync = max(1, factor - 1)
    defaults = {
        "controlled.shutdown.enable": "true",
        "default.replication.factor": str(factor),
        "log.cleaner.dedupe.buffer.size": str(
            min(CLEANER_BYTES, cluster.spec.heap // CLEANER_SHARE)
        ),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(factor),
        "replica.fetch.backoff.ms": str(LOOK_MILLISECONDS),
        "replica.fetch.response.max.bytes": str(RESPONSE_BYTES),
        "replica.fetch.wait.max.ms": str(LOOK_MILLISECONDS),
        "replication.quota.window.num": str(QUOTA_SECONDS),
        "transaction.state.log.replication.factor": str(factor),
        "transaction.state.log.min.isr": str(in_sync),
        "unclean.leader.election.enable": "false",
    }
    lines = sorted((defaults | dict(cluster.spec.config)).items())
    return "".join(f"{key}={value}\n" for key, value in lines)


def broker_config(cluster: BrokerCluster, cluster_id: str) -> KubeObject:
    """Render the ConfigMap.

    `cluster_id`, once known, lets a broker refuse a data directory of another cluster.
    """
    data = {"broker.properties": broker_properties(cluster)}
    if cluster_id:
        data["cluster-id"] = cluster_id
    return child(cluster, "v1", "ConfigMap", naming.brokers(cluster.name), {"data": data})
