"""What all commands share: asking the brokers, printing JSON lines, stopping on a signal."""

from __future__ import annotations

import json
import signal
import sys
import time
from threading import Event
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.traffic.ledger import Partition

NETWORK = {
    "reconnect.backoff.max.ms": 1000,
    "topic.metadata.refresh.interval.ms": 30_000,
    # A node without power answers nothing, not even "gone". librdkafka waits a minute for an
    # answer; a transactional producer whose user sets nothing waits for the whole transaction.
    "socket.timeout.ms": 10_000,
}
"""librdkafka's settings of producers and consumers for brokers that come and go."""
_REQUEST_SECONDS = 10.0
_RETRY_SECONDS = 0.5


class TrafficError(Exception):
    """The command cannot go on; the message says why."""


def emit(kind: str, **fields: Any) -> None:
    """Print one JSON line, with its kind and the wall clock in seconds."""
    line = {"kind": kind, "time": round(time.time(), 3), **fields}
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def stop_on_signals() -> Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def raised_by(number: signal.Signals) -> Event:
    """Return an event that this signal sets."""
    asked = Event()
    signal.signal(number, lambda *_: asked.set())
    return asked


def admin_client(bootstrap: str) -> AdminClient:
    """Return an admin client; it connects by itself when it is used."""
    return AdminClient({"bootstrap.servers": bootstrap, "socket.connection.setup.timeout.ms": 5000})


def partitions_of(admin: AdminClient, prefix: str, timeout: float) -> list[Partition]:
    """Return all partitions of the topics that begin with the prefix, once each has a leader.

    Args:
        admin: Any admin client.
        prefix: How the topics' names begin.
        timeout: Seconds after which it gives up.

    Raises:
        TrafficError: If there is no such topic, or a partition has no leader in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        found, problem = _partitions_now(admin, prefix)
        if not problem:
            return found
        if time.monotonic() > deadline:
            raise TrafficError(problem)
        time.sleep(_RETRY_SECONDS)


def _partitions_now(admin: AdminClient, prefix: str) -> tuple[list[Partition], str]:
    try:
        topics = admin.list_topics(timeout=_REQUEST_SECONDS).topics
    except KafkaException as error:
        return [], f"the brokers do not answer: {error}"
    found = [
        (name, number, partition.leader)
        for name, topic in topics.items()
        if name.startswith(prefix)
        for number, partition in topic.partitions.items()
    ]
    headless = [f"{name}-{number}" for name, number, leader in found if leader < 0]
    if not found:
        return [], f"there is no topic that begins with {prefix!r}"
    if headless:
        return [], f"{len(headless)} partitions have no leader: {', '.join(headless[:5])}"
    return sorted((name, number) for name, number, _ in found), ""


def end_offsets(
    admin: AdminClient, partitions: Collection[Partition], timeout: float
) -> dict[Partition, int]:
    """Return the offset after the last committed record of each partition.

    Raises:
        TrafficError: If a partition does not answer in time.
    """
    deadline = time.monotonic() + timeout
    ends: dict[Partition, int] = {}
    while True:
        missing = [partition for partition in partitions if partition not in ends]
        found, problem = _ends_now(admin, missing)
        ends |= found
        if not problem:
            return ends
        if time.monotonic() > deadline:
            raise TrafficError(problem)
        time.sleep(_RETRY_SECONDS)


def _ends_now(admin: AdminClient, partitions: list[Partition]) -> tuple[dict[Partition, int], str]:
    """Return what is answered: a partition that changes its leader just then has an error."""
    wanted = {TopicPartition(*partition): OffsetSpec.latest() for partition in partitions}
    ends: dict[Partition, int] = {}
    problem = ""
    for partition, future in admin.list_offsets(wanted, request_timeout=_REQUEST_SECONDS).items():
        try:
            ends[partition.topic, partition.partition] = future.result().offset
        except KafkaException as error:
            problem = f"the end of {partition.topic}-{partition.partition} cannot be read: {error}"
    return ends, problem
