"""The account at the end, and whether it is a good one. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table

from broker_operator.api.quantity import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.demo.model import Move
    from tests.demo.watch import Removal
    from tests.traffic.checker import Verdict
    from tests.traffic.pods import Outcome


Assignment = dict[tuple[str, int], set[int]]
"""Topic and partition -> brokers that hold it."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """One `kubectl scale` and what came of it; seconds since the command.

    Attributes:
        move: The Reassignment at its end, as the operator tells it.
        moves: Replicas that came to a broker which did not hold them, as the brokers tell it.
        fewest: The lower bound, counted from what the brokers told before.
    """

    title: str
    move: Move
    moves: int
    fewest: int
    stateful_set: float
    first_move: float
    moved: float
    settled: float


@dataclass(slots=True)
class Account:
    """Everything that the summary tells.

    Attributes:
        phases: Name and seconds of each phase, in order.
        p99_before, p99_during: Highest p99 of any second, in milliseconds.
        expected: Brokers that had to go.
    """

    phases: list[tuple[str, float]] = field(default_factory=list)
    scalings: list[Scaling] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    expected: tuple[int, ...] = (3,)
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    p99_before: float = 0.0
    p99_during: float = 0.0

    def faults(self) -> list[str]:
        """Return what went wrong, in sentences; nothing if all is well."""
        found = [
            f"{s.title}: {s.moves} moves, but {s.fewest} would have done"
            for s in self.scalings
            if s.moves > s.fewest
        ]
        for removal in self.removals:
            if removal.replicas is None:
                found.append(f"broker {removal.broker} left, and nobody saw it empty")
            elif removal.replicas:
                found.append(f"broker {removal.broker} left with {removal.replicas} replicas")
        gone = {removal.broker for removal in self.removals}
        found += [
            f"broker {broker} did not leave" for broker in self.expected if broker not in gone
        ]
        if self.verdict is None or self.outcome is None:
            return [*found, "the traffic was not checked to its end"]
        return found + self.outcome.faults(self.verdict)


def count_moves(before: Assignment, after: Assignment) -> int:
    """Count the replicas on brokers that did not hold them before."""
    return sum(len(brokers - before[tp]) for tp, brokers in after.items() if tp in before)


def fewest_moves(before: Assignment, brokers: Iterable[int]) -> int:
    """Count what any balanced result needs: each broker ends within one replica of the others.

    What lies on brokers that go must move, and so must what others hold above their share. Of those
    above it, as many as do not divide evenly keep one more.
    """
    held = Counter(broker for replicas in before.values() for broker in replicas)
    staying = {broker: held.pop(broker, 0) for broker in brokers}
    share, rest = divmod(held.total() + sum(staying.values()), len(staying))
    above = [count - share for count in staying.values() if count > share]
    return held.total() + sum(above) - min(rest, len(above))


def tables(account: Account) -> list[Table]:
    """Return the account as tables."""
    return [_phases(account), _scalings(account), _traffic(account)]


def _phases(account: Account) -> Table:
    table = Table(title="time")
    table.add_column("phase")
    table.add_column("took", justify="right")
    for name, seconds in account.phases:
        table.add_row(name, format_seconds(seconds))
    table.add_row("total", format_seconds(sum(seconds for _, seconds in account.phases)))
    return table


def _scalings(account: Account) -> Table:
    table = Table(title="scaling (seconds since kubectl scale)")
    for column in ("", "moves", "bound", "bytes", "StatefulSet", "first move", "moved", "settled"):
        table.add_column(column, justify="right" if column else "left")
    for s in account.scalings:
        table.add_row(
            s.title,
            str(s.moves),
            str(s.fewest),
            format_bytes(s.move.bytes),
            *(f"{seconds:.1f}" for seconds in (s.stateful_set, s.first_move, s.moved, s.settled)),
        )
    for removal in account.removals:
        seen = "?" if removal.replicas is None else removal.replicas
        table.caption = f"broker {removal.broker} left with {seen} replicas, say the brokers"
    return table


def _traffic(account: Account) -> Table:
    table = Table(title="checked traffic", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    outcome, verdict = account.outcome, account.verdict
    if outcome:
        table.add_row("acked", f"{outcome.acked:,}")
        table.add_row("consumed", f"{outcome.consumed.get('consumed', 0):,}")
        table.add_row("longest time without a broker", f"{outcome.ack_gap_max_s:.1f} s")
    if verdict:
        for name in ("missing", "reordered", "duplicated"):
            table.add_row(name, str(getattr(verdict, name)))
    table.add_row("highest p99 before", f"{account.p99_before:.0f} ms")
    table.add_row("highest p99 during", f"{account.p99_during:.0f} ms")
    return table
