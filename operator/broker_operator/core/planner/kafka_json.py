"""Assignments in the JSON of `kafka-reassign-partitions`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment, Replicas

_VERSION = 1


class AssignmentFormatError(ValueError):
    """The text is no assignment; the message names the entry and what is wrong with it."""


def to_json(assignment: Assignment) -> str:
    """Write an assignment, sorted and compact: equal assignments give equal text."""
    entries = [
        {"topic": topic, "partition": partition, "replicas": list(replicas)}
        for topic, partitions in sorted(assignment.items())
        for partition, replicas in sorted(partitions.items())
    ]
    return json.dumps({"version": _VERSION, "partitions": entries}, separators=(",", ":"))


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
        raise AssignmentFormatError(f"version must be {_VERSION}, not {json.dumps(version)}")
    entries = document.get("partitions")
    if not isinstance(entries, list):
        raise AssignmentFormatError("partitions must be a list")
    assignment: dict[str, dict[int, Replicas]] = {}
    for i, entry in enumerate(entries):
        _read_entry(entry, f"partitions[{i}]", assignment)
    return assignment


def _read_entry(entry: Any, where: str, assignment: dict[str, dict[int, Replicas]]) -> None:
    if not isinstance(entry, dict):
        raise AssignmentFormatError(f"{where} must be an object")
    topic, partition = entry.get("topic"), entry.get("partition")
    if not isinstance(topic, str) or not topic:
        raise AssignmentFormatError(f"{where}: topic must be a name")
    if not isinstance(partition, int) or not _is_count(partition):
        raise AssignmentFormatError(f"{where} ({topic}): partition must be an integer from 0")
    where = f"{where} ({topic}-{partition})"
    partitions = assignment.setdefault(topic, {})
    if partition in partitions:
        raise AssignmentFormatError(f"{where}: named twice")
    partitions[partition] = _read_replicas(entry.get("replicas"), where)


def _read_replicas(replicas: Any, where: str) -> Replicas:
    if not isinstance(replicas, list) or not replicas or not all(map(_is_count, replicas)):
        raise AssignmentFormatError(f"{where}: replicas must be a list of broker ids from 0")
    if len(set(replicas)) < len(replicas):
        raise AssignmentFormatError(f"{where}: replicas names a broker twice")
    return tuple(replicas)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
