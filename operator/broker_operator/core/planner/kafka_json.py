"""Assignments in the JSON of `kafka-reassign-partitions`."""

from __future__ import annotations

import json
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment, Replicas

_VERSION = 1
_FIELDS = itemgetter("topic", "partition", "replicas")


class AssignmentFormatError(ValueError):
    """The text is no assignment; the message names the entry and what is wrong with it.

    Attributes:
        path: Keys and indexes that lead to it in the document; empty for the document itself.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


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
        AssignmentFormatError: Not JSON, a wrong type, a negative id, an empty replica list, or a
            partition or replica named twice.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AssignmentFormatError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AssignmentFormatError("the document must be an object")
    version = document.get("version")
    if not _is_count(version) or version != _VERSION:
        raise AssignmentFormatError(
            f"version must be {_VERSION}, not {json.dumps(version)}", ("version",)
        )
    entries = document.get("partitions")
    if not isinstance(entries, list):
        raise AssignmentFormatError("partitions must be a list", ("partitions",))
    assignment = _read_at_once(entries)
    if assignment is None:
        seen: set[tuple[str, int]] = set()
        faults = (_fault(entry, i, seen) for i, entry in enumerate(entries))
        raise next(fault for fault in faults if fault)
    return assignment


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
    if {*map(type, lists)} != {list} or not all(lists) or min(partitions) < 0:
        return None
    flat = list(chain.from_iterable(lists))
    if {*map(type, flat)} != {int} or min(flat) < 0:
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
        return AssignmentFormatError(f"{where} must be an object", path)
    topic, partition, replicas = (entry.get(key) for key in ("topic", "partition", "replicas"))
    if not isinstance(topic, str) or not topic:
        return AssignmentFormatError(f"{where}: topic must be a name", (*path, "topic"))
    if not isinstance(partition, int) or not _is_count(partition):
        return AssignmentFormatError(
            f"{where} ({topic}): partition must be an integer from 0", (*path, "partition")
        )
    where = f"{where} ({topic}-{partition})"
    if (topic, partition) in seen:
        return AssignmentFormatError(f"{where}: named twice", path)
    seen.add((topic, partition))
    path = (*path, "replicas")
    if not isinstance(replicas, list) or not replicas or not all(map(_is_count, replicas)):
        return AssignmentFormatError(f"{where}: replicas must be a list of broker ids from 0", path)
    if len(set(replicas)) < len(replicas):
        return AssignmentFormatError(f"{where}: replicas names a broker twice", path)
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
