"""`kubectl brokers status | plan | approve | pause | resume | undo | explain | watch`."""

from __future__ import annotations

import click

from broker_operator import __version__
from broker_operator.cli.brokers.access import where_options
from broker_operator.cli.brokers.decide import approve, pause, resume, undo
from broker_operator.cli.brokers.explain import explain
from broker_operator.cli.brokers.plan import plan
from broker_operator.cli.brokers.status import status
from broker_operator.cli.brokers.watch import watch

COMMANDS = (status, plan, approve, pause, resume, undo, explain, watch)


class _InOrder(click.Group):
    """Lists its commands as people need them."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_InOrder,
    name="kubectl brokers",
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="kubectl brokers")
@where_options
def brokers() -> None:
    """See what broker-operator does with Kafka clusters, and decide.

    CLUSTER is the name of a BrokerCluster, and may be left out if the namespace has only one.
    ra/NAME is a Reassignment.
    """


def main() -> None:
    """Run it as kubectl names it in help and errors."""
    brokers(prog_name="kubectl brokers")
