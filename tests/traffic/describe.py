"""`describe`: where the replicas are by the brokers' own metadata, which no operator wrote."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from tests.traffic.client import TrafficError, admin_client, emit, stop_on_signals

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ClusterMetadata

_REQUEST_SECONDS = 5.0


def summary(metadata: ClusterMetadata, *, assignment: bool) -> dict[str, Any]:
    """Return the counts for each broker that is registered or holds a replica.

    Args:
        metadata: The brokers' answer.
        assignment: Whether to add the replica list of each partition, by topic.
    """
    brokers: dict[int, dict[str, Any]] = {
        broker: {"live": True, "replicas": 0, "leaders": 0, "in_sync": 0}
        for broker in metadata.brokers
    }
    offline = under_replicated = 0
    lists: dict[str, dict[str, list[int]]] = {}
    for name, topic in metadata.topics.items():
        for number, partition in topic.partitions.items():
            lists.setdefault(name, {})[str(number)] = list(partition.replicas)
            offline += partition.leader < 0
            under_replicated += len(partition.isrs) < len(partition.replicas)
            _count(brokers, partition.replicas, partition.isrs, partition.leader)
    found = {str(broker): brokers[broker] for broker in sorted(brokers)}
    result = {"brokers": found, "offline": offline, "under_replicated": under_replicated}
    return {**result, "assignment": lists} if assignment else result


def _count(
    brokers: dict[int, dict[str, Any]], replicas: list[int], isrs: list[int], leader: int
) -> None:
    for broker in {*replicas, *isrs}:
        held = brokers.setdefault(
            broker, {"live": False, "replicas": 0, "leaders": 0, "in_sync": 0}
        )
        held["replicas"] += broker in replicas
        held["in_sync"] += broker in isrs
        held["leaders"] += broker == leader


def describe(bootstrap: str, every: float, *, assignment: bool) -> int:
    """Print one line, or one every so many seconds until a signal; return the exit status.

    Raises:
        TrafficError: If a single line was wanted and the brokers do not answer.
    """
    admin = admin_client(bootstrap)
    if not every:
        try:
            emit("describe", **_ask(admin, assignment=assignment))
        except KafkaException as error:
            raise TrafficError(f"the brokers do not answer: {error}") from error
        return 0
    stop = stop_on_signals()
    at = time.monotonic()
    while not stop.wait(max(0.0, at - time.monotonic())):
        at = max(at + every, time.monotonic())
        try:
            emit("describe", **_ask(admin, assignment=assignment))
        except KafkaException as error:
            emit("unanswered", error=str(error))
    return 0


def _ask(admin: AdminClient, *, assignment: bool) -> dict[str, Any]:
    return summary(admin.list_topics(timeout=_REQUEST_SECONDS), assignment=assignment)
