"""What a producer was promised: exactly which sequence numbers of each partition were acked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.traffic.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Mapping

Partition = tuple[str, int]
"""Topic and partition number."""


@dataclass(slots=True)
class Ledger:
    """The acked sequence numbers of one producer.

    Attributes:
        producer: The name in its records.
        acked: Sequence numbers by partition; without a failure each is one range from 0.
    """

    producer: str
    acked: dict[Partition, Ranges] = field(default_factory=dict)

    def ack(self, partition: Partition, sequence: int) -> None:
        """Note that the brokers acknowledged this record."""
        self.acked.setdefault(partition, Ranges()).add(sequence)

    @property
    def total(self) -> int:
        """Number of acked records."""
        return sum(map(len, self.acked.values()))

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as it is printed: topic, then partition, then pairs first..last."""
        topics: dict[str, dict[str, list[list[int]]]] = {}
        for (topic, partition), acked in sorted(self.acked.items()):
            topics.setdefault(topic, {})[str(partition)] = [list(pair) for pair in acked]
        return {"producer": self.producer, "acked": topics}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ledger:
        """Read what `to_json` returned.

        Raises:
            KeyError: If a field is missing.
        """
        acked = {
            (topic, int(partition)): Ranges((first, last) for first, last in pairs)
            for topic, partitions in data["acked"].items()
            for partition, pairs in partitions.items()
        }
        return cls(data["producer"], acked)
