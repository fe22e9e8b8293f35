"""`transact`: a transactional producer that counts as acked only what was committed.

Every few transactions one is aborted on purpose. The next one uses the same sequence numbers
again, so that a reader who is shown what was aborted finds duplicates.

librdkafka repeats what can be repeated; a transaction that it says to abort is aborted, and sent
again in a new one. Nothing is known of a commit that has no answer, so it is asked for again until
there is one. A producer that cannot abort is replaced by a new one of the same transactional id, as
applications do. Any other fatal error ends the run as a failure.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from tests.traffic.client import (
    TrafficError,
    admin_client,
    emit,
    partitions_of,
    raised_by,
    stop_on_signals,
)
from tests.traffic.ledger import Ledger, Partition
from tests.traffic.meters import AckClock, Latencies, Pacer
from tests.traffic.produce import ProduceOptions, checked_value, producer_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

TICK_SECONDS = 0.2
"""A transaction each."""
PARTITIONS = 2
"""Of a transaction."""
ABORT_EVERY = 7
_LINE_SECONDS = 1.0
_START_SECONDS = 60.0
_REQUEST_SECONDS = 10.0
_RETRY_SECONDS = 0.5
_TRANSACTION_SECONDS = 300
"""Until the broker gives it up: longer than any outage that the tests make."""


@dataclass(slots=True)
class TransactionalProducer:
    """Sends transactions of checked records, and counts what was committed."""

    options: ProduceOptions
    partitions: list[Partition]
    ledger: Ledger = field(init=False)
    clock: AckClock = field(default_factory=AckClock)
    latencies: Latencies = field(default_factory=Latencies)
    acked: int = 0
    aborted: int = 0
    transactions: int = 0
    renewed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    _client: Producer = field(init=False)
    _turns: Iterator[Partition] = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.options.producer)
        self._turns = cycle(self.partitions)
        self._client = self._new_client()

    def _new_client(self) -> Producer:
        config = producer_config(
            self.options.bootstrap,
            **{
                "transactional.id": self.options.producer,
                "transaction.timeout.ms": _TRANSACTION_SECONDS * 1000,
                "message.timeout.ms": _TRANSACTION_SECONDS * 1000,
            },
        )
        return Producer({**config, "error_cb": self._note})

    def begin(self, timeout: float) -> None:
        """Make the coordinator know this producer.

        Raises:
            TrafficError: It does not within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not self._done(self._client.init_transactions):
            if time.monotonic() > deadline:
                raise TrafficError(f"the transaction coordinator does not answer: {self.errors}")

    def send(self, records: int) -> None:
        """Commit so many records, in as many transactions as it takes, one of them as a rule.

        Raises:
            TrafficError: A fatal error.
        """
        batch = self._batch(records)
        now = time.monotonic()
        self.clock.sent(now)
        if self.transactions % ABORT_EVERY == ABORT_EVERY - 1:
            self._attempt(batch, commit=False)
        while not self._attempt(batch, commit=True):
            pass
        for partition, sequence in batch:
            self.ledger.ack(partition, sequence)
        self.acked += len(batch)
        self.latencies.add(time.monotonic() - now)
        self.clock.settled(time.monotonic())

    def _batch(self, records: int) -> list[tuple[Partition, int]]:
        """Return the next records: as many of each of some partitions, in order."""
        chosen = [next(self._turns) for _ in range(PARTITIONS)]
        first = {
            p: self.ledger.acked[p].highest + 1 if p in self.ledger.acked else 0 for p in chosen
        }
        each = max(1, records // PARTITIONS)
        return [(p, first[p] + number) for p in dict.fromkeys(chosen) for number in range(each)]

    def _attempt(self, batch: list[tuple[Partition, int]], *, commit: bool) -> bool:
        """Send one transaction; whether it was committed, if it was to be."""
        self.transactions += 1
        self._client.begin_transaction()
        try:
            for partition, sequence in batch:
                value = checked_value(self.options, partition, sequence)
                self._client.produce(partition[0], value, partition=partition[1])
        except KafkaException as error:
            self._note(error.args[0])  # such as of a topic that no broker knows yet
            commit = False
            time.sleep(_RETRY_SECONDS)
        if not commit:
            self._client.flush(_REQUEST_SECONDS)  # so that there is something to be aborted
        elif self._settle(self._client.commit_transaction):
            return True
        self._abort()
        self.aborted += 1
        return False

    def _abort(self) -> None:
        """Abort the transaction, whatever it takes.

        If the coordinator was out of reach it may never have heard of the transaction, and
        librdkafka takes the answer to its abort, INVALID_TXN_STATE, for fatal. Whoever begins anew
        with the same id has the coordinator abort what is open, if anything is.

        Raises:
            TrafficError: The coordinator does not take the new producer in time.
        """
        try:
            while not self._settle(self._client.abort_transaction):
                pass
        except TrafficError:
            self.renewed += 1
            self._client = self._new_client()
            self.begin(_TRANSACTION_SECONDS)

    def _settle(self, call: Callable[[float], None]) -> bool:
        """Ask until there is an answer; False if the transaction must be aborted."""
        while True:
            try:
                call(_REQUEST_SECONDS)
            except KafkaException as error:
                if self._judge(error.args[0]):
                    return False
            else:
                return True

    def _done(self, call: Callable[[float], None]) -> bool:
        """Ask once; False if it may be asked again."""
        try:
            call(_REQUEST_SECONDS)
        except KafkaException as error:
            self._judge(error.args[0])
            return False
        return True

    def _judge(self, error: KafkaError) -> bool:
        """Whether the transaction must be aborted; else it may be asked again.

        Raises:
            TrafficError: The producer is of no more use.
        """
        self._note(error)
        if error.txn_requires_abort():
            return True
        if error.retriable() or error.code() == KafkaError._TIMED_OUT:
            return False
        raise TrafficError(f"the transactional producer failed: {error.str()}")

    def _note(self, error: KafkaError) -> None:
        self.errors[error.name()] += 1

    def report(self) -> dict[str, Any]:
        """Return what it has done; the client's complaints since last asked."""
        errors, self.errors = dict(self.errors), Counter()
        return {
            "producer": self.options.producer,
            "acked": self.acked,
            "transactions": self.transactions,
            "aborted": self.aborted,
            "renewed": self.renewed,
            "ack_gap_s": round(self.clock.take(time.monotonic()), 3),
            "ack_gap_max_s": round(self.clock.longest, 3),
            "errors": errors,
        }


def transact(options: ProduceOptions) -> int:
    """Send until a signal or a failure; return the exit status.

    SIGUSR1 has it print what was committed so far.
    """
    stop, asked = stop_on_signals(), raised_by(signal.SIGUSR1)
    admin = admin_client(options.bootstrap)
    producer = TransactionalProducer(options, partitions_of(admin, options.prefix, _START_SECONDS))
    failure = ""
    try:
        producer.begin(_START_SECONDS)
        _send_until(stop, asked, producer)
    except TrafficError as error:
        failure = str(error)
    emit(
        "transacted",
        **producer.ledger.to_json(),
        total=producer.acked,
        sent=producer.acked,
        failed=0,
        unresolved=0,
        failure=failure,
        aborted=producer.aborted,
        ack_gap_max_s=round(producer.clock.longest, 3),
    )
    return 1 if failure else 0


def _send_until(stop: Event, asked: Event, producer: TransactionalProducer) -> None:
    now = time.monotonic()
    pacer, line_at = Pacer(producer.options.rate, now), now + _LINE_SECONDS
    while not stop.wait(max(0.0, now + TICK_SECONDS - time.monotonic())):
        now = time.monotonic()
        if due := pacer.due(now):
            producer.send(due)
        if asked.is_set():
            asked.clear()
            emit("ledger", **producer.ledger.to_json())
        if now >= line_at:
            emit("transact", **producer.report(), **producer.latencies.take())
            line_at = now + _LINE_SECONDS
