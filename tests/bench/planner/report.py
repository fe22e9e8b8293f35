"""What was measured, as tables for a terminal, as a page, and as series for the plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.bench.planner.judge import Verdict, judge, least_spread
from tests.bench.planner.shapes import CHANGES, REPLICATION
from tests.bench.planner.tools import OURS, TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.planner.measure import Result
    from tests.bench.planner.run import Record
    from tests.bench.planner.shapes import Shape

_PAGE = Path(__file__).with_name("page.md")
_HEADINGS = {
    "add": "Two brokers more: 30 -> 32",
    "remove": "One broker less: 30 -> 29",
    "skewed": "A skewed start: in each rack, loads from 1 to 10",
    "rackless": "A start that took no heed of racks",
}
_QUALITY = ("valid", "moves", "x fewest", "replicas", "leaders", "topic", "racks", "re-led")
_COST = ("seconds", "process", "MiB")
_GROWTH = ("change", "partitions", "brokers", "racks", "moves", "bound", "seconds", "per partition")


@dataclass(frozen=True, slots=True)
class Case:
    """A cluster, without its assignment, and what the tools made of it.

    Attributes:
        title: What it is, for a person.
        change: One of `CHANGES`.
        partitions: How many.
        brokers: Before and after.
        racks: How many.
        least: Replica spread of the best balance that the racks allow.
        start: The cluster before any plan, judged by its target brokers.
        results: By tool.
    """

    title: str
    change: str
    partitions: int
    brokers: tuple[int, int]
    racks: int
    least: int
    start: Verdict
    results: Mapping[str, Result]

    @classmethod
    def of(cls, shape: Shape, results: Mapping[str, Result]) -> Case:
        """Return what is to be kept of a cluster and its plans."""
        return cls(
            title=shape.title,
            change=shape.name,
            partitions=shape.partitions,
            brokers=shape.brokers,
            racks=len(set(shape.racks.values())),
            least=least_spread(shape),
            start=judge(shape, shape.topics),
            results=results,
        )

    @property
    def bound(self) -> int | None:
        """The fewest moves to a valid and balanced result, as ours counts them."""
        ours = self.results.get(OURS)
        return ours.told.get("lower_bound") if ours else None

    @property
    def per_partition(self) -> float:
        """Our seconds for each partition."""
        return self.results[OURS].seconds / self.partitions


def table(case: Case) -> Table:
    """Return what every tool made of one cluster."""
    fewest = f"fewest moves {case.bound:,}; " if case.bound is not None else ""
    shown = Table(
        title=f"{case.title}\n{fewest}least replica spread {case.least:,};"
        f" before: {case.start.replica_spread:,}, racks {case.start.rack_violations:,}",
        caption="\n".join(_reasons([case])),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("tool", no_wrap=True)
    for column in (*_QUALITY, *_COST):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, result in case.results.items():
        shown.add_row(TOOLS[name].title, *_row(case, result))
    return shown


def growth_table(cases: Sequence[Case]) -> Table:
    """Return how ours grows."""
    shown = Table(title=f"broker-operator alone, replication factor {REPLICATION}", box=SIMPLE_HEAD)
    for column in (*_GROWTH, "MiB"):
        shown.add_column(column, justify="right", no_wrap=True)
    for row in _growth_rows(cases):
        shown.add_row(*row)
    return shown


def page(record: Record) -> str:
    """Return the whole page for docs/benchmarks."""
    parts = []
    for change in CHANGES:
        if cases := [case for case in record.cases if case.change == change]:
            parts += [f"### {_HEADINGS[change]}", _markdown(_compared(cases)), *_reasons(cases)]
    absent = [
        f"{TOOLS[name].title} is not in the tables: {why}." for name, why in record.absent.items()
    ]
    return Template(_PAGE.read_text()).substitute(
        date=record.machine.date,
        hardware=record.machine.hardware,
        software=record.machine.software,
        limit=f"{record.limit:g}",
        compared="\n\n".join([*parts, *absent]),
        growth=_markdown([[*_GROWTH, "MiB"], *_growth_rows(record.growth)]),
        footprint=f"{record.footprint:.0f}",
    )


def series(record: Record) -> dict[str, Any]:
    """Return what the plot shows."""
    return {
        "limit": record.limit,
        "tools": {name: tool.title for name, tool in TOOLS.items()},
        "headings": _HEADINGS,
        "cases": [
            {
                "change": case.change,
                "partitions": case.partitions,
                "tool": name,
                "seconds": result.seconds if result.verdict else None,
                "over": result.outcome.startswith("over"),
                "moves": result.verdict.moves if result.verdict else None,
                "bound": case.bound,
            }
            for case in record.cases
            for name, result in case.results.items()
        ],
        "growth": [
            {
                "change": case.change,
                "replicas": case.partitions * REPLICATION,
                "brokers": case.brokers[0],
                "seconds": case.results[OURS].seconds,
            }
            for case in record.growth
            if case.results[OURS].verdict
        ],
    }


def _row(case: Case, result: Result) -> list[str]:
    verdict = result.verdict
    if verdict is None:
        return [*[""] * len(_QUALITY), result.outcome, "", ""]
    return [
        "yes" if verdict.valid else "NO",
        f"{verdict.moves:,}",
        f"{verdict.moves / case.bound:.2f}" if case.bound else "",
        f"{verdict.replica_spread:,}",
        f"{verdict.leader_spread:,}",
        f"{verdict.topic_spread:,}",
        f"{verdict.rack_violations:,}",
        f"{verdict.leader_changes:,}",
        _seconds(result.seconds),
        _seconds(result.process),
        f"{result.peak:.0f}",
    ]


def _compared(cases: Sequence[Case]) -> Iterator[Sequence[str]]:
    yield ["partitions", "tool", *_QUALITY, *_COST]
    for case in cases:
        bound = f"{case.bound:,}" if case.bound is not None else ""
        yield [f"{case.partitions:,}", "*the best there is*", "", bound, "", f"{case.least:,}"]
        for name, result in case.results.items():
            title = f"**{TOOLS[name].title}**" if name == OURS else TOOLS[name].title
            yield ["", title, *_row(case, result)]


def _growth_rows(cases: Sequence[Case]) -> Iterator[list[str]]:
    base: dict[str, float] = {}
    for case in cases:
        result = case.results[OURS]
        before, after = case.brokers
        known = [
            case.change,
            f"{case.partitions:,}",
            f"{before} -> {after}",
            f"{case.racks}",
        ]
        if result.verdict is None:
            yield [*known, "", "", result.outcome]
            continue
        ratio = case.per_partition / base.setdefault(case.change, case.per_partition)
        yield [
            *known,
            f"{result.verdict.moves:,}",
            f"{case.bound:,}",
            _seconds(result.seconds),
            f"x {ratio:.2f}",
            f"{result.peak:.0f}",
        ]


def _reasons(cases: Sequence[Case]) -> list[str]:
    """Return why tools failed, a line for each; being too slow needs no reason."""
    return [
        f"{TOOLS[name].title} failed at {case.partitions:,} partitions: {result.reason}"
        for case in cases
        for name, result in case.results.items()
        if result.reason
    ]


def _markdown(rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    head, *body = [list(row) for row in rows]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(
        f"| {' | '.join([*line, *[''] * (len(head) - len(line))])} |" for line in lines
    )


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.1f}"
