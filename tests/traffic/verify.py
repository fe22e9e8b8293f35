"""`verify`: read every partition from its start to its end and compare with what was acked."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from tests.traffic.checker import LogChecker, compare
from tests.traffic.client import TrafficError, admin_client, emit, end_offsets, partitions_of
from tests.traffic.consume import CheckedConsumer, consumer_config
from tests.traffic.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.traffic.ledger import Partition

EXIT_CLEAN, EXIT_LOSS = 0, 1


def verify(bootstrap: str, prefix: str, ledgers: list[Ledger], timeout: float) -> int:
    """Print the verdict; return 0 only if nothing is missing, reordered, doubled or damaged.

    Args:
        bootstrap: host:port of a broker.
        prefix: Topics whose names begin so are read.
        ledgers: What was acked, by all producers that wrote there.
        timeout: Seconds for the whole reading.

    Raises:
        TrafficError: If the log cannot be read to its end in time.
    """
    started = time.monotonic()
    admin = admin_client(bootstrap)
    ends = end_offsets(admin, partitions_of(admin, prefix, timeout), timeout)
    log = read_log(bootstrap, ends, started + timeout)
    verdict = compare(log, ledgers)
    emit(
        "verdict",
        clean=verdict.clean,
        **asdict(verdict),
        partitions=len(ends),
        seconds=round(time.monotonic() - started, 1),
    )
    return EXIT_CLEAN if verdict.clean else EXIT_LOSS


def read_log(
    bootstrap: str,
    ends: dict[Partition, int],
    deadline: float,
    isolation: str = "read_committed",
) -> LogChecker:
    """Read the partitions from the start up to these offsets, as nobody's group member.

    Args:
        bootstrap: host:port of a broker.
        ends: Where to stop.
        deadline: Monotonic seconds.
        isolation: Whether to be given what was aborted, in Kafka's words.

    Raises:
        TrafficError: If it takes longer than until the deadline.
    """
    own = {"enable.auto.offset.store": False, "isolation.level": isolation}
    consumer = CheckedConsumer(consumer_config(bootstrap, "verify", **own))
    try:
        consumer.client.assign([TopicPartition(*partition, OFFSET_BEGINNING) for partition in ends])
        while not consumer.reached(ends):
            if time.monotonic() > deadline:
                raise TrafficError(f"not read to the end in time: {_behind(consumer, ends)}")
            consumer.poll()
    finally:
        consumer.client.close()
    return consumer.checker


def _behind(consumer: CheckedConsumer, ends: dict[Partition, int]) -> str:
    late = [f"{t}-{p}" for (t, p), end in ends.items() if not consumer.reached({(t, p): end})]
    return f"{len(late)} partitions, {', '.join(late[:5])}"


def read_ledgers(path: Path) -> list[Ledger]:
    """Read a JSON list of ledgers from a file."""
    return [Ledger.from_json(entry) for entry in json.loads(path.read_text())]
