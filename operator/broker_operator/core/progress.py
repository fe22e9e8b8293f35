"""How far a reassignment is, how fast it goes, and when it will be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker_operator.api.quantity import format_seconds
from broker_operator.core.model import Ensemble, KafkaView, TopicPartition, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import Assignment, BrokerId, Sizes
    from broker_operator.core.planner.remaining import Remaining

SLOWEST = 3
"""Partitions in flight that a report names."""
MIN_RATE_SECONDS = 3.0
"""A rate over less time than this would be noise: fetches arrive in steps."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a reassignment under way.

    Attributes:
        moves_done: Replicas that are full members where the plan wants them.
        bytes_done: Their bytes, and what has arrived of those in flight.
        bytes_per_second: Mean over the samples; None while there are too few.
        slowest: Partitions in flight with the least of their bytes copied.
    """

    moves: int
    moves_done: int
    bytes: int
    bytes_done: int
    bytes_per_second: int | None
    slowest: tuple[tuple[TopicPartition, str], ...]

    @property
    def percent(self) -> int:
        """How much is done: by bytes if there are any, else by moves; 100 only at the end."""
        if self.moves_done >= self.moves:
            return 100
        done, total = self.moves_done, self.moves
        if self.bytes:
            done, total = self.bytes_done, self.bytes
        return min(99, max(0, 100 * done // total))

    @property
    def eta(self) -> str:
        """Time left at the present rate, such as `1m40s`; empty while it cannot be told."""
        if not self.bytes_per_second or self.moves_done >= self.moves:
            return ""
        return format_seconds(max(0, self.bytes - self.bytes_done) / self.bytes_per_second)

    def as_status(self) -> dict[str, Any]:
        """Return it in the form of `Reassignment.status.progress`."""
        report: dict[str, Any] = {
            "movesDone": self.moves_done,
            "bytesDone": self.bytes_done,
            "percent": self.percent,
        }
        if self.bytes_per_second is not None:
            report["bytesPerSecond"] = self.bytes_per_second
        if self.eta:
            report["eta"] = self.eta
        if self.slowest:
            report["slowest"] = [
                {"topic": tp.topic, "partition": tp.partition, "reason": reason}
                for tp, reason in self.slowest
            ]
        return report


def measure(
    reassignment: Reassignment,
    target: Assignment,
    ensemble: Ensemble,
    kafka: KafkaView | Unknown,
    *,
    left: Remaining,
    sizes: Sizes,
) -> Progress:
    """Compare the live state with the plan. The rate is left open: see `rate`."""
    arrived = 0
    flying: list[tuple[float, TopicPartition, str]] = []
    for tp in left.partitions:
        state = ensemble.topics[tp.topic][tp.partition]
        size = sizes.get(tp.topic, {}).get(tp.partition, 0)
        for broker in set(state.adding).intersection(target[tp.topic][tp.partition]):
            copied = min(size, _on_disk(kafka, broker, tp))
            share = copied / size if size else 0.0
            arrived += copied
            flying.append((share, tp, _reason(broker, share, ensemble)))
    done = reassignment.bytes - left.bytes + arrived
    return Progress(
        moves=reassignment.moves,
        moves_done=max(0, reassignment.moves - left.moves),
        bytes=reassignment.bytes,
        bytes_done=min(reassignment.bytes, max(0, done)),
        bytes_per_second=None,
        slowest=tuple((tp, why) for _, tp, why in sorted(flying)[:SLOWEST]),
    )


def rate(samples: Sequence[tuple[float, int]]) -> int | None:
    """Bytes per second over (seconds, bytes done) samples, None if they tell nothing."""
    if not samples:
        return None
    (start, first), (end, last) = samples[0], samples[-1]
    if end - start < MIN_RATE_SECONDS or last < first:
        return None
    return round((last - first) / (end - start))


def _on_disk(kafka: KafkaView | Unknown, broker: BrokerId, tp: TopicPartition) -> int:
    logs = Unknown("") if isinstance(kafka, Unknown) else kafka.logs.get(broker, Unknown(""))
    return 0 if isinstance(logs, Unknown) else logs.sizes.get(tp.topic, {}).get(tp.partition, 0)


def _reason(broker: BrokerId, share: float, ensemble: Ensemble) -> str:
    if broker not in ensemble.brokers:
        return f"broker {broker} is not registered"
    return f"{share:.0%} has arrived at broker {broker}"
