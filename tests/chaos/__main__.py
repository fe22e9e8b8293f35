"""`python -m tests.chaos`: see `make help` and docs/development.md."""

from __future__ import annotations

import importlib.metadata
import math
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from tests.chaos.results import Run, page
from tests.chaos.runner import Runner
from tests.chaos.schedule import parse_rounds, rounds
from tests.chaos.world import CLUSTER, World
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.e2e.environment import embedded
from tests.failures import heed_sigterm, note_failure

REPOSITORY = Path(__file__).parents[2]
KEPT = Path(__file__).with_name("rounds.json")
PAGE = REPOSITORY / "docs" / "reliability.md"
ENOUGH = 50
"""Rounds that a page is written for."""


@click.command()
@click.option("--seed", type=int, envvar="SEED", help="Of all that is left to chance.")
@click.option("--rounds", "span", default="50", envvar="ROUNDS", help="How many, or 7..9.")
@click.option("--budget", type=float, default=math.inf, envvar="BUDGET", help="Seconds.")
def main(seed: int | None, span: str, budget: float) -> None:
    """Random decisions of people under random faults, with checked traffic throughout."""
    try:
        first, last = parse_rounds(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rounds") from error
    if seed is None:
        seed = random.SystemRandom().randrange(10**6)
    click.echo(f"seed: {seed} (make chaos SEED={seed} ROUNDS=7..7 repeats round 7)")
    heed_sigterm()
    try:
        run = play(seed, first, last, budget)
    except (Exception, KeyboardInterrupt) as error:
        note_failure(f"chaos ended: make chaos SEED={seed} ROUNDS={span}", repr(error))
        if isinstance(error, AssertionError | ClusterError):
            raise click.ClickException(f"chaos could not begin: {error}") from error
        raise
    failed = [result for result in run.rounds if result.problems]
    click.echo(f"{len(run.rounds)} rounds, {len(failed)} failed")
    for result in failed:
        again = f"make chaos SEED={seed} ROUNDS={result.number}..{result.number}"
        click.echo(again)
        note_failure(f"{again}  # {result.words}", " | ".join(result.problems))
    if len(run.rounds) >= ENOUGH and first == 1 and math.isinf(budget):
        run.save(KEPT)
        PAGE.write_text(page(run))
        click.echo(f"written: {PAGE.relative_to(REPOSITORY)}")
    sys.exit(1 if failed else 0)


def play(seed: int, first: int, last: int, budget: float) -> Run:
    """Play rounds on an embedded cluster, which goes afterwards unless KEEP is set."""
    commit = checked_out()  # what is there now is what runs
    with embedded(CLUSTER) as environment:
        runner = Runner(World(environment, Cluster(CLUSTER)), click.echo, seed)
        try:
            results = runner.run(rounds(seed, first, last), budget)
        finally:
            runner.world.traffic.abandon()
    version = importlib.metadata.version("broker-operator")
    day = datetime.now(UTC).date().isoformat()
    return Run(seed, version, commit, day, runner.p99_before_ms, results)


def checked_out() -> str:
    """Return the commit that is checked out, see `Run.commit`."""
    git = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
