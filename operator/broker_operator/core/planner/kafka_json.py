"""Assignments in the JSON of `kafka-reassign-partitions`."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.core.model import Assignment, Replicas

MAX_ID = 2**31 - 1
"""Kafka's broker ids and partition numbers are signed 32-bit integers."""

_VERSION = 1
_MAX_QUOTED = 60
_FIELDS = itemgetter("topic", "partition", "replicas")


class AssignmentFormatError(ValueError):
    """The text is no assignment; the message names the entry and what is wrong with it.

    Attributes:
        path: Keys and indexes that lead to it in the document; empty for the document itself.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


class NotJsonError(AssignmentFormatError):
    """The text is no JSON, or none that can be read.

    Attributes:
        error: What the parser said.
    """

    def __init__(self, error: ValueError | RecursionError) -> None:
        super().__init__(f"not JSON: {error}")
        self.error = error


class RepeatedKeyError(AssignmentFormatError):
    """An object has a key twice; parsers take the last one and say nothing.

    Attributes:
        key: The key.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"key {json.dumps(key)} appears twice")
        self.key = key


def to_json(assignment: Assignment) -> str:
    """Write an assignment, sorted and compact: equal assignments give equal text."""
    entries = [
        f'{{"topic":{name},"partition":{partition},"replicas":[{",".join(map(str, replicas))}]}}'
        for name, partitions in ((json.dumps(t), its) for t, its in sorted(assignment.items()))
        for partition, replicas in sorted(partitions.items())
    ]
    return f'{{"version":{_VERSION},"partitions":[{",".join(entries)}]}}'


def from_json(text: str) -> dict[str, dict[int, Replicas]]:
    """Read an assignment. Keys it does not know, such as `log_dirs`, are ignored.

    Raises:
        AssignmentFormatError: A wrong type, an id below 0 or above MAX_ID, an empty replica list,
            or a partition or replica named twice.
        NotJsonError: Not JSON.
        RepeatedKeyError: A key named twice.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotJsonError(error) from error
    if not isinstance(document, dict):
        raise AssignmentFormatError("the document must be an object")
    version = document.get("version")
    if type(version) is not int or version != _VERSION:
        raise AssignmentFormatError(
            f"version must be {_VERSION}, not {quote(version)}", ("version",)
        )
    entries = document.get("partitions")
    if not isinstance(entries, list):
        raise AssignmentFormatError(
            f"partitions must be a list, not {quote(entries)}", ("partitions",)
        )
    assignment = _read_at_once(entries)
    if assignment is None:
        seen: set[tuple[str, int]] = set()
        faults = (_fault(entry, i, seen) for i, entry in enumerate(entries))
        raise next(fault for fault in faults if fault)
    # There is a colon for each key, whether it is repeated or not, and seldom another.
    if text.count(":") > len(document) + sum(map(len, entries)):
        json.loads(text, object_pairs_hook=unique)
    return assignment


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values, for JSON parsers.

    Raises:
        RepeatedKeyError: A key is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        raise RepeatedKeyError(next(key for key in found if times[key] > 1))
    return found


def quote(value: Any) -> str:
    """Return a value as JSON, cut short; of a list or an object that is not empty what it is."""
    if isinstance(value, list | dict) and value:
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


def _read_at_once(entries: list[Any]) -> dict[str, dict[int, Replicas]] | None:
    """Read a list of entries with whole-column checks, None if any of them fails.

    Several times as fast as one by one, and hundreds of thousands of partitions are usual. What
    fails here has a `_fault`.
    """
    if not entries:
        return {}
    try:
        topics, partitions, lists = zip(*map(_FIELDS, entries), strict=True)
    except (KeyError, TypeError):
        return None
    if {*map(type, topics)} != {str} or {*map(type, partitions)} != {int} or not all(topics):
        return None
    if {*map(type, lists)} != {list} or not all(lists) or not _are_ids(partitions):
        return None
    flat = list(chain.from_iterable(lists))
    if {*map(type, flat)} != {int} or not _are_ids(flat):
        return None
    if sum(map(len, map(set, lists))) != len(flat):
        return None
    assignment: dict[str, dict[int, Replicas]] = {topic: {} for topic in topics}
    for topic, partition, replicas in zip(topics, partitions, map(tuple, lists), strict=True):
        assignment[topic][partition] = replicas
    return assignment if sum(map(len, assignment.values())) == len(entries) else None


def _fault(entry: Any, index: int, seen: set[tuple[str, int]]) -> AssignmentFormatError | None:
    """Return what is wrong with an entry, beside those `seen` before."""
    where = f"partitions[{index}]"
    path: tuple[str | int, ...] = ("partitions", index)
    if not isinstance(entry, dict):
        return AssignmentFormatError(f"{where} must be an object, not {quote(entry)}", path)
    topic, partition, replicas = (entry.get(key) for key in ("topic", "partition", "replicas"))
    if not isinstance(topic, str) or not topic:
        return AssignmentFormatError(
            f"{where}: topic must be a name, not {quote(topic)}", (*path, "topic")
        )
    if not _is_id(partition):
        return AssignmentFormatError(
            f"{where} ({topic}): partition must be an integer from 0 to {MAX_ID}, "
            f"not {quote(partition)}",
            (*path, "partition"),
        )
    where = f"{where} ({topic}-{partition})"
    if (topic, partition) in seen:
        return AssignmentFormatError(f"{where}: named twice", path)
    seen.add((topic, partition))
    path = (*path, "replicas")
    wanted = f"replicas must be a list of broker ids from 0 to {MAX_ID}"
    if not isinstance(replicas, list) or not replicas:
        return AssignmentFormatError(f"{where}: {wanted}, not {quote(replicas)}", path)
    listed: set[int] = set()
    for place, broker in enumerate(replicas):
        if not _is_id(broker):
            return AssignmentFormatError(
                f"{where}: {wanted}, but holds {quote(broker)}", (*path, place)
            )
        if broker in listed:
            return AssignmentFormatError(
                f"{where}: replicas names a broker twice: {broker}", (*path, place)
            )
        listed.add(broker)
    return None


def _is_id(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= MAX_ID


def _are_ids(values: Sequence[int]) -> bool:
    return min(values) >= 0 and max(values) <= MAX_ID
