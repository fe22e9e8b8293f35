"""Command line of the traffic tool: fill, produce, transact, consume, verify, describe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from uuid import uuid4

from tests.traffic.client import TrafficError
from tests.traffic.consume import ConsumeOptions, consume
from tests.traffic.describe import describe
from tests.traffic.fill import FillOptions, fill
from tests.traffic.produce import ProduceOptions, produce
from tests.traffic.transact import transact
from tests.traffic.verify import read_ledgers, verify

EXIT_ERROR = 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = argparse.ArgumentParser(prog="traffic", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    for name, add in _COMMANDS.items():
        command = commands.add_parser(name)
        command.add_argument("--bootstrap", required=True, help="host:port of a broker")
        add(command)
    return root


def _add_fill(command: argparse.ArgumentParser) -> None:
    _add_prefix(command)
    _add_producer(command, size=8192)
    command.add_argument("--topics", type=int, default=12)
    command.add_argument("--partitions", type=int, default=20, help="of each topic")
    command.add_argument("--replication", type=int, default=3)
    command.add_argument("--megabytes", type=float, default=200.0, help="over all partitions")
    command.add_argument("--timeout", type=float, default=180.0, help="seconds")
    command.add_argument("--config", action="append", default=[], metavar="KEY=VALUE")


def _add_produce(command: argparse.ArgumentParser) -> None:
    _add_prefix(command)
    _add_producer(command, size=200)
    command.add_argument("--rate", type=float, default=500.0, help="records per second")
    command.add_argument("--flush", type=float, default=60.0, help="seconds after SIGTERM")


def _add_consume(command: argparse.ArgumentParser) -> None:
    _add_prefix(command)
    command.add_argument("--group", default="checked")
    command.add_argument("--until-caught-up", action="store_true")
    command.add_argument("--timeout", type=float, default=120.0, help="seconds, to catch up")


def _add_verify(command: argparse.ArgumentParser) -> None:
    _add_prefix(command)
    command.add_argument("--ledgers", type=Path, required=True, help="JSON list of ledgers")
    command.add_argument("--timeout", type=float, default=120.0, help="seconds")


def _add_describe(command: argparse.ArgumentParser) -> None:
    command.add_argument("--every", type=float, default=0.0, help="seconds; 0 = once")
    command.add_argument("--assignment", action="store_true", help="add every replica list")


def _add_prefix(command: argparse.ArgumentParser) -> None:
    command.add_argument("--prefix", default="checked-", help="how the topics' names begin")


def _add_producer(command: argparse.ArgumentParser, size: int) -> None:
    command.add_argument("--producer", default="", help="name in the records, unique to the run")
    command.add_argument("--size", type=int, default=size, help="bytes of a record")


_COMMANDS = {
    "fill": _add_fill,
    "produce": _add_produce,
    "transact": _add_produce,
    "consume": _add_consume,
    "verify": _add_verify,
    "describe": _add_describe,
}


def run(options: argparse.Namespace) -> int:
    """Run the parsed command; return the exit status."""
    values = vars(options)
    command = values.pop("command")
    if "producer" in values:
        values["producer"] = options.producer or f"{command}-{uuid4().hex[:8]}"
    if command == "fill":
        config = dict(entry.split("=", 1) for entry in values.pop("config"))
        return fill(FillOptions(**values, config={"min.insync.replicas": "2", **config}))
    if command == "produce":
        return produce(ProduceOptions(**values))
    if command == "transact":
        return transact(ProduceOptions(**values))
    if command == "consume":
        return consume(ConsumeOptions(**values))
    if command == "verify":
        ledgers = read_ledgers(options.ledgers)
        return verify(options.bootstrap, options.prefix, ledgers, options.timeout)
    return describe(options.bootstrap, options.every, assignment=options.assignment)


def main() -> int:
    """Entry point."""
    try:
        return run(parser().parse_args())
    except TrafficError as error:
        sys.stderr.write(f"traffic: {error}\n")
        return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
