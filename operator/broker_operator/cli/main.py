"""`broker-operator run | plan | verify | version`."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from broker_operator import __version__

_ELSEWHERE = {"plan": "broker_operator.cli.plan", "verify": "broker_operator.cli.verify"}
"""Subcommands that live in modules of their own: attribute -> module."""


class _LazyGroup(click.Group):
    """Imports a subcommand's module when it is asked for: `run` must not carry the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(_ELSEWHERE[cmd_name]), cmd_name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="broker-operator")
def main() -> None:
    """Run Kafka clusters on Kubernetes that scale without losing a record."""


@main.command()
def run() -> None:
    """Run the operator; settings come from the environment (BROKER_OPERATOR_*)."""
    from broker_operator import app, config  # noqa: PLC0415 - heavy, and only this one needs them

    try:
        settings = config.from_environment()
    except config.ConfigError as error:
        click.echo(f"broker-operator: {error}", err=True)
        sys.exit(2)
    app.run(settings)


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)
