"""`python -m tests.demo [--down] | down`."""

from __future__ import annotations

import os
import sys
from shutil import which
from time import monotonic

import click
from rich.console import Console

from tests.cluster import binaries
from tests.cluster.errors import ClusterError
from tests.demo import phases, screen
from tests.demo.summary import tables
from tests.demo.watch import Watcher
from tests.traffic.pods import TrafficPodError


def existing() -> bool:
    """Whether the current kubeconfig's cluster is meant."""
    return os.environ.get("CLUSTER") == "existing"


@click.group(invoke_without_command=True)
@click.option("--down", "take_down", is_flag=True, help="Remove everything at the end.")
@click.pass_context
def main(context: click.Context, *, take_down: bool) -> None:
    """Scale a real Kafka cluster 3 -> 4 -> 3 under checked traffic, and watch."""
    if context.invoked_subcommand is None:
        code = show(Console())
        if take_down:
            phases.remove(existing=existing(), say=click.echo)
        sys.exit(code)


@main.command()
def down() -> None:
    """Remove all that the demo made."""
    try:
        phases.remove(existing=existing(), say=click.echo)
    except (ClusterError, AssertionError) as error:
        raise click.ClickException(str(error)) from error


def show(console: Console) -> int:
    """Run the demo; return the exit status: 0 only if nothing was lost."""
    view = screen.view(console)
    begin = monotonic()
    try:
        env = phases.environment(existing=existing(), view=view)
        brokers = phases.demo_brokers(env)
        watcher = Watcher(brokers, view.show)
        demo = phases.Demo(brokers, watcher, view)
        demo.account.phases.append(("bring up Kubernetes", monotonic() - begin))
        try:
            account = demo.run()
        finally:
            watcher.stop()
    except (ClusterError, AssertionError, TrafficPodError) as error:
        view.close()
        console.print(f"[red]The demo could not go on:[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        view.close()
        console.print("Stopped. `make demo-down` removes what was made.")
        return 130
    view.close()
    for table in tables(account):
        console.print(table)
    faults = account.faults()
    for fault in faults:
        console.print(f"[red]FAULT[/red] {fault}", highlight=False)
    if not faults:
        console.print("Nothing was lost, and nothing moved that need not have.")
    if env.kubeconfig:
        console.print(f"It is still there: export KUBECONFIG={env.kubeconfig}", soft_wrap=True)
    program = "kubectl" if which("kubectl") else binaries.kubectl()
    look = f"{program} get bc,ra,pods -n {phases.NAMESPACE}   # and then: make demo-down"
    console.print(look, soft_wrap=True)
    return 1 if faults else 0


if __name__ == "__main__":
    main()
