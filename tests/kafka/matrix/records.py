"""Checked records on live brokers, while a test does them harm."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from tests.traffic.checker import compare
from tests.traffic.client import TrafficError, admin_client, end_offsets
from tests.traffic.meters import Pacer
from tests.traffic.produce import TICK_SECONDS, CheckedProducer, ProduceOptions
from tests.traffic.transact import TICK_SECONDS as TRANSACTION_SECONDS
from tests.traffic.transact import TransactionalProducer
from tests.traffic.verify import read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.traffic.ledger import Partition

RATE = 200.0
"""Records per second, over all partitions, if not told otherwise."""
DEADLINE = 60.0
"""Seconds for outstanding records, once nothing harms the brokers any more, or for reading all."""


class Records:
    """Fills partitions, goes on writing to them, and tells in the end whether all of it is there.

    Idempotent producers with acks=all, as in `tests/traffic`, in threads of this process.

    Args:
        bootstrap: Of the brokers.
        partitions: All of them are written to.
        transactional: Whether what is written after the fill is written in transactions: whoever
            starts brokers meanwhile needs that, see `tests.traffic.produce`.
        rate: Records per second after the fill, over all partitions.
    """

    def __init__(
        self,
        bootstrap: str,
        partitions: Sequence[Partition],
        *,
        transactional: bool = False,
        rate: float = RATE,
    ) -> None:
        self._bootstrap = bootstrap
        self._rate = rate
        self._partitions = list(partitions)
        self._producers: list[CheckedProducer | TransactionalProducer] = []
        self._failure = ""
        self._stop = threading.Event()
        write = self._transact if transactional else self._write
        self._thread = threading.Thread(target=write, name="writer", daemon=True)

    def fill(self, size: int) -> None:
        """Put about so many bytes into each partition.

        Raises:
            RuntimeError: Not all of them were acked.
        """
        producer = CheckedProducer(self._options("filler", size=16 * 1024), self._partitions)
        self._producers.append(producer)
        for _ in self._partitions:
            for _ in range(-(-size // producer.options.size)):
                while not producer.send():
                    if producer.failure:
                        raise RuntimeError(producer.failure)
                    producer.poll(TICK_SECONDS)
            producer.turn()
        self._flush(producer)
        if self._failure:
            raise RuntimeError(self._failure)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def verify(self) -> None:
        """Stop writing, and read everything from the start.

        Raises:
            AssertionError: A record that was acked is missing, damaged, doubled or out of order.
            RuntimeError: A record was refused for good.
        """
        self.__exit__()
        if self._failure:
            raise RuntimeError(self._failure)
        assert self.acked > 0
        end = time.monotonic() + DEADLINE
        ends = end_offsets(admin_client(self._bootstrap), self._partitions, DEADLINE)
        ledgers = [producer.ledger for producer in self._producers]
        verdict = compare(read_log(self._bootstrap, ends, end), ledgers)
        assert verdict.clean, verdict

    @property
    def acked(self) -> int:
        """Records written since the fill that the brokers have acknowledged."""
        return sum(p.acked for p in self._producers if p.options.producer == "writer")

    def _options(self, name: str, size: int) -> ProduceOptions:
        return ProduceOptions(
            self._bootstrap, prefix="", producer=name, rate=self._rate, size=size, flush=DEADLINE
        )

    def _write(self) -> None:
        producer = CheckedProducer(self._options("writer", size=200), self._partitions)
        self._producers.append(producer)
        pacer = Pacer(self._rate, time.monotonic())
        while not self._stop.is_set():
            producer.turn()
            for _ in range(pacer.due(time.monotonic())):
                if not producer.send():
                    break
            end = time.monotonic() + TICK_SECONDS
            while (left := end - time.monotonic()) > 0:
                producer.poll(left)
        self._flush(producer)

    def _flush(self, producer: CheckedProducer) -> None:
        left = producer.flush(DEADLINE)
        if left or producer.failure:
            self._failure = f"{left} records are not acked; {producer.failure}"

    def _transact(self) -> None:
        producer = TransactionalProducer(self._options("writer", size=200), self._partitions)
        self._producers.append(producer)
        try:
            producer.begin(DEADLINE)
            pacer = Pacer(self._rate, time.monotonic())
            while not self._stop.wait(TRANSACTION_SECONDS):
                if due := pacer.due(time.monotonic()):
                    producer.send(due)
        except TrafficError as error:
            self._failure = str(error)
