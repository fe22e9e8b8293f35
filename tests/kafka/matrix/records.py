"""Checked records on live brokers, while a test does them harm."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from tests.traffic.checker import compare
from tests.traffic.client import admin_client, end_offsets
from tests.traffic.meters import Pacer
from tests.traffic.produce import TICK_SECONDS, CheckedProducer, ProduceOptions
from tests.traffic.verify import read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.traffic.ledger import Ledger, Partition

RATE = 200.0
"""Records per second, over all partitions."""
DEADLINE = 60.0
"""Seconds for outstanding records, once nothing harms the brokers any more, or for reading all."""


class Records:
    """Fills partitions, goes on writing to them, and tells in the end whether all of it is there.

    Idempotent producers with acks=all, as in `tests/traffic`, in threads of this process.
    """

    def __init__(self, bootstrap: str, partitions: Sequence[Partition]) -> None:
        self._bootstrap = bootstrap
        self._partitions = list(partitions)
        self._ledgers: list[Ledger] = []
        self._stop = threading.Event()
        self._writer = self._producer("writer", size=200)
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)

    def fill(self, size: int) -> None:
        """Put about so many bytes into each partition.

        Raises:
            RuntimeError: Not all of them were acked.
        """
        producer = self._producer("filler", size=16 * 1024)
        for _ in self._partitions:
            for _ in range(-(-size // producer.options.size)):
                while not producer.send():
                    if producer.failure:
                        raise RuntimeError(producer.failure)
                    producer.poll(TICK_SECONDS)
            producer.turn()
        self._end(producer)

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
        self._end(self._writer)
        assert self._writer.acked > 0
        end = time.monotonic() + DEADLINE
        ends = end_offsets(admin_client(self._bootstrap), self._partitions, DEADLINE)
        verdict = compare(read_log(self._bootstrap, ends, end), self._ledgers)
        assert verdict.clean, verdict

    @property
    def acked(self) -> int:
        """Records written since the fill that the brokers have acknowledged."""
        return self._writer.acked

    def _producer(self, name: str, size: int) -> CheckedProducer:
        options = ProduceOptions(
            self._bootstrap, prefix="", producer=name, rate=RATE, size=size, flush=DEADLINE
        )
        producer = CheckedProducer(options, self._partitions)
        self._ledgers.append(producer.ledger)
        return producer

    def _write(self) -> None:
        pacer = Pacer(RATE, time.monotonic())
        while not self._stop.is_set():
            self._writer.turn()
            for _ in range(pacer.due(time.monotonic())):
                if not self._writer.send():
                    break
            end = time.monotonic() + TICK_SECONDS
            while (left := end - time.monotonic()) > 0:
                self._writer.poll(left)

    def _end(self, producer: CheckedProducer) -> None:
        left = producer.flush(DEADLINE)
        if left or producer.failure:
            raise RuntimeError(f"{left} records are not acked; {producer.failure}")
