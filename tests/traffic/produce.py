"""`produce`: an idempotent, acks=all producer at a fixed rate that knows what was acked.

Partitions take turns, one a tick, as with Kafka's own sticky partitioner (KIP-480): dealt out over
all partitions, each record would cost a request, and a fetch by every follower.

librdkafka's idempotence keeps the order of a partition through its own retries, so a record is
never sent again from here: one that fails for good, or a fatal error, ends the run as a failure.
The delivery timeout is long, so that an outage shows as latency.

That holds while some broker knows the topics. One that has just started and heard nothing from the
controller yet answers that there are none, and librdkafka believes it at once (`Local: Unknown
partition`), whatever `topic.metadata.propagation.max.ms`. When all brokers were down, clients are
sure to ask such a one: what must outlast that is written in transactions, see `transact`.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from os import urandom
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from tests.traffic.client import (
    NETWORK,
    admin_client,
    emit,
    partitions_of,
    raised_by,
    stop_on_signals,
)
from tests.traffic.ledger import Ledger, Partition
from tests.traffic.meters import AckClock, Latencies, Pacer
from tests.traffic.record import Record, encode, padding_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

TICK_SECONDS = 0.02
_LINE_SECONDS = 1.0
_START_SECONDS = 60.0
_DELIVERY_SECONDS = 900


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """What to send.

    Attributes:
        bootstrap: host:port of a broker.
        prefix: Topics whose names begin so are written to.
        producer: Name in the records; unique for each run.
        rate: Records per second over all partitions.
        size: Bytes of a record.
        flush: Seconds that outstanding records get to be acked after SIGTERM.
    """

    bootstrap: str
    prefix: str
    producer: str
    rate: float
    size: int
    flush: float


def producer_config(bootstrap: str, **overrides: Any) -> dict[str, Any]:
    """Return librdkafka's settings for a producer that loses and reorders nothing."""
    return {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        # With more, a request that fails makes those behind it "out of order", at which librdkafka
        # begins a new epoch: what waits to be sent again to other partitions, and is in their log
        # already, is not known for a duplicate any more (librdkafka issue 4953). It costs nothing:
        # a broker takes one request of a connection at a time.
        "max.in.flight.requests.per.connection": 1,
        "linger.ms": 5,
        "message.timeout.ms": _DELIVERY_SECONDS * 1000,
        "queue.buffering.max.messages": 50_000,
        **NETWORK,
        **overrides,
    }


def checked_value(options: ProduceOptions, partition: Partition, sequence: int) -> bytes:
    """Return a record of the asked size that says what it is and when it was made."""
    name, (topic, number) = options.producer, partition
    record = Record(name, topic, number, sequence, time.time_ns())
    return encode(record, urandom(padding_for(name, topic, options.size)))


@dataclass(slots=True)
class CheckedProducer:
    """Sends checked records, and counts a record as acked by its report only."""

    options: ProduceOptions
    partitions: list[Partition]
    overrides: dict[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(init=False)
    clock: AckClock = field(default_factory=AckClock)
    latencies: Latencies = field(default_factory=Latencies)
    sent: int = 0
    acked: int = 0
    failed: int = 0
    failure: str = ""
    _errors: Counter[str] = field(default_factory=Counter)
    _next: dict[Partition, int] = field(default_factory=dict)
    _client: Producer = field(init=False)
    _partition: Partition = field(init=False)
    _turns: Iterator[Partition] = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.options.producer)
        config = producer_config(self.options.bootstrap, **self.overrides)
        self._client = Producer({**config, "error_cb": self._on_error})
        self._turns = cycle(self.partitions)
        self.turn()

    def turn(self) -> None:
        """Go on to the next partition."""
        self._partition = next(self._turns)

    def send(self) -> bool:
        """Hand a record for this partition to the client; False if it does not take it."""
        partition = self._partition
        sequence = self._next.get(partition, 0)
        topic, number = partition
        value = checked_value(self.options, partition, sequence)
        now = time.monotonic()

        def on_delivery(error: KafkaError | None, _message: object) -> None:
            self._settle(partition, sequence, now, error)

        try:
            self._client.produce(topic, value, partition=number, on_delivery=on_delivery)
        except BufferError:
            return False  # the sequence number stays unused
        except KafkaException as error:
            self._fail(f"{topic}-{number} takes no records: {error.args[0].str()}")
            return False
        self._next[partition] = sequence + 1
        self.sent += 1
        self.clock.sent(now)
        return True

    def _settle(
        self, partition: Partition, sequence: int, since: float, error: KafkaError | None
    ) -> None:
        now = time.monotonic()
        self.clock.settled(now)
        if error is not None:
            self.failed += 1
            self._fail(f"{partition[0]}-{partition[1]} sequence {sequence}: {error.str()}")
            return
        self.acked += 1
        self.latencies.add(now - since)
        self.ledger.ack(partition, sequence)

    def _on_error(self, error: KafkaError) -> None:
        self._errors[error.name()] += 1
        if error.fatal():
            self._fail(f"fatal: {error.str()}")

    def _fail(self, reason: str) -> None:
        self.failure = self.failure or reason

    def poll(self, seconds: float) -> None:
        """Serve delivery reports for at most so long."""
        self._client.poll(seconds)

    def flush(self, seconds: float) -> int:
        """Wait for outstanding records; return how many are still unsettled."""
        remaining: int = self._client.flush(seconds)
        return remaining

    def errors(self) -> dict[str, int]:
        """Return the client's own complaints since last asked: retried, not lost."""
        errors, self._errors = dict(self._errors), Counter()
        return errors


def produce(options: ProduceOptions) -> int:
    """Send until a signal or a failure; return the exit status.

    SIGUSR1 has it print what was acked so far.
    """
    stop, asked = stop_on_signals(), raised_by(signal.SIGUSR1)
    admin = admin_client(options.bootstrap)
    partitions = partitions_of(admin, options.prefix, _START_SECONDS)
    producer = CheckedProducer(options, partitions)
    _send_until(stop, asked, producer)
    unresolved = producer.flush(0 if producer.failure else options.flush)
    emit(
        "produced",
        **producer.ledger.to_json(),
        total=producer.acked,
        sent=producer.sent,
        failed=producer.failed,
        unresolved=unresolved,
        failure=producer.failure,
        ack_gap_max_s=round(producer.clock.longest, 3),
    )
    return 1 if producer.failure else 0


def _send_until(stop: Event, asked: Event, producer: CheckedProducer) -> None:
    now = time.monotonic()
    pacer = Pacer(producer.options.rate, now)
    line_at, acked_before, line_before = now + _LINE_SECONDS, 0, now
    while not stop.is_set() and not producer.failure:
        tick_end = time.monotonic() + TICK_SECONDS
        producer.turn()
        for _ in range(pacer.due(time.monotonic())):
            if not producer.send():
                break
        while (left := tick_end - time.monotonic()) > 0:
            producer.poll(left)
        if asked.is_set():
            asked.clear()
            emit("ledger", **producer.ledger.to_json())
        now = time.monotonic()
        if now >= line_at:
            rate = (producer.acked - acked_before) / (now - line_before)
            _emit_line(producer, rate, now)
            acked_before, line_before = producer.acked, now
            line_at = max(line_at + _LINE_SECONDS, now)


def _emit_line(producer: CheckedProducer, rate: float, now: float) -> None:
    emit(
        "produce",
        producer=producer.options.producer,
        sent=producer.sent,
        acked=producer.acked,
        failed=producer.failed,
        rate=round(rate, 1),
        in_flight=producer.clock.in_flight,
        **producer.latencies.take(),
        ack_gap_s=round(producer.clock.take(now), 3),
        ack_gap_max_s=round(producer.clock.longest, 3),
        errors=producer.errors(),
    )
