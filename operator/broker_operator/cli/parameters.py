"""Values of options, and which source of a cluster goes with which."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from broker_operator.api.quantity import parse_bytes, parse_quantity
from broker_operator.cli.errors import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_FACTOR = 2**15 - 1
"""Kafka's replication factors are signed 16-bit integers."""
MAX_BYTES = 2**63 - 1
"""Kafka's sizes and rates are signed 64-bit integers."""

_MAX_QUANTITY = 40
_SERVERS = re.compile(r"[^\s,/]+:\d{1,5}(\s*,\s*[^\s,/]+:\d{1,5})*")
_CONNECT = re.compile(r"[^\s,/]+(:\d{1,5})?(\s*,\s*[^\s,/]+(:\d{1,5})?)*(/\S*)?")
_NUMBER = re.compile(r"[0-9]{1,10}")


def format_option(json: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--format`; `json` says what JSON it prints."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help=f"What to print: tables, or {json}.",
    )


class Interruptible(click.Command):
    """A command that ends as shells expect it after Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)


def broker_ids(_ctx: click.Context, _param: click.Parameter, value: str | None) -> frozenset[int]:
    """Read `3,4`."""
    if value is None:
        return frozenset()
    ids = [part.strip() for part in value.split(",")]
    for broker in ids:
        if not _NUMBER.fullmatch(broker):
            raise click.BadParameter(f"{broker!r} is no broker id; write them as 3,4")
    return frozenset(map(int, ids))


def factors(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> dict[str, int]:
    """Read `topic=3`, once for each topic."""
    found: dict[str, int] = {}
    for value in values:
        topic, _, factor = value.rpartition("=")
        if not topic or not _NUMBER.fullmatch(factor):
            raise click.BadParameter(f"{value!r} is not of the form topic=3")
        wanted = int(factor)
        if not 1 <= wanted <= MAX_FACTOR:
            raise click.BadParameter(
                f"topic {topic}: a replication factor is from 1 to {MAX_FACTOR}, not {wanted}"
            )
        if found.setdefault(topic, wanted) != wanted:
            raise click.BadParameter(f"topic {topic} cannot have both {found[topic]} and {wanted}")
    return found


def byte_count(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Read a quantity of bytes as Kubernetes writes them: `50Mi`."""
    if value is None:
        return None
    if len(value) > _MAX_QUANTITY:
        raise click.BadParameter(f"{value[:_MAX_QUANTITY]}... is too long for a number of bytes")
    try:
        if parse_quantity(value).denominator != 1:
            raise click.BadParameter(
                f"{value!r} is no whole number of bytes: m are thousandths; M and Mi are millions"
            )
        count = parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if count > MAX_BYTES:
        raise click.BadParameter(f"{value!r} is more than {MAX_BYTES} bytes")
    return count


def live_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a live cluster."""
    zookeeper = click.option(
        "--zookeeper",
        metavar="HOST:PORT/CHROOT",
        callback=_matching(_CONNECT, "host:port[,host:port...][/chroot]"),
        help="Read a live cluster from its ZooKeeper ensemble. Nothing is written.",
    )
    bootstrap = click.option(
        "--bootstrap",
        metavar="HOST:PORT",
        callback=_matching(_SERVERS, "host:port[,host:port...]"),
        help="Read a live cluster, sizes included, from its brokers. Nothing is written.",
    )
    return zookeeper(bootstrap(command))


def check_source(assignment: str | None, zookeeper: str | None, bootstrap: str | None) -> None:
    """Check that there is one source of the cluster.

    Raises:
        click.UsageError: There is none, or more than one.
    """
    options = {"--assignment": assignment, "--zookeeper": zookeeper, "--bootstrap": bootstrap}
    given = [name for name, value in options.items() if value is not None]
    if not given:
        raise click.UsageError("give one of --assignment, --zookeeper and --bootstrap")
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other")


def _matching(pattern: re.Pattern[str], form: str) -> Callable[..., str | None]:
    def check(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
        if value is not None and pattern.fullmatch(value) is None:
            raise click.BadParameter(f"{value!r} is not of the form {form}")
        return value

    return check
