"""The files that people hand over, read and checked: whatever is wrong is said with its place."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

import click

from broker_operator.cli.errors import InputError
from broker_operator.cli.locate import line_of
from broker_operator.core.model import Broker
from broker_operator.core.planner import AssignmentFormatError, from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker_operator.core.model import Assignment, BrokerId, Replicas

STDIN = "-"
MAX_ID = 2**31 - 1
"""Kafka's broker ids and partition numbers are signed 32-bit integers."""

_MAX_WEIGHT = 1e6
_MAX_QUOTED = 60


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
            return json.loads(self.text, object_pairs_hook=_unique)
        except _RepeatedKeyError as error:
            key = json.dumps(error.key)
            line = self.text.count("\n", 0, max(0, self.text.rfind(key))) + 1
            raise InputError(f"{self.name}:{line}: key {key} appears twice") from error
        except (ValueError, RecursionError) as error:
            self.not_json(error)

    def not_json(self, error: BaseException | None) -> NoReturn:
        """Raise an InputError for what the JSON parser said."""
        if not isinstance(error, json.JSONDecodeError):
            raise InputError(f"{self.name}: not JSON: {error}") from error
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
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{name}: cannot be read: {reason}") from error
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
        assignment = from_json(document.text)
    except AssignmentFormatError as error:
        if error.__cause__ is not None:
            document.not_json(error.__cause__)
        document.fail(str(error), error.path)
    if max(chain.from_iterable(assignment.values()), default=0) > MAX_ID:
        index, entry = _find(document, lambda entry: entry["partition"] > MAX_ID)
        document.fail(
            f"partitions[{index}] ({entry['topic']}): partition is above {MAX_ID}",
            ("partitions", index, "partition"),
        )
    return assignment


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
    document.fail(
        f"partitions[{index}] ({entry['topic']}-{entry['partition']}): replicas names broker "
        f"{stranger}, which {listed_in} does not list"
        + (f" ({others} more brokers are missing there)" if others else "")
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
            document.fail(f"{_quote(key)}: no broker of the cluster has this id", (key,))
        if type(weight) not in {int, float} or not 1 / _MAX_WEIGHT <= weight <= _MAX_WEIGHT:
            document.fail(
                f"{_quote(key)}: a weight must be a number above 0, from {1 / _MAX_WEIGHT:.6f} to "
                f"{_MAX_WEIGHT:.0f}, not {_quote(weight)}",
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
            f"{where}.id must be an integer from 0 to {MAX_ID}, not {_quote(broker)}", (index, "id")
        )
    if rack is not None and not isinstance(rack, str):
        document.fail(
            f"{where}.rack (broker {broker}) must be a string or null, not {_quote(rack)}",
            (index, "rack"),
        )
    if not isinstance(live, bool):
        document.fail(
            f"{where}.live (broker {broker}) must be true or false, not {_quote(live)}",
            (index, "live"),
        )
    return Broker(broker, rack or None, live)


def _read_topic_sizes(document: Document, topic: str, sizes: Any) -> dict[int, int]:
    if not isinstance(sizes, dict):
        document.fail(
            f"{_quote(topic)} must be an object of partition to bytes, not {_quote(sizes)}",
            (topic,),
        )
    if not all(map(_is_number, sizes)):
        key = next(key for key in sizes if not _is_number(key))
        document.fail(f"{_quote(topic)}: {_quote(key)} is not a partition number", (topic, key))
    if not {*map(type, sizes.values())} <= {int} or min(sizes.values(), default=0) < 0:
        key = next(key for key, size in sizes.items() if type(size) is not int or size < 0)
        document.fail(
            f"{_quote(topic)}: size of partition {key} must be a whole number of bytes from 0, "
            f"not {_quote(sizes[key])}",
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


def _quote(value: Any) -> str:
    """Return a value as JSON, cut short; of a list or an object only what it is."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


class _RepeatedKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(next(key for key in found if keys.count(key) > 1))
    return found
