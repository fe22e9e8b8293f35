"""`python -m tests.bench [planner | growth | footprint | throttle]`.

Without a word: all but `throttle`, and docs/benchmarks/planner.md is written anew.

Times are of this machine; what compares is what stands in one table, made in one run.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from tests.bench import footprint, throttle
from tests.bench.planner import run
from tests.bench.planner.shapes import CHANGES, SIZES
from tests.bench.planner.tools import TOOLS
from tests.cluster.errors import ClusterError

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks"
WIDTH = 118

limit_option = click.option(
    "--limit", default=120.0, show_default=True, help="Seconds that a tool has for one plan."
)


@click.group(invoke_without_command=True)
@limit_option
@click.pass_context
def main(context: click.Context, limit: float) -> None:
    """Measure the planner beside others, as it grows, and what the operator's process weighs."""
    if context.invoked_subcommand is None:
        console = Console(width=WIDTH)
        run.prepare_plot()  # what cannot be had shall fail now, not after half an hour
        record = run.compare(console, limit=limit)
        record.growth = run.grow(console)
        record.footprint = footprint.measure(console)
        run.write(record, DOCS)
        console.print(f"written: {run.shown(DOCS)}")


@main.command()
@click.option("--size", "sizes", multiple=True, type=int, help=f"Partitions; of {SIZES}.")
@click.option("--change", "changes", multiple=True, type=click.Choice(CHANGES))
@click.option("--tool", "tools", multiple=True, type=click.Choice(list(TOOLS)))
@limit_option
def planner(
    sizes: tuple[int, ...], changes: tuple[str, ...], tools: tuple[str, ...], limit: float
) -> None:
    """Compare with other tools; a part of the comparison, if named. Writes nothing."""
    run.compare(
        Console(width=WIDTH),
        limit=limit,
        sizes=sizes or SIZES,
        changes=changes or CHANGES,
        tools=tools or tuple(TOOLS),
    )


@main.command()
def growth() -> None:
    """Show how seconds and memory grow up to a million replicas. Writes nothing."""
    run.grow(Console(width=WIDTH))


@main.command("footprint")
def weigh() -> None:
    """Show what the operator's code weighs once it is imported."""
    footprint.measure(Console(width=WIDTH))


@main.command("throttle")
@click.option("--rounds", default=2, show_default=True, help="Moves with each throttle.")
@click.option("--megabytes", default=6500.0, show_default=True, help="Bytes on the cluster.")
@click.option("--rate", default=500, show_default=True, help="Records a second.")
def move(rounds: int, megabytes: float, rate: int) -> None:
    """Move under traffic with the adaptive throttle and with the fixed default."""
    runs = throttle.measure(Console(width=WIDTH), rounds=rounds, megabytes=megabytes, rate=rate)
    (DOCS / "throttle.md").write_text(throttle.page(runs, megabytes=megabytes, rate=rate))
    if missed := [told for told, met in throttle.criteria(runs).items() if not met]:
        raise SystemExit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    try:
        main()
    except ClusterError as error:
        raise SystemExit(f"The bench cannot go on: {error}") from error
