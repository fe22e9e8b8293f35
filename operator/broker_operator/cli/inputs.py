"""The files that people hand over, read and checked: whatever is wrong is said with its place."""

from __future__ import annotations

import codecs
import json
import re
import sys
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

import click

from broker_operator.cli.errors import InputError
from broker_operator.cli.locate import line_of, line_of_repeated
from broker_operator.cli.parameters import MAX_BYTES
from broker_operator.core.model import Broker
from broker_operator.core.planner.kafka_json import (
    MAX_ID,
    AssignmentFormatError,
    NotJsonError,
    RepeatedKeyError,
    from_json,
    quote,
    unique,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker_operator.core.model import Assignment, BrokerId, Replicas

STDIN = "-"

_MAX_WEIGHT = 1e6
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CURRENT = re.compile(r"^Current partition replica assignment[ \t\r]*$", re.MULTILINE)
_HEADING = re.compile(r"^[A-Z]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's name, as messages show it, and its text."""

    name: str
    text: str

    def fail(self, message: str, path: Sequence[str | int] = ()) -> NoReturn:
        """Raise an InputError that names the file, and the line of what `path` leads to."""
        raise InputError(f"{self.name}:{line_of(self.text, path)}: {message}")

    def parse(self) -> Any:
        """Return the JSON, with no key twice in any object.

        Raises:
            InputError: It is no JSON.
        """
        try:
            return json.loads(self.text, object_pairs_hook=unique)
        except RepeatedKeyError as error:
            self.repeats(error)
        except (ValueError, RecursionError) as error:
            self.not_json(error)

    def repeats(self, error: RepeatedKeyError) -> NoReturn:
        """Raise an InputError for a key that is there twice."""
        raise InputError(f"{self.name}:{line_of_repeated(self.text)}: {error}") from error

    def not_json(self, error: ValueError | RecursionError) -> NoReturn:
        """Raise an InputError for what the JSON parser said."""
        if isinstance(error, RecursionError):
            raise InputError(
                f"{self.name}: not JSON that can be read: nested too deeply"
            ) from error
        if not isinstance(error, json.JSONDecodeError):
            most = sys.get_int_max_str_digits()
            number = re.search(rf"\d{{{most + 1}}}", self.text)
            line = self.text.count("\n", 0, number.start() if number else 0) + 1
            raise InputError(
                f"{self.name}:{line}: not JSON that can be read: a number has more than {most} "
                "digits"
            ) from error
        ends = error.pos >= len(self.text.rstrip()) or error.msg.startswith("Unterminated")
        early = " (the file ends too early)" if ends else ""
        raise InputError(
            f"{self.name}:{error.lineno}: not JSON: {error.msg} at column {error.colno}{early}"
        ) from error


def read(path: str) -> Document:
    """Read a file, or standard input if the path is `-`.

    Raises:
        InputError: It cannot be read, is empty, or is not UTF-8.
    """
    name = "standard input" if path == STDIN else path
    try:
        with click.open_file(path, "rb") as file:
            data: bytes = file.read()
    # ValueError: a path that no file can have; RuntimeError: standard input is closed.
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        closed = isinstance(error, RuntimeError)
        raise InputError(
            f"{name}: cannot be read: {'it is closed' if closed else reason}"
        ) from error
    if data.startswith(_UTF_16) or b"\0" in data[:4]:
        raise InputError(f"{name}:1: looks like UTF-16; save it as UTF-8")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8 text: {error.reason}") from error
    if not text.strip():
        raise InputError(f"{name}: is empty")
    return Document(name, text)


def read_assignment(document: Document) -> dict[str, dict[int, Replicas]]:
    """Read an assignment in the form of `kafka-reassign-partitions`.

    Raises:
        InputError: It is not one; see `from_json`.
    """
    try:
        return from_json(document.text)
    except NotJsonError as error:
        document.not_json(error.error)
    except RepeatedKeyError as error:
        document.repeats(error)
    except AssignmentFormatError as error:
        document.fail(str(error), error.path)


def current_of(document: Document) -> Document:
    """Return the assignment in what `kafka-reassign-partitions --generate` prints.

    Anything else is returned as it is. Lines keep their numbers.
    """
    text = document.text
    heading = None if text.lstrip().startswith(("{", "[")) else _CURRENT.search(text)
    if heading is None:
        return document
    begin = heading.end()
    next_heading = _HEADING.search(text, begin)
    end = next_heading.start() if next_heading else len(text)
    return Document(document.name, "\n" * text.count("\n", 0, begin) + text[begin:end])


def check_listed(
    document: Document, assignment: Assignment, brokers: Iterable[Broker], listed_in: str
) -> None:
    """Check that every broker with a replica is described.

    Raises:
        InputError: One is not; names the entry and the way out.
    """
    lists = chain.from_iterable(partitions.values() for partitions in assignment.values())
    unknown = set(chain.from_iterable(lists)).difference(broker.id for broker in brokers)
    if not unknown:
        return
    index, entry = _find(document, lambda entry: not unknown.isdisjoint(entry["replicas"]))
    stranger = next(broker for broker in entry["replicas"] if broker in unknown)
    others = len(unknown) - 1
    missing = "broker is" if others == 1 else "brokers are"
    document.fail(
        f"partitions[{index}] ({entry['topic']}-{entry['partition']}): replicas names broker "
        f"{stranger}, which {listed_in} does not list"
        + (f" ({others} more {missing} missing there)" if others else "")
        + f'; add {{"id": {stranger}}} to it, with "live": false if the broker is dead',
        ("partitions", index, "replicas"),
    )


def read_brokers(document: Document) -> tuple[Broker, ...]:
    """Read `[{"id": 1, "rack": "a", "live": true}]`. Unknown keys are ignored.

    Raises:
        InputError: It is something else.
    """
    found = document.parse()
    if not isinstance(found, list):
        document.fail('the document must be a list such as [{"id": 1, "rack": "a"}]')
    brokers: dict[BrokerId, Broker] = {}
    for i, entry in enumerate(found):
        broker = _read_broker(document, i, entry)
        if broker.id in brokers:
            document.fail(f"[{i}].id: broker {broker.id} is listed twice", (i, "id"))
        brokers[broker.id] = broker
    return tuple(brokers.values())


def read_sizes(document: Document) -> dict[str, dict[int, int]]:
    """Read `{"topic": {"0": bytes}}`.

    Raises:
        InputError: It is something else.
    """
    found = document.parse()
    if not isinstance(found, dict):
        document.fail('the document must be an object such as {"topic": {"0": 1048576}}')
    return {topic: _read_topic_sizes(document, topic, its) for topic, its in found.items()}


def read_weights(document: Document, brokers: Iterable[Broker]) -> dict[BrokerId, float]:
    """Read `{"1": 2.0}`.

    Raises:
        InputError: It is something else, a weight is not above 0, or there is no such broker.
    """
    found = document.parse()
    if not isinstance(found, dict):
        document.fail('the document must be an object such as {"1": 2.0}')
    known = {broker.id for broker in brokers}
    weights: dict[BrokerId, float] = {}
    for key, weight in found.items():
        if not _is_number(key) or int(key) not in known:
            document.fail(f"{quote(key)}: no broker of the cluster has this id", (key,))
        if type(weight) not in {int, float} or not 1 / _MAX_WEIGHT <= weight <= _MAX_WEIGHT:
            document.fail(
                f"{quote(key)}: a weight must be a number above 0, from {1 / _MAX_WEIGHT:.6f} to "
                f"{_MAX_WEIGHT:.0f}, not {quote(weight)}",
                (key,),
            )
        weights[int(key)] = float(weight)
    return weights


def _read_broker(document: Document, index: int, entry: Any) -> Broker:
    where = f"[{index}]"
    if not isinstance(entry, dict):
        document.fail(f"{where} must be an object", (index,))
    broker, rack, live = entry.get("id"), entry.get("rack"), entry.get("live", True)
    if type(broker) is not int or not 0 <= broker <= MAX_ID:
        document.fail(
            f"{where}.id must be an integer from 0 to {MAX_ID}, not {quote(broker)}", (index, "id")
        )
    if rack is not None and not isinstance(rack, str):
        document.fail(
            f"{where}.rack (broker {broker}) must be a string or null, not {quote(rack)}",
            (index, "rack"),
        )
    if not isinstance(live, bool):
        document.fail(
            f"{where}.live (broker {broker}) must be true or false, not {quote(live)}",
            (index, "live"),
        )
    return Broker(broker, rack or None, live)


def _read_topic_sizes(document: Document, topic: str, sizes: Any) -> dict[int, int]:
    if not isinstance(sizes, dict):
        document.fail(
            f"{quote(topic)} must be an object of partition to bytes, not {quote(sizes)}",
            (topic,),
        )
    if not all(map(_is_number, sizes)):
        key = next(key for key in sizes if not _is_number(key))
        document.fail(f"{quote(topic)}: {quote(key)} is not a partition number", (topic, key))
    values = sizes.values()
    if (
        not {*map(type, values)} <= {int}
        or min(values, default=0) < 0
        or max(values, default=0) > MAX_BYTES
    ):
        key = next(
            key
            for key, size in sizes.items()
            if type(size) is not int or not 0 <= size <= MAX_BYTES
        )
        document.fail(
            f"{quote(topic)}: size of partition {key} must be a whole number of bytes from 0 to "
            f"{MAX_BYTES}, not {quote(sizes[key])}",
            (topic, key),
        )
    return dict(zip(map(int, sizes), sizes.values(), strict=True))


def _find(document: Document, wanted: Any) -> tuple[int, dict[str, Any]]:
    """Return the first entry of a valid assignment that is wanted, with its index."""
    entries = json.loads(document.text)["partitions"]
    return next((i, entry) for i, entry in enumerate(entries) if wanted(entry))


def _is_number(key: str) -> bool:
    """Whether a key is a number as Kafka writes it: no sign, no leading zero, not too large."""
    if not (key.isdecimal() and key.isascii() and len(key) <= len(str(MAX_ID))):
        return False
    return str(int(key)) == key and int(key) <= MAX_ID
