"""What a reader of the log saw, and whether it is what the producers were promised.

One state machine for each partition. It judges by offset first: an offset that was read before is
a redelivery (groups deliver at least once), never a fault of the log; a sequence number that was
read before *at another offset* is a duplicate in the log.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.traffic.ranges import Ranges
from tests.traffic.record import CorruptRecordError, Record, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.traffic.ledger import Ledger, Partition

_MAX_EXAMPLES = 10


class Finding(enum.Enum):
    """What one delivered message turned out to be."""

    FRESH = "fresh"  # in its place; it may leave a gap behind it
    REORDERED = "reordered"  # its place was before one already read
    DUPLICATED = "duplicated"  # already read at another offset
    CORRUPT = "corrupt"  # not what was written, or written elsewhere
    REDELIVERED = "redelivered"  # the same message once more
    REWRITTEN = "rewritten"  # an offset read before now holds another record


@dataclass(slots=True)
class PartitionChecker:
    """The log of one partition as far as it was read, and its faults."""

    topic: str
    partition: int
    counts: Counter[Finding] = field(default_factory=Counter)
    seen: dict[str, Ranges] = field(default_factory=dict)
    first_offset: int = -1
    next_offset: int = -1
    skipped: int = 0
    """Offsets that were jumped over: retention or a lost tail, as nothing else leaves holes."""
    doubles: list[str] = field(default_factory=list)
    """The first duplicates, in words, with their offsets: by these Kafka's own tools find them."""

    def observe(self, offset: int, value: bytes | None) -> tuple[Finding, Record | None]:
        """Take in the next message; return what it is, and the record unless corrupt."""
        record = self._decode(value)
        finding = self._judge(offset, record)
        self.counts[finding] += 1
        return finding, record

    def _decode(self, value: bytes | None) -> Record | None:
        try:
            record = decode(value)
        except CorruptRecordError:
            return None
        at_home = (record.topic, record.partition) == (self.topic, self.partition)
        return record if at_home else None

    def _judge(self, offset: int, record: Record | None) -> Finding:
        again = offset < self.next_offset
        if again:
            return self._judge_again(record)
        if self.first_offset < 0:
            self.first_offset = offset
        else:
            self.skipped += offset - self.next_offset
        self.next_offset = offset + 1
        if record is None:
            return Finding.CORRUPT
        seen = self.seen.setdefault(record.producer, Ranges())
        in_order = record.sequence > seen.highest
        if not seen.add(record.sequence):
            if len(self.doubles) < _MAX_EXAMPLES:
                where = f"{self.topic}-{self.partition} {record.producer}"
                self.doubles.append(f"{where} {record.sequence} again at offset {offset}")
            return Finding.DUPLICATED
        return Finding.FRESH if in_order else Finding.REORDERED

    def _judge_again(self, record: Record | None) -> Finding:
        if record is None:  # counted when it was read first
            return Finding.REDELIVERED
        known = record.sequence in self.seen.get(record.producer, ())
        return Finding.REDELIVERED if known else Finding.REWRITTEN

    @property
    def missing(self) -> int:
        """Gaps between the records read: from 0 if the log was read from its start."""
        return sum(self._gaps(seen) for seen in self.seen.values())

    def _gaps(self, seen: Ranges) -> int:
        start = 0 if self.first_offset == 0 else seen.lowest
        return seen.highest + 1 - start - len(seen)


@dataclass(slots=True)
class LogChecker:
    """All partitions that a reader reads."""

    partitions: dict[Partition, PartitionChecker] = field(default_factory=dict)

    def observe(
        self, topic: str, partition: int, offset: int, value: bytes | None
    ) -> tuple[Finding, Record | None]:
        """Take in the next message of a partition; see `PartitionChecker.observe`."""
        key = (topic, partition)
        checker = self.partitions.get(key)
        if checker is None:
            checker = self.partitions[key] = PartitionChecker(topic, partition)
        return checker.observe(offset, value)

    def totals(self) -> dict[str, int]:
        """Return the counts over all partitions; `consumed` counts each record once."""
        counts: Counter[Finding] = Counter()
        for checker in self.partitions.values():
            counts.update(checker.counts)
        return {
            "consumed": counts[Finding.FRESH] + counts[Finding.REORDERED],
            "missing": sum(checker.missing for checker in self.partitions.values()),
            "reordered": counts[Finding.REORDERED],
            "duplicated": counts[Finding.DUPLICATED],
            "corrupt": counts[Finding.CORRUPT],
            "rewritten": counts[Finding.REWRITTEN],
            "skipped": sum(checker.skipped for checker in self.partitions.values()),
            "redelivered": counts[Finding.REDELIVERED],
        }

    def high_water(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return topic -> partition -> producer -> the highest sequence number read."""
        marks: dict[str, dict[str, dict[str, int]]] = {}
        for (topic, partition), checker in sorted(self.partitions.items()):
            marks.setdefault(topic, {})[str(partition)] = {
                producer: seen.highest for producer, seen in sorted(checker.seen.items())
            }
        return marks


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole log against the ledgers of all producers.

    Attributes:
        acked: Records that the brokers acknowledged.
        found: Acked records that the log holds.
        missing: Acked records that it does not hold: lost.
        reordered: Records behind a later one of the same producer and partition.
        duplicated: Records that the log holds more than once.
        corrupt: Messages that are not what was written.
        unacked: Records in the log that were never acked: allowed, a producer may have died.
        examples: Up to ten of the lost ranges, and of the duplicates, in words.
    """

    acked: int
    found: int
    missing: int
    reordered: int
    duplicated: int
    corrupt: int
    unacked: int
    examples: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is missing, out of order, doubled or damaged."""
        return not (self.missing or self.reordered or self.duplicated or self.corrupt)


def compare(log: LogChecker, ledgers: Iterable[Ledger]) -> Verdict:
    """Judge a log that was read from start to end by what its producers were promised."""
    acked = missing = 0
    examples: list[str] = []
    for ledger in ledgers:
        acked += ledger.total
        for partition, promised in ledger.acked.items():
            lost = promised.minus(_seen(log, partition, ledger.producer))
            missing += len(lost)
            examples += [
                f"{partition[0]}-{partition[1]} {ledger.producer} {first}..{last}"
                for first, last in lost
            ]
    examples += [double for checker in log.partitions.values() for double in checker.doubles]
    totals = log.totals()
    return Verdict(
        acked=acked,
        found=acked - missing,
        missing=missing,
        reordered=totals["reordered"],
        duplicated=totals["duplicated"],
        corrupt=totals["corrupt"],
        unacked=totals["consumed"] - (acked - missing),
        examples=tuple(examples[:_MAX_EXAMPLES]),
    )


def _seen(log: LogChecker, partition: Partition, producer: str) -> Ranges:
    checker = log.partitions.get(partition)
    return checker.seen.get(producer, Ranges()) if checker else Ranges()
