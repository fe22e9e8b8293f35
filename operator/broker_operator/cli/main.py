"""`broker-operator run | version`."""

from __future__ import annotations

import sys

import click

from broker_operator import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
