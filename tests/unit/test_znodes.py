from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.adapters import znodes
from broker_operator.adapters.znodes import ZnodeError
from broker_operator.core.model import (
    PartitionState,
    RegisteredBroker,
    SpoiltRequest,
    SpoiltTopic,
)

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment


ENTRY: dict[str, Any] = {"topic": "t", "partition": 4, "replicas": [1]}


def encoded(**content: Any) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "broker"),
    [
        ({"version": 1, "host": "a", "port": 9092}, RegisteredBroker(7, None, ("a",))),
        (
            {"version": 2, "host": "a", "port": 9092, "endpoints": ["PLAINTEXT://a:9092"]},
            RegisteredBroker(7, None, ("a",)),
        ),
        (
            {"version": 3, "host": "a", "endpoints": ["SSL://b:9093"], "rack": "r1"},
            RegisteredBroker(7, "r1", ("b", "a")),
        ),
        (
            {"version": 4, "host": None, "port": -1, "endpoints": ["SASL://a.b.svc:1", "X://c:2"]},
            RegisteredBroker(7, None, ("a.b.svc", "c")),
        ),
        (
            {"version": 5, "host": None, "endpoints": ["PLAINTEXT://[::1]:9092"], "features": {}},
            RegisteredBroker(7, None, ("::1",)),
        ),
    ],
    ids=["v1", "v2", "v3", "v4", "v5"],
)
def test_brokers_of_every_version(content: dict[str, Any], broker: RegisteredBroker) -> None:
    assert znodes.parse_broker("7", encoded(**content)) == broker


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("7", b""),
        ("7", b"[]"),
        ("7", encoded(version=5)),
        ("7", encoded(version=5, endpoints="PLAINTEXT://a:1")),
        ("7", encoded(version=5, endpoints=["a:1"])),
        ("7", encoded(version=5, endpoints=[7])),
        ("7", encoded(version=5, endpoints=["X://a:1"], rack=3)),
        ("seven", encoded(version=1, host="a", port=1)),
    ],
)
def test_a_broker_that_kafka_did_not_write(name: str, data: bytes) -> None:
    with pytest.raises(ZnodeError, match=rf"/brokers/ids.*{name}"):
        znodes.parse_broker(name, data)


@pytest.mark.parametrize(
    ("content", "states"),
    [
        ({"version": 1, "partitions": {"0": [1, 2]}}, {0: PartitionState((1, 2))}),
        (
            {
                "version": 2,
                "partitions": {"0": [3, 1, 2], "1": [1]},
                "adding_replicas": {"0": [3]},
                "removing_replicas": {"0": [2]},
            },
            {0: PartitionState((3, 1, 2), (3,), (2,)), 1: PartitionState((1,))},
        ),
        (
            {
                "version": 3,
                "topic_id": "AAAA",
                "partitions": {"10": [1]},
                "adding_replicas": {},
                "removing_replicas": {},
            },
            {10: PartitionState((1,))},
        ),
        ({"version": 3, "partitions": {}}, {}),
    ],
    ids=["v1", "v2", "v3", "no partitions"],
)
def test_topics_of_every_version(
    content: dict[str, Any], states: dict[int, PartitionState]
) -> None:
    assert znodes.parse_topic("t", encoded(**content)) == states


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{",
        encoded(partitions={"0": [1]}),
        encoded(version=4, partitions={"0": [1]}),
        encoded(version="1", partitions={"0": [1]}),
        encoded(version=1, partitions=[[1]]),
        encoded(version=1, partitions={"0": []}),
        encoded(version=1, partitions={"0": 1}),
        encoded(version=1, partitions={"0": ["2", "1", 0]}),
        encoded(version=1, partitions={"0": [True]}),
        encoded(version=1, partitions={"0": [-1]}),
        encoded(version=1, partitions={"0": [1, 1]}),
        encoded(version=1, partitions={"x": [1]}),
        encoded(version=1, partitions={"-1": [1]}),
        encoded(version=2, partitions={"0": [1]}, adding_replicas={"0": [2]}),
        encoded(version=2, partitions={"0": [1]}, removing_replicas={"0": [2]}),
        encoded(version=2, partitions={"0": [1]}, adding_replicas={"1": [1]}),
        encoded(version=2, partitions={"0": [1]}, adding_replicas=[1]),
    ],
)
def test_a_topic_that_kafka_did_not_write(data: bytes) -> None:
    with pytest.raises(ZnodeError, match="/brokers/topics/t"):
        znodes.parse_topic("t", data)


def test_controller_and_cluster_id() -> None:
    assert znodes.parse_controller(encoded(version=2, brokerid=3, timestamp="1")) == 3
    assert znodes.parse_cluster_id(encoded(version="1", id="abc")) == "abc"
    with pytest.raises(ZnodeError, match="/controller"):
        znodes.parse_controller(encoded(version=2, brokerid="3"))
    with pytest.raises(ZnodeError, match="/cluster/id"):
        znodes.parse_cluster_id(encoded(version="1", id=None))


def test_a_request_is_written_as_the_controller_reads_it() -> None:
    batch: Assignment = {"b": {10: (3, 1), 2: (1, 2)}, "a": {0: (1,)}}
    data = znodes.encode_reassignment(batch)
    assert data == (
        b'{"version":1,"partitions":['
        b'{"topic":"a","partition":0,"replicas":[1]},'
        b'{"topic":"b","partition":2,"replicas":[1,2]},'
        b'{"topic":"b","partition":10,"replicas":[3,1]}]}'
    )
    assert znodes.parse_reassignment(data) == batch


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not JSON",
        b"null",
        encoded(version=1),
        encoded(version=1, partitions=[7]),
        encoded(version=1, partitions=[{"topic": "t", "replicas": [1]}]),
        encoded(version=1, partitions=[{"topic": "t", "partition": 0}]),
        encoded(version=1, partitions=[{"topic": "t", "partition": 0, "replicas": ["1"]}]),
        encoded(version=1, partitions=[{"topic": "t", "partition": 0, "replicas": [2, 2]}]),
        encoded(version=1, partitions=[{"topic": "t", "partition": "0", "replicas": [1]}]),
        encoded(version=1, partitions=[{"topic": 1, "partition": 0, "replicas": [1]}]),
        encoded(version=1, partitions=[{"topic": "t", "partition": 0, "replicas": []}]),
        encoded(version=1, partitions=[ENTRY | {"log_dirs": ["any"]}]),
        encoded(version=1, partitions=[ENTRY], owner="somebody"),
        b"[" * 100_000,
    ],
)
def test_a_request_nobody_should_have_written(data: bytes) -> None:
    with pytest.raises(ZnodeError, match="/admin/reassign_partitions"):
        znodes.parse_reassignment(data)


@pytest.mark.parametrize(
    ("data", "names", "fatal"),
    [
        (b"not JSON", (), False),
        (b"[]", (), False),
        (b"null", (), True),
        (encoded(version=1), (), True),
        (encoded(version=1, partitions=None), (), True),
        (encoded(version=1, partitions=[None]), (), True),
        (encoded(version=1, partitions="t"), (), False),
        (encoded(version=1, partitions=[7]), (), False),
        (encoded(version=1, owner="somebody"), (), False),
        (encoded(version=1, partitions=[ENTRY | {"log_dirs": ["any"]}]), (), False),
        (encoded(version=1, partitions=[ENTRY | {"replicas": None}]), (("t", 4),), False),
        (encoded(version=1, partitions=[{"topic": "t", "replicas": [1]}]), (("t", 0),), False),
        (encoded(version=1, partitions=[ENTRY | {"topic": None}]), (), False),
    ],
)
def test_what_the_controller_reads_in_a_spoilt_request(
    *, data: bytes, names: tuple[tuple[str, int], ...], fatal: bool
) -> None:
    found = znodes.read_reassignment(data)
    assert isinstance(found, SpoiltRequest)
    assert (found.names, found.fatal) == (names, fatal)


def test_a_request_in_order_is_read_as_it_is() -> None:
    assert znodes.read_reassignment(encoded(partitions=[ENTRY])) == {"t": {4: (1,)}}


@pytest.mark.parametrize(
    ("content", "present"),
    [
        # What live brokers make of replicas that are asked for as strings, null, booleans, or
        # fractions: only these have arrived, where nothing had to be copied.
        (
            {"partitions": {"0": ["2", "1", 0, 1]}, "adding_replicas": {"0": ["2", "1"]}},
            {0: (0, 1)},
        ),
        ({"partitions": {"0": [None, 0, 1]}, "adding_replicas": {"0": [None]}}, {0: (0, 1)}),
        ({"partitions": {"0": [True, 0, 1]}, "adding_replicas": {"0": [True]}}, {0: (0, 1)}),
        ({"partitions": {"0": [-1, 0, 1]}, "adding_replicas": {"0": [-1]}}, {0: (0, 1)}),
        ({"partitions": {"0": [1.0, 0], "1": [2, 3]}}, {0: (0, 1)}),
        ({"partitions": {"0": [float("inf"), "x"]}}, {}),
        ({"partitions": {"x": ["1"]}}, {}),
        ({"partitions": {"0": None}}, {}),
        ({"partitions": {"0": ["1"]}, "adding_replicas": {"0": 1}}, {}),
        ({}, {}),
    ],
)
def test_what_a_spoilt_topic_still_tells(content: Any, present: dict[int, tuple[int, ...]]) -> None:
    found = znodes.read_topic("t", encoded(version=3, **content))
    assert isinstance(found, SpoiltTopic)
    assert found.present == present
    assert "/brokers/topics/t" in found.reason


def test_a_topic_that_is_no_json_tells_nothing() -> None:
    found = znodes.read_topic("t", b"{")
    assert isinstance(found, SpoiltTopic)
    assert found.present == {}


def test_the_limits_are_what_is_allowed() -> None:
    full = {"t": dict.fromkeys(range(znodes.MAX_ENTRIES), (1, 2, 3))}
    assert znodes.parse_reassignment(znodes.encode_reassignment(full)) == full
    with pytest.raises(ValueError, match="201 entries"):
        znodes.encode_reassignment({"t": dict.fromkeys(range(201), (1,))})
    with pytest.raises(ValueError, match="bytes"):
        znodes.encode_reassignment({"t": dict.fromkeys(range(200), tuple(range(2_000)))})
