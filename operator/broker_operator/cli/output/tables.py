"""A plan's report for people: a summary, racks, and brokers with bars before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from broker_operator.api.quantity import format_bytes, format_seconds
from broker_operator.cli.errors import printable
from broker_operator.cli.output.screen import (
    can_show,
    console,
    grid,
    natural_width,
    print_whole,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.table import Table

    from broker_operator.core.planner.report import BrokerReport, RackReport, Report

MOST_ROWS = 40
"""Brokers or racks; of more, those that change most are shown."""
SHOWN = 20

_BARS = (12, 6, 0)
"""Characters of the longest bar, from the widest table to the narrowest."""
_NAMES = (20, 10, 4)
"""Characters of a rack's name, likewise, once there are no bars."""

_Row = TypeVar("_Row", "BrokerReport", "RackReport")


def show(
    report: Report,
    notes: Sequence[str] = (),
    *,
    without_throttle: str = "with --throttle, the time is told",
) -> None:
    """Print the report to standard output. `without_throttle`: what to say if there is none."""
    to = console()
    style = Style(to)
    _summary(report, to, notes, without_throttle)
    many = len(report.brokers) > MOST_ROWS
    if many and len(report.racks) > 1:
        to.print()
        _racks(report, to, style)
    to.print()
    _brokers(report, to, style)


class Style:
    """Characters that the console can show."""

    def __init__(self, to: Console) -> None:
        fine = can_show("█░→", to)
        self._block = "█" if fine else "#"
        self._rest = "░" if fine else "."
        self._arrow = "→" if fine else ">"

    def bar(self, value: int, most: int, width: int) -> str:
        """Return a bar for a value; whatever is not nothing is seen."""
        return self._block * max(int(value > 0), round(width * value / max(1, most)))

    def gauge(self, percent: int, width: int) -> str:
        """Return a bar with its rest, of always the same length."""
        full = min(width, width * percent // 100)
        return self._block * full + self._rest * (width - full)

    def change(self, before: int, after: int) -> str:
        """Return a number before and after."""
        return f"{before}{self._arrow}{after}"


def _summary(report: Report, to: Console, notes: Sequence[str], without_throttle: str) -> None:
    for line in _sentences(report, without_throttle):
        to.print(line)
    for note in notes:
        to.print(f"note: {printable(note)}")
    to.print()
    table = grid("", "before", "after")
    for name, before, after in (
        ("replicas: most over least", report.replica_spread_before, report.replica_spread),
        ("leaders: most over least", report.leader_spread_before, report.leader_spread),
        ("one topic: most over least", report.topic_spread_before, report.topic_spread),
        ("partitions above rack cap", report.rack_violations_before, report.rack_violations),
    ):
        table.add_row(name, str(before), str(after))
    to.print(table)


def _sentences(report: Report, without_throttle: str) -> list[str]:
    """Return what the numbers say, a line each."""
    if not report.changed_partitions:
        return [f"Plan {report.hash}: nothing to do."]
    fewest = "the fewest possible" if report.optimal else "perhaps not the fewest"
    moves, changed = _count(report.moves, "move"), _count(report.changed_partitions, "partition")
    lines = [
        f"Plan {report.hash}: {moves}, {fewest} (lower bound {report.lower_bound:,}).",
        f"{changed} to change, {report.leader_changes:,} of them the preferred leader.",
    ]
    if report.bytes:
        lines.append(
            f"{format_bytes(report.bytes)} to copy; no plan with this balance copies less than "
            f"{format_bytes(report.byte_bound)}."
        )
    if report.partitions_without_size:
        counted = "they count as the mean of the others" if report.bytes else "all count the same"
        lines.append(
            f"The sizes of {_count(report.partitions_without_size, 'partition')} are not known: "
            f"{counted}."
        )
    if _held_by_racks(report):
        lines.append("The rack rule allows no better balance of replicas.")
    lines.append(_batches(report, without_throttle))
    if report.pinned:
        lines.append(f"Not touched: {_count(len(report.pinned), 'pinned topic')}.")
    return lines


def _held_by_racks(report: Report) -> bool:
    """Whether racks alone can be why replicas are not even: nothing else stands in the way."""
    if report.replica_spread <= 1 or not report.optimal or report.excluded or report.pinned:
        return False
    targets = [broker for broker in report.brokers if broker.target]
    racks = {broker.rack for broker in targets}
    even = len({broker.weight for broker in targets}) == 1
    return even and None not in racks and len(racks) > 1


def _batches(report: Report, without_throttle: str) -> str:
    batches = _count(report.batches, "batch", "batches")
    if report.throttle is None:
        return f"{batches}; {without_throttle}."
    rate = f"{format_bytes(report.throttle)}/s a broker"
    if report.predicted_seconds is None or report.ideal_seconds is None:
        return f"{batches}; without sizes, the time at {rate} cannot be told."
    return (
        f"{batches}, {format_seconds(report.predicted_seconds)} at {rate} "
        f"(the busiest broker alone needs {format_seconds(report.ideal_seconds)})."
    )


def _racks(report: Report, to: Console, style: Style) -> None:
    racks = _most_changed(report.racks)
    most = max(max(r.replicas_before, r.replicas_after) for r in racks)

    def make(bar: int, name: int) -> Table:
        bars = ("before", "after") if bar else ()
        table = grid("rack", "replicas", *bars, "leaders", "bytes")
        for column in range(2, 2 + len(bars)):
            table.columns[column].justify = "left"
        for rack in racks:
            drawn = [style.bar(n, most, bar) for n in (rack.replicas_before, rack.replicas_after)]
            table.add_row(
                shortened(rack.rack or "(none)", name),
                style.change(rack.replicas_before, rack.replicas_after),
                *(drawn if bar else ()),
                style.change(rack.leaders_before, rack.leaders_after),
                format_bytes(rack.bytes_after),
            )
        return table

    print_whole(fitting(make, to), to)
    _left_out(len(report.racks) - len(racks), "rack", to)


def _brokers(report: Report, to: Console, style: Style) -> None:
    brokers = _most_changed(report.brokers)
    most = max((max(b.replicas_before, b.replicas_after) for b in brokers), default=0)
    copied = ("in", "out") if report.bytes else ()

    def make(bar: int, name: int) -> Table:
        bars = ("before", "after") if bar else ()
        table = grid("broker", "rack", "", "replicas", *bars, "leaders", *copied)
        for column in (1, 2, *range(4, 4 + len(bars))):
            table.columns[column].justify = "left"
        table.columns[0].justify = "right"
        for broker in brokers:
            counts = (broker.replicas_before, broker.replicas_after)
            amounts = (format_bytes(broker.bytes_in), format_bytes(broker.bytes_out))
            table.add_row(
                str(broker.id),
                shortened(broker.rack or "", name),
                _state(broker, report),
                style.change(*counts),
                *([style.bar(count, most, bar) for count in counts] if bar else ()),
                style.change(broker.leaders_before, broker.leaders_after),
                *(amounts if copied else ()),
            )
        return table

    print_whole(fitting(make, to), to)
    _left_out(len(report.brokers) - len(brokers), "broker", to)


def fitting(make: Callable[[int, int], Table], to: Console) -> Table:
    """Return the widest form of a table that fits. What has to go: bars first, numbers never.

    `make` gets the characters of the longest bar, none if 0, and those of a name.
    """
    forms = [*((bar, _NAMES[0]) for bar in _BARS), *((0, name) for name in _NAMES[1:])]
    tables = [make(*form) for form in forms]
    return next((table for table in tables if natural_width(table, to) <= to.width), tables[-1])


def _most_changed(rows: Sequence[_Row]) -> list[_Row]:
    """Return all rows if they are few, else those that change most, in their order."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    by_change = sorted(
        range(len(rows)), key=lambda i: (-abs(rows[i].replicas_after - rows[i].replicas_before), i)
    )
    return [rows[i] for i in sorted(by_change[:SHOWN])]


def _left_out(count: int, what: str, to: Console) -> None:
    if count:
        to.print(
            f"{_count(count, f'more {what}')} {'changes' if count == 1 else 'change'} as much as "
            "these or less; report.json and --format json have all."
        )


def _state(broker: BrokerReport, report: Report) -> str:
    if not broker.live:
        return "dead"
    if broker.id in report.removed:
        return "removed"
    if broker.id in report.excluded:
        return "excluded"
    return "new" if not broker.replicas_before and broker.replicas_after else ""


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
