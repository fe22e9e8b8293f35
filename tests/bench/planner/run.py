"""The two runs: beside other tools, and ours alone as clusters grow; and what is kept of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.planner import report
from tests.bench.planner.machine import Machine
from tests.bench.planner.measure import Result, measure
from tests.bench.planner.shapes import CHANGES, GROWTH, SIZES, Shape, shape
from tests.bench.planner.tools import OURS, TOOLS, environment
from tests.cluster.cache import scratch_folder
from tests.cluster.errors import ClusterError
from tests.cluster.progress import say
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

_GROWTH_LIMIT = 600.0
_PLOT = Path(__file__).with_name("plot.py")


@dataclass(slots=True)
class Record:
    """All that was measured."""

    machine: Machine
    limit: float
    cases: list[report.Case] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    growth: list[report.Case] = field(default_factory=list)
    footprint: float = 0.0


def compare(
    console: Console,
    *,
    limit: float,
    sizes: Sequence[int] = SIZES,
    changes: Sequence[str] = CHANGES,
    tools: Sequence[str] = tuple(TOOLS),
) -> Record:
    """Have every tool plan for every cluster; print a table for each.

    A tool that was over the limit, or had no plan, is not tried on larger clusters of that kind.
    """
    record = Record(Machine.here(), limit)
    commands = _prepared(tools, record.absent)
    for change in changes:
        beaten: set[str] = set()
        for partitions in sizes:
            asked = shape(change, partitions)
            results: dict[str, Result] = {}
            for name, command in commands.items():
                if name in beaten:
                    results[name] = Result(outcome="not tried")
                    continue
                say(f"{asked.title}: {TOOLS[name].title}")
                results[name] = _measured(command, asked, limit, results)
                if results[name].verdict is None and name != OURS:
                    beaten.add(name)
            record.cases.append(report.Case.of(asked, results))
            console.print(report.table(record.cases[-1]))
    for name, reason in record.absent.items():
        console.print(f"{TOOLS[name].title} is not here: {reason}", highlight=False)
    return record


def grow(console: Console) -> list[report.Case]:
    """Have ours plan for ever larger clusters; print one table."""
    command = TOOLS[OURS].prepare()
    cases = []
    for change, partitions, brokers, racks in GROWTH:
        asked = shape(change, partitions, brokers, racks)
        say(f"{asked.title}: {TOOLS[OURS].title}")
        cases.append(report.Case.of(asked, {OURS: _measured(command, asked, _GROWTH_LIMIT, {})}))
    console.print(report.growth_table(cases))
    return cases


def prepare_plot() -> None:
    """Install what draws.

    Raises:
        ClusterError: It cannot be installed.
    """
    environment("plot")


def write(record: Record, folder: Path) -> None:
    """Write planner.md and planner.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "planner.md").write_text(report.page(record))
    with scratch_folder("bench") as scratch:
        series = Path(scratch) / "series.json"
        series.write_text(json.dumps(report.series(record)))
        python = environment("plot")
        configured = {"MPLCONFIGDIR": scratch, "MPLBACKEND": "svg"}
        run([python, "-I", _PLOT, series, folder / "planner.svg"], timeout=120, env=configured)


def shown(path: Path) -> str:
    """Return a path as seen from where this was started, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _prepared(tools: Sequence[str], absent: dict[str, str]) -> dict[str, list[str]]:
    commands = {}
    for name in tools:
        try:
            commands[name] = TOOLS[name].prepare()
        except ClusterError as error:
            absent[name] = str(error).splitlines()[0]
    return commands


def _measured(
    command: Sequence[str], asked: Shape, limit: float, before: dict[str, Result]
) -> Result:
    bound = before[OURS].told.get("lower_bound", 0) if OURS in before else 0
    with scratch_folder("bench") as folder:
        return measure(command, asked, Path(folder), limit=limit, moves=bound)
