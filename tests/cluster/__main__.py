"""Commands for the embedded cluster: `python -m tests.cluster COMMAND`."""

import sys
from pathlib import Path

import click
from rich.console import Console

from tests.cluster.cluster import DEFAULT_NAME, DEFAULT_NODES, Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.layout import MAX_NODES
from tests.cluster.status import inspect, render

_name = click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
_console = Console()
_archive = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real Kubernetes with several nodes on this machine, as processes; no Docker needed."""


@main.command()
@_name
@click.option(
    "--nodes",
    type=click.IntRange(1, MAX_NODES),
    help=f"How many, in zones a, b, c, ...  [default: {DEFAULT_NODES}, or as many as there are]",
)
def up(name: str, nodes: int | None) -> None:
    """Start the cluster, or repair or reuse the one that is there."""
    Cluster(name).up(nodes)


@main.command()
@_name
def down(name: str) -> None:
    """Remove the cluster with everything in it."""
    Cluster(name).down()


@main.command()
@_name
def status(name: str) -> None:
    """Show nodes and components; exit 1 unless everything that should run does."""
    report = inspect(Cluster(name))
    if report is None:
        raise ClusterError(f"there is no cluster {name}; `up` makes one")
    _console.print(render(report))
    if not report.is_healthy:
        raise click.exceptions.Exit(1)


@main.command("load-image")
@_name
@click.argument("archives", nargs=-1, required=True, type=_archive)
def load_image(name: str, archives: tuple[Path, ...]) -> None:
    """Put the images of OCI archives into every node; nodes cannot pull any."""
    Cluster(name).load_images(archives)


@main.command("node-down")
@_name
@click.argument("node")
def node_down(name: str, node: str) -> None:
    """Cut the power of NODE (a, or node-a); its disk stays."""
    Cluster(name).node_down(node)


@main.command("node-up")
@_name
@click.argument("node")
def node_up(name: str, node: str) -> None:
    """Give NODE its power back and wait until it is Ready."""
    Cluster(name).node_up(node)


@main.command()
@_name
def kubeconfig(name: str) -> None:
    """Print the path of the kubeconfig for this machine."""
    path = Cluster(name).kubeconfig
    if not path.exists():
        raise ClusterError(f"there is no cluster {name}; `up` makes one")
    click.echo(path)


def run() -> None:
    """Run the commands; what goes wrong becomes one message and exit 1."""
    try:
        main()
    except (ClusterError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
