"""How far a reassignment is, as it is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from broker_operator.api.quantity import format_bytes, format_seconds
from broker_operator.core.slowest import slowest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import TopicPartition
    from broker_operator.core.pace import Pace
    from broker_operator.core.planner.remaining import Remaining

DONE = 100
"""Percent."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a reassignment under way.

    Attributes:
        plan: Hash of the plan that it speaks of.
        moves_done: Replicas that are full members where the plan wants them.
        bytes_done: Bytes that were copied, what has arrived of those in flight included.
        percent: How much is done, 0 to 100; 100 only when everything is.
        bytes_per_second: Over the last minute; None while it cannot be told.
        seconds_left: Until every move is done; None while it cannot be told.
        slowest: Partitions in flight that need most patience, and why.
        note: Why it shows less than it did; empty if it never fell.
    """

    plan: str
    moves_done: int
    bytes_done: int
    percent: int
    bytes_per_second: int | None = None
    seconds_left: float | None = None
    slowest: tuple[tuple[TopicPartition, str], ...] = ()
    note: str = ""

    @property
    def eta(self) -> str:
        """Time left, such as `1m40s`; empty while it cannot be told, and when all is done."""
        if self.seconds_left is None or not self.bytes_per_second or self.percent == DONE:
            return ""
        return format_seconds(self.seconds_left)

    def as_status(self) -> dict[str, Any]:
        """Return it in the form of `Reassignment.status.progress`."""
        report: dict[str, Any] = {
            "plan": self.plan,
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
        if self.note:
            report["note"] = self.note
        return report


def measure(active: Reassignment, left: Remaining, pace: Pace | None) -> Progress:
    """Say how far a reassignment is.

    Args:
        active: With what is planned.
        left: What the live state still lacks.
        pace: After the last look; None if Kafka has never told what has arrived.
    """
    moves_done = max(0, active.moves - left.moves)
    done, total = moves_done, active.moves
    if pace is not None and active.bytes:
        done, total = active.bytes - _planned_rest(pace), active.bytes
    percent = DONE if left.done else min(DONE - 1, max(0, DONE * done // max(1, total)))
    if pace is None:
        return Progress(active.plan_hash, moves_done, 0, percent)
    return Progress(
        plan=active.plan_hash,
        moves_done=moves_done,
        bytes_done=pace.done,
        percent=percent,
        bytes_per_second=pace.bytes_per_second,
        seconds_left=pace.seconds_left,
        slowest=slowest(pace, active.throttle),
    )


def _planned_rest(pace: Pace) -> int:
    """Return what has not arrived in bytes as they were when the plan was first looked at.

    In bytes of now, producers that write to what waits to be moved would turn progress back.
    """
    look, rest = pace.look, 0
    for move, size in look.left.items():
        base = pace.base.get(move, size)
        rest += base * look.rest(move) // size if size else base
    return rest


def falls(shown: Mapping[str, Any], measured: Progress) -> bool:
    """Whether a figure would go back; what is shown for another plan is no measure."""
    return shown.get("plan") == measured.plan and any(
        value < shown.get(key, 0)
        for key, value in (
            ("percent", measured.percent),
            ("movesDone", measured.moves_done),
            ("bytesDone", measured.bytes_done),
        )
    )


def monotone(shown: Mapping[str, Any], measured: Progress, causes: Sequence[str]) -> Progress:
    """Hold each figure where it is shown already, unless there is a cause, which is then said.

    Args:
        shown: `status.progress` as it is; its `plan` tells which plan it is about.
        measured: What was found now.
        causes: Why less may be done than before, in sentences.
    """
    if shown.get("plan") != measured.plan:
        return measured
    note = str(shown.get("note") or "")
    if not falls(shown, measured):
        return replace(measured, note=note)
    if causes:
        percent, count = shown.get("percent", 0), shown.get("bytesDone", 0)
        fell = f"was {percent} % and {format_bytes(count)} before: "
        return replace(measured, note=fell + "; ".join(causes))
    return replace(
        measured,
        moves_done=max(measured.moves_done, shown.get("movesDone", 0)),
        bytes_done=max(measured.bytes_done, shown.get("bytesDone", 0)),
        percent=_held(shown.get("percent", 0), measured.percent),
        note=note,
    )


def _held(shown: int, measured: int) -> int:
    """A hundred is never held: it means that everything is done now."""
    return max(measured, min(shown, DONE - 1))
