"""`broker-operator verify`: where does a plan stand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broker_operator.cli import inputs
from broker_operator.cli.cluster import Cluster
from broker_operator.cli.errors import INCOMPLETE, InputError, printable
from broker_operator.cli.output.files import PLAN, REPORT, UNDO, as_text
from broker_operator.cli.output.progress import without_garbage_collection
from broker_operator.cli.output.screen import (
    console,
    grid,
    natural_width,
    print_whole,
    shortened,
    showing,
)
from broker_operator.cli.parameters import Interruptible, check_source, format_option, live_options
from broker_operator.cli.standing import MadePlan, stand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from broker_operator.cli.standing import PartitionStanding, Standing
    from broker_operator.core.model import Assignment, Replicas

_LISTED = 20
_SHORTEST = 12
"""Characters that are left of a name, however narrow the terminal is."""


@click.command(cls=Interruptible)
@click.option("--plan", "folder", metavar="DIR", required=True, help="What plan --out has written.")
@click.option("--assignment", metavar="A.json", help="Where everything is now; - for stdin.")
@live_options
@format_option("all of it as JSON")
def verify(
    folder: str, assignment: str | None, zookeeper: str | None, bootstrap: str | None, form: str
) -> None:
    """Compare a plan with where the cluster is. Changes nothing.

    Exit code 0: all is done. 1: something is left. 2: wrong usage or unusable input.
    """
    check_source(assignment, zookeeper, bootstrap)
    with without_garbage_collection():
        plan, notes = _read_plan(Path(folder))
        cluster = _read_cluster(assignment, zookeeper, bootstrap)
        standing = stand(cluster, plan, listed=assignment is not None)
    notes += cluster.notes
    with showing():
        if form == "json":
            click.echo(as_text(standing.to_dict()), nl=False)
        else:
            _show(standing, notes)
    if form == "json":
        for note in notes:
            click.echo(f"note: {printable(note)}", err=True)
    if not standing.complete:
        sys.exit(INCOMPLETE)


def _read_plan(folder: Path) -> tuple[MadePlan, tuple[str, ...]]:
    """Return the plan in a folder, and notes.

    Raises:
        InputError: It cannot be read, or its parts are not about the same partitions.
    """
    report = _read_report(folder / REPORT)
    if not (folder / PLAN).exists() and report and "refused" in report:
        raise InputError(
            f"{folder / PLAN}: there is none, the plan was refused: {report['refused']}"
        )
    plan, undo = inputs.read(str(folder / PLAN)), inputs.read(str(folder / UNDO))
    target, before = inputs.read_assignment(plan), inputs.read_assignment(undo)
    ours, theirs = _names(target), _names(before)
    if odd := sorted(ours ^ theirs):
        has, lacks = (plan, undo) if odd[0] in ours else (undo, plan)
        topic, number = odd[0]
        raise InputError(f"{has.name} has {topic}-{number}, {lacks.name} has not: no pair")
    if report is None:
        return MadePlan(target, before), (
            f"{folder / REPORT} is no report of a plan: files of the plan may be missing",
        )
    held: dict[str, dict[int, Replicas]] = {}
    try:
        for entry in report.get("half_way", ()):
            topic, number = str(entry["topic"]), int(entry["partition"])
            held.setdefault(topic, {})[number] = tuple(map(int, entry["held"]))
            for found, key in ((target, "target"), (before, "before")):
                found.setdefault(topic, {}).setdefault(number, tuple(map(int, entry[key])))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / REPORT}: half_way is not as a plan has written it") from error
    return MadePlan(target, before, held), ()


def _read_report(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "refused" in found else None


def _read_cluster(assignment: str | None, zookeeper: str | None, bootstrap: str | None) -> Cluster:
    if assignment is not None:
        return Cluster(inputs.read_assignment(inputs.current_of(inputs.read(assignment))))
    from broker_operator.cli import live  # noqa: PLC0415 - the clients are of no use for files

    return live.read_zookeeper(zookeeper) if zookeeper else live.read_kafka(str(bootstrap))


def _show(standing: Standing, notes: tuple[str, ...]) -> None:
    to = console()
    if not standing.partitions:
        to.print("The plan is empty: nothing to do.")
        return
    counts = ", ".join(f"{count} {state}" for state, count in standing.counts.items())
    to.print(f"Partitions: {counts}, of {standing.partitions}.")
    to.print(f"Moves: {standing.moves_done} done of {standing.moves}.")
    for note in notes:
        to.print(f"note: {printable(note)}")
    if standing.complete:
        to.print("Complete.")
        return
    to.print()
    rows = standing.unfinished[:_LISTED]
    longest = max(len(printable(str(row.name))) for row in rows)
    excess = natural_width(_table(rows, longest), to) - to.width
    print_whole(_table(rows, max(_SHORTEST, longest - max(0, excess))), to)
    more = len(standing.unfinished) - _LISTED
    if more > 0:
        to.print(f"{more} more are not done; --format json has all.")


def _table(rows: Sequence[PartitionStanding], name: int) -> Table:
    """Return what is not done, with names of at most so many characters."""
    table = grid("partition", "state", "now", "target", left=4)
    for row in rows:
        now = _listed(row.replicas) or "gone"
        table.add_row(shortened(str(row.name), name), row.state, now, _listed(row.target))
    return table


def _listed(replicas: Replicas) -> str:
    return ",".join(map(str, replicas))


def _names(assignment: Assignment) -> set[tuple[str, int]]:
    return {(topic, number) for topic, its in assignment.items() for number in its}
