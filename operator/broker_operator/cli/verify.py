"""`broker-operator verify`: where does a plan stand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broker_operator.cli import inputs
from broker_operator.cli.cluster import Cluster
from broker_operator.cli.errors import InputError, printable
from broker_operator.cli.output.files import PLAN, REPORT, UNDO, as_text
from broker_operator.cli.output.progress import without_garbage_collection
from broker_operator.cli.output.screen import console, grid
from broker_operator.cli.parameters import check_source, live_options
from broker_operator.cli.standing import stand

if TYPE_CHECKING:
    from broker_operator.cli.standing import Standing
    from broker_operator.core.model import Assignment, Replicas

INCOMPLETE = 1
"""Exit code while something is left to be done."""

_LISTED = 20


@click.command()
@click.option("--plan", "folder", metavar="DIR", required=True, help="What plan --out has written.")
@click.option("--assignment", metavar="A.json", help="Where everything is now; - for stdin.")
@live_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="What to print: tables, or all of it as JSON.",
)
def verify(
    folder: str, assignment: str | None, zookeeper: str | None, bootstrap: str | None, form: str
) -> None:
    """Compare a plan with where the cluster is. Changes nothing.

    Exit code 0: all is done. 1: something is left. 2: wrong usage or unusable input.
    """
    check_source(assignment, zookeeper, bootstrap)
    with without_garbage_collection():
        target, before = _read_plan(Path(folder))
        cluster = _read_cluster(assignment, zookeeper, bootstrap)
        standing = stand(cluster, target, before)
    if form == "json":
        click.echo(as_text(standing.to_dict()), nl=False)
    else:
        _show(standing, cluster.notes)
    if not standing.complete:
        sys.exit(INCOMPLETE)


def _read_plan(folder: Path) -> tuple[Assignment, Assignment]:
    """Return plan and undo.

    Raises:
        InputError: One cannot be read, or they are not about the same partitions.
    """
    if not (folder / PLAN).exists() and (refused := _refusal(folder / REPORT)):
        raise InputError(f"{folder / PLAN}: there is none, the plan was refused: {refused}")
    plan, undo = inputs.read(str(folder / PLAN)), inputs.read(str(folder / UNDO))
    target, before = inputs.read_assignment(plan), inputs.read_assignment(undo)
    ours, theirs = _names(target), _names(before)
    if odd := sorted(ours ^ theirs):
        has, lacks = (plan, undo) if odd[0] in ours else (undo, plan)
        topic, number = odd[0]
        raise InputError(f"{has.name} has {topic}-{number}, {lacks.name} has not: no pair")
    return target, before


def _refusal(report: Path) -> str | None:
    try:
        found = json.loads(report.read_bytes())
        return str(found["refused"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _read_cluster(assignment: str | None, zookeeper: str | None, bootstrap: str | None) -> Cluster:
    if assignment is not None:
        return Cluster(inputs.read_assignment(inputs.read(assignment)))
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
    table = grid("partition", "state", "now", "target", left=4)
    for name, replicas, target, state in standing.unfinished[:_LISTED]:
        table.add_row(printable(str(name)), state, _listed(replicas) or "gone", _listed(target))
    to.print(table)
    more = len(standing.unfinished) - _LISTED
    if more > 0:
        to.print(f"{more} more are not done; --format json has all.")


def _listed(replicas: Replicas) -> str:
    return ",".join(map(str, replicas))


def _names(assignment: Assignment) -> set[tuple[str, int]]:
    return {(topic, number) for topic, its in assignment.items() for number in its}
