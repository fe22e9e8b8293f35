"""`consume`: a group consumer that checks every record as it comes.

It reads what is committed only (`read_committed`). The end of a partition may then hold markers of
transactions, which no consumer is given: librdkafka's end-of-partition events tell how far it has
read all the same.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.traffic.checker import Finding, LogChecker
from tests.traffic.client import (
    NETWORK,
    TrafficError,
    admin_client,
    emit,
    end_offsets,
    partitions_of,
    stop_on_signals,
)
from tests.traffic.meters import Latencies

if TYPE_CHECKING:
    from threading import Event

    from confluent_kafka import Message

    from tests.traffic.ledger import Partition

_LINE_SECONDS = 1.0
_COMMIT_SECONDS = 2.0
_STATISTICS_SECONDS = 5.0
_POLL_SECONDS = 0.1
_BATCH = 500
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """What to read.

    Attributes:
        bootstrap: host:port of a broker.
        prefix: Topics whose names begin so are read.
        group: The consumer group; one member reads all, so that every gap is one.
        until_caught_up: End when all records that existed at the start were read.
        timeout: Seconds that `until_caught_up` may take.
    """

    bootstrap: str
    prefix: str
    group: str
    until_caught_up: bool
    timeout: float


@dataclass(slots=True)
class CheckedConsumer:
    """Reads, checks, commits what was checked, and measures the way from send to receipt.

    Attributes:
        config: librdkafka's settings.
        statistics: What librdkafka said of itself last, as JSON; empty if it was not asked to.
        complaints: Its errors so far, by name.
    """

    config: dict[str, Any]
    client: Consumer = field(init=False)
    checker: LogChecker = field(default_factory=LogChecker)
    latencies: Latencies = field(default_factory=Latencies)
    started_ns: int = field(default_factory=time.time_ns)
    read: int = 0
    ends: dict[Partition, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    complaints: Counter[str] = field(default_factory=Counter)
    statistics: str = ""

    def __post_init__(self) -> None:
        self.client = Consumer({**self.config, "stats_cb": self._note_statistics})

    def poll(self) -> None:
        """Take in what has come, without waiting for more of it."""
        first = self.client.poll(_POLL_SECONDS)
        if first is None:
            return
        for message in (first, *self.client.consume(_BATCH, 0)):
            error = message.error()
            if error is None:
                self._check(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.ends[message.topic(), message.partition()] = message.offset()
            else:
                self._note(error)

    def _check(self, message: Message) -> None:
        self.read += 1
        finding, record = self.checker.observe(
            message.topic(), message.partition(), message.offset(), message.value()
        )
        # Older records waited for this consumer, which says nothing about the brokers.
        if record and finding is Finding.FRESH and record.sent_ns >= self.started_ns:
            self.latencies.add((time.time_ns() - record.sent_ns) / 1e9)

    def _note(self, error: KafkaError) -> None:
        if error.fatal():
            raise TrafficError(f"the consumer failed: {error.str()}")
        self.errors[error.name()] = self.errors.get(error.name(), 0) + 1
        self.complaints[error.name()] += 1

    def commit(self) -> None:
        """Commit what was read and checked, without waiting."""
        try:
            self.client.commit(asynchronous=True)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:  # nothing new: fine
                self._note(error.args[0])

    def lag(self) -> int | None:
        """Return how many known records are still to be read; None while nothing is assigned."""
        assigned = self.client.assignment()
        if not assigned:
            return None
        return sum(map(self._lag_of, assigned))

    def _lag_of(self, partition: TopicPartition) -> int:
        marks = self.client.get_watermark_offsets(partition, cached=True)
        if marks is None or marks[1] < 0:
            return 0
        high: int = marks[1]
        return max(0, high - self._position((partition.topic, partition.partition)))

    def _position(self, partition: Partition) -> int:
        """Return the offset before which everything was read."""
        checker = self.checker.partitions.get(partition)
        return max(self.ends.get(partition, 0), checker.next_offset if checker else 0)

    def reached(self, ends: dict[Partition, int]) -> bool:
        """Whether everything before these offsets was read."""
        return all(self._position(partition) >= end for partition, end in ends.items())

    def _note_statistics(self, text: str) -> None:
        self.statistics = text

    def behind(self) -> dict[str, str]:
        """Say of each partition that is not read to its end where its fetching stands."""
        told = json.loads(self.statistics or "{}")
        found = {
            f"{topic}-{number}": (
                f"{part['fetch_state']}, leader {part['leader']}, read to {part['app_offset']}, "
                f"committed to {part['ls_offset']} of {part['hi_offset']}"
            )
            for topic, its in told.get("topics", {}).items()
            for number, part in its["partitions"].items()
            if number != "-1" and part["app_offset"] < part["hi_offset"]
        }
        group = told.get("cgrp", {})
        return found and {"group": f"{group.get('state')}, {group.get('join_state')}", **found}

    def report(self) -> dict[str, Any]:
        """Return the counts; the latencies since the last report; the client's complaints."""
        errors, self.errors = self.errors, {}
        return {**self.checker.totals(), **self.latencies.take(), "errors": errors}


def consumer_config(bootstrap: str, group: str, **overrides: Any) -> dict[str, Any]:
    """Return librdkafka's settings for a consumer with little memory that reads from the start."""
    return {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": 16_384,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 10,  # a full queue is emptied in far less than the default 1 s
        **NETWORK,
        **overrides,
    }


def consume(options: ConsumeOptions) -> int:
    """Read until a signal, or until caught up; return 1 if the log has a fault."""
    stop = stop_on_signals()
    admin = admin_client(options.bootstrap)
    partitions = partitions_of(admin, options.prefix, _START_SECONDS)
    ends = end_offsets(admin, partitions, _START_SECONDS) if options.until_caught_up else None
    seconds = {"statistics.interval.ms": round(1000 * _STATISTICS_SECONDS)}
    consumer = CheckedConsumer(consumer_config(options.bootstrap, options.group, **seconds))
    consumer.client.subscribe([f"^{options.prefix}.*"])
    try:
        _read_until(stop, consumer, ends, time.monotonic() + options.timeout)
    finally:
        totals = consumer.checker.totals()
        emit(
            "consumed",
            **totals,
            high_water=consumer.checker.high_water(),
            behind=consumer.behind(),
            complaints=consumer.complaints,
        )
        consumer.client.close()
    faults = ("missing", "reordered", "duplicated", "corrupt", "rewritten")
    return 1 if any(totals[fault] for fault in faults) else 0


def _read_until(
    stop: Event, consumer: CheckedConsumer, ends: dict[Partition, int] | None, deadline: float
) -> None:
    before, line_before = 0, time.monotonic()
    line_at, commit_at = line_before + _LINE_SECONDS, line_before + _COMMIT_SECONDS
    while not stop.is_set():
        consumer.poll()
        now = time.monotonic()
        if now >= commit_at:
            consumer.commit()
            commit_at = now + _COMMIT_SECONDS
        if now >= line_at:
            rate = round((consumer.read - before) / (now - line_before), 1)
            emit("consume", rate=rate, lag=consumer.lag(), **consumer.report())
            before, line_before, line_at = consumer.read, now, max(line_at + _LINE_SECONDS, now)
        if ends is not None and consumer.reached(ends):
            break
        if ends is not None and now > deadline:
            raise TrafficError("not all records could be read in time")
    consumer.commit()
