"""Kafka's znodes: parsed strictly, written exactly.

A controller reads `/admin/reassign_partitions` without validating it, and some mistakes in it keep
every broker from becoming controller ever after. So nothing leaves `encode_reassignment` that is
not beyond doubt, and nothing is read from a znode that does not look like what Kafka writes.
"""

from __future__ import annotations

import json
import re
import reprlib
from typing import TYPE_CHECKING, Any

from broker_operator.core.model import (
    PartitionState,
    RegisteredBroker,
    SpoiltRequest,
    SpoiltTopic,
    TopicPartition,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from broker_operator.core.model import Assignment, BrokerId, Replicas

BROKERS = "/brokers/ids"
TOPICS = "/brokers/topics"
CONTROLLER = "/controller"
CLUSTER_ID = "/cluster/id"
MIGRATION = "/migration"
REASSIGNMENT = "/admin/reassign_partitions"

MAX_ENTRIES = 200
"""The controller rewrites the whole node once per finished entry: its cost is quadratic."""
MAX_BYTES = 1_000_000
"""ZooKeeper drops the connection of who sends more than 1,048,575 bytes in one request."""

_ENDPOINT = re.compile(r"[^:/]+://\[?(?P<host>[^\[\]/]+?)\]?:(?P<port>-?\d+)")
_REQUEST_FIELDS = frozenset({"version", "partitions"})
_ENTRY_FIELDS = frozenset({"topic", "partition", "replicas"})
_TOPIC_VERSIONS = frozenset({1, 2, 3})


class ZnodeError(ValueError):
    """A znode holds something that Kafka does not write; the message names its path."""


def parse_broker_name(name: str) -> BrokerId:
    """Parse N of `/brokers/ids/N`."""
    if not name.isdecimal():
        raise ZnodeError(f"{BROKERS}: {name!r} is not a broker id")
    return int(name)


def parse_broker(name: str, data: bytes) -> RegisteredBroker:
    """Parse `/brokers/ids/NAME`, versions 1 to 5."""
    broker = parse_broker_name(name)
    path = f"{BROKERS}/{name}"
    content = _object(path, data)
    rack = content.get("rack")
    if rack is not None and not isinstance(rack, str):
        raise ZnodeError(f"{path}: rack is {rack!r}, not a string")
    hosts = list(_hosts(path, content.get("endpoints", [])))
    if isinstance(host := content.get("host"), str) and host not in hosts:
        hosts.append(host)
    if not hosts:
        raise ZnodeError(f"{path}: neither a host nor an endpoint")
    return RegisteredBroker(broker, rack, tuple(dict.fromkeys(hosts)))


def parse_topic(topic: str, data: bytes) -> dict[int, PartitionState]:
    """Parse `/brokers/topics/T`, versions 1 to 3."""
    path = f"{TOPICS}/{topic}"
    content = _object(path, data)
    if (version := content.get("version")) not in _TOPIC_VERSIONS:
        raise ZnodeError(f"{path}: version {version!r} is not one of 1, 2, 3")
    if "partitions" not in content:
        raise ZnodeError(f"{path}: no partitions")
    replicas = _replica_lists(path, content, "partitions")
    adding = _replica_lists(path, content, "adding_replicas")
    removing = _replica_lists(path, content, "removing_replicas")
    states = {}
    for number, held in replicas.items():
        if not held:
            raise ZnodeError(f"{path}: partition {number} has no replicas")
        state = PartitionState(held, adding.pop(number, ()), removing.pop(number, ()))
        if not {*state.adding, *state.removing} <= {*held}:
            raise ZnodeError(f"{path}: partition {number} adds or removes what it does not hold")
        states[number] = state
    if stray := sorted({*adding, *removing}):
        raise ZnodeError(f"{path}: adds to or removes from partitions it does not have: {stray}")
    return states


def read_topic(topic: str, data: bytes) -> dict[int, PartitionState] | SpoiltTopic:
    """Parse `/brokers/topics/T`, or say what is wrong with it and what it still tells."""
    try:
        return parse_topic(topic, data)
    except ZnodeError as error:
        return SpoiltTopic(str(error), {n: kept for n, kept in _present(data) if kept})


def parse_controller(data: bytes) -> BrokerId:
    """Parse `/controller`."""
    return _broker_id(CONTROLLER, _object(CONTROLLER, data).get("brokerid"))


def parse_cluster_id(data: bytes) -> str:
    """Parse `/cluster/id`."""
    found = _object(CLUSTER_ID, data).get("id")
    if not isinstance(found, str) or not found:
        raise ZnodeError(f"{CLUSTER_ID}: id is {found!r}")
    return found


def parse_reassignment(data: bytes) -> dict[str, dict[int, Replicas]]:
    """Parse `/admin/reassign_partitions`, whoever wrote it.

    The controller ignores all of it if any object has a field that it does not know.
    """
    path = REASSIGNMENT
    content = _object(path, data)
    if unknown := sorted(content.keys() - _REQUEST_FIELDS):
        raise ZnodeError(f"{path}: unknown field {unknown[0]!r}")
    entries = content.get("partitions")
    if not isinstance(entries, list):
        raise ZnodeError(f"{path}: partitions is {reprlib.repr(entries)}, not a list")
    batch: dict[str, dict[int, Replicas]] = {}
    for entry in entries:
        match entry:
            case {"topic": str(topic), "partition": number, "replicas": replicas, **rest} if (
                _is_id(number) and not rest
            ):
                where = f"{path}: {topic}-{number}"
                if not (target := _replicas(where, replicas)):
                    raise ZnodeError(f"{where}: no replicas")
                batch.setdefault(topic, {})[number] = target
            case _:
                raise ZnodeError(f"{path}: entry {reprlib.repr(entry)}")
    return batch


def read_reassignment(data: bytes) -> dict[str, dict[int, Replicas]] | SpoiltRequest:
    """Parse `/admin/reassign_partitions`, or say what is wrong with it and how it can be cleared.

    Which content does what was seen on live brokers, and stands in
    `tests/kafka/matrix/test_request_node.py`.
    """
    try:
        return parse_reassignment(data)
    except ZnodeError as error:
        return SpoiltRequest(str(error), *_taken_in(data))


def _taken_in(data: bytes) -> tuple[tuple[TopicPartition, ...], bool]:
    """Return the partitions that the controller reads in a spoilt request, and if it stumbles."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return (), False
    if content is None:
        return (), True
    if not isinstance(content, dict) or content.keys() - _REQUEST_FIELDS:
        return (), False
    entries = content.get("partitions")
    if entries is None or (isinstance(entries, list) and None in entries):
        return (), True
    names = []
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or entry.keys() - _ENTRY_FIELDS:
            return (), False
        topic, number = entry.get("topic"), entry.get("partition", 0)
        if isinstance(topic, str) and _is_id(number):
            names.append(TopicPartition(topic, number))
    return tuple(names), False


def encode_reassignment(batch: Assignment) -> bytes:
    """Return the content of `/admin/reassign_partitions` that asks for these targets.

    Raises:
        ValueError: Empty, over 200 entries or 1,000,000 bytes, or an entry whose replica list is
            empty, holds an id twice, or anything but integers from 0.
    """
    problems = list(shape_problems(batch))
    if problems:
        raise ValueError("; ".join(problems))
    entries = [
        {"topic": topic, "partition": number, "replicas": list(replicas)}
        for topic, partitions in sorted(batch.items())
        for number, replicas in sorted(partitions.items())
    ]
    if not entries:
        raise ValueError("an empty batch: the controller would never delete the node")
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"{len(entries)} entries in one batch, at most {MAX_ENTRIES} are allowed")
    data = json.dumps({"version": 1, "partitions": entries}, separators=(",", ":")).encode()
    if len(data) > MAX_BYTES:
        raise ValueError(f"a batch of {len(data)} bytes, at most {MAX_BYTES} are allowed")
    return data


def shape_problems(batch: Assignment) -> Iterator[str]:
    """Say what no controller must ever be sent, one sentence per entry."""
    for topic, partitions in batch.items():
        for number, replicas in partitions.items():
            entry = f"{topic}-{number}"
            if not topic or not _is_id(number):
                yield f"{entry}: not a partition"
            elif not replicas:
                yield f"{entry}: no replicas"
            elif not all(_is_id(broker) for broker in replicas):
                yield f"{entry}: {list(replicas)!r} are not all broker ids"
            elif len(set(replicas)) < len(replicas):
                yield f"{entry}: {list(replicas)} names a broker twice"


def world_problems(
    batch: Assignment,
    live: Collection[BrokerId],
    topics: Mapping[str, Mapping[int, PartitionState]],
    seen: Mapping[str, Mapping[int, PartitionState]] | None,
) -> Iterator[str]:
    """Say which entries ask for what does not exist now, has changed, or is on the move already.

    The controller obeys whoever spoke last: an entry for a partition that somebody else moves
    would call that move off.

    Args:
        batch: Targets asked for.
        live: Registered brokers.
        topics: State of the partitions that exist, of at least the topics in the batch.
        seen: State of them when the batch was decided on; None if that does not matter.
    """
    for topic, partitions in batch.items():
        for number, replicas in partitions.items():
            state = topics.get(topic, {}).get(number)
            if state is None:
                yield f"{topic}-{number}: no such partition"
            elif state.in_flight:
                yield f"{topic}-{number}: already on the move"
            elif seen is not None and seen.get(topic, {}).get(number) != state:
                yield f"{topic}-{number}: has changed since it was looked at"
            elif dead := [broker for broker in replicas if broker not in live]:
                yield f"{topic}-{number}: not registered: {dead}"


def _object(path: str, data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ZnodeError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ZnodeError(f"{path}: not a JSON object")
    return content


def _replica_lists(path: str, content: dict[str, Any], key: str) -> dict[int, Replicas]:
    found = content.get(key, {})
    if not isinstance(found, dict):
        raise ZnodeError(f"{path}: {key} is {reprlib.repr(found)}, not an object")
    lists = {}
    for number, replicas in found.items():
        if not number.isdecimal():
            raise ZnodeError(f"{path}: {key} names a partition {number!r}")
        lists[int(number)] = _replicas(f"{path}: {key} of partition {number}", replicas)
    return lists


def _replicas(where: str, found: Any) -> Replicas:
    if not isinstance(found, list) or not all(_is_id(broker) for broker in found):
        raise ZnodeError(f"{where}: {reprlib.repr(found)} is not a list of broker ids")
    if len(set(found)) < len(found):
        raise ZnodeError(f"{where}: {found} names a broker twice")
    return tuple(found)


def _hosts(path: str, endpoints: Any) -> Iterator[str]:
    if not isinstance(endpoints, list):
        raise ZnodeError(f"{path}: endpoints is {endpoints!r}, not a list")
    for endpoint in endpoints:
        match = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
        if match is None:
            raise ZnodeError(f"{path}: endpoint {endpoint!r}")
        yield match["host"]


def _broker_id(path: str, found: Any) -> BrokerId:
    if not _is_id(found):
        raise ZnodeError(f"{path}: broker id {found!r}")
    return int(found)


def _present(data: bytes) -> Iterator[tuple[int, Replicas]]:
    """Yield the partitions whose lists hold anything but ids, with the replicas that they have.

    What is being added is left out: it is what an unchecked request has asked for. Where such a
    request has come to its end, fractions are left behind; the controller takes 1.0 for 1, so that
    only another order makes it write the list anew.
    """
    try:
        content = json.loads(data)
        for number, held in content["partitions"].items():
            if not all(map(_is_id, held)):
                adding = [(type(b), b) for b in content.get("adding_replicas", {}).get(number, ())]
                kept = [int(b) for b in held if (type(b), b) not in adding and _is_number(b)]
                if kept == held:
                    kept.append(kept.pop(0))
                yield int(number), tuple(dict.fromkeys(kept))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return  # nothing more can be told


def _is_number(found: Any) -> bool:
    """Whether it is an id, or was one before it was read without a look at its type."""
    if isinstance(found, str):
        return found.isdecimal()
    return type(found) in (int, float) and 0 <= found < 2**31


def _is_id(found: Any) -> bool:
    return type(found) is int and found >= 0
