"""The coordination adapter and the znodes it reads and writes, on a live ZooKeeper server."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from broker_operator.adapters.zookeeper import CALL_DEADLINE, ZooKeeperCoordination
from broker_operator.core.model import Ensemble, PartitionState, RegisteredBroker, SpoiltRequest
from broker_operator.ports import ReassignmentInProgressError, TransientError

if TYPE_CHECKING:
    from tests.kafka.cluster import KafkaCluster
    from tests.kafka.nodes import Nodes

REQUEST = "/admin/reassign_partitions"
NOBODY = Ensemble(
    cluster_id=None, brokers={}, controller=None, migrating=False, topics={}, requested=None
)


def adapter(connect: str) -> ZooKeeperCoordination:
    return ZooKeeperCoordination(lambda: connect, on_write=lambda _operation: None)


async def test_a_chroot_that_no_broker_has_made_is_empty(lone_zookeeper: KafkaCluster) -> None:
    coordination = adapter(f"{lone_zookeeper.zookeeper}/nobody/was/here")
    assert await coordination.read() == NOBODY
    with pytest.raises(ValueError, match="no such partition"):
        await coordination.submit({"orders": {0: (1, 2)}})
    await coordination.close()


async def test_reads_every_node_of_a_pass(nodes: Nodes) -> None:
    nodes.set("/brokers/ids/0", {"version": 5, "endpoints": ["PLAINTEXT://b0:9092"], "rack": "a"})
    nodes.set("/brokers/ids/12", {"version": 1, "host": "b12", "port": 9092})
    nodes.set("/brokers/topics/old", {"version": 1, "partitions": {"0": [0]}})
    nodes.set(
        "/brokers/topics/moving",
        {
            "version": 3,
            "partitions": {"0": [12, 0]},
            "adding_replicas": {"0": [12]},
            "removing_replicas": {"0": [0]},
            "topic_id": "x",
        },
    )
    nodes.set("/controller", {"version": 2, "brokerid": 12, "timestamp": "1"})
    nodes.set("/cluster/id", {"version": "1", "id": "abc"})
    entry = {"topic": "moving", "partition": 0, "replicas": [12]}
    nodes.set(REQUEST, {"version": 1, "partitions": [entry]})
    coordination = adapter(nodes.connect)
    seen = await coordination.read()
    assert seen == Ensemble(
        cluster_id="abc",
        brokers={
            0: RegisteredBroker(0, "a", ("b0",)),
            12: RegisteredBroker(12, None, ("b12",)),
        },
        controller=12,
        migrating=False,
        topics={
            "old": {0: PartitionState((0,))},
            "moving": {0: PartitionState((12, 0), (12,), (0,))},
        },
        requested={"moving": {0: (12,)}},
    )
    nodes.set("/migration", {"version": 0})
    nodes.delete("/controller")
    seen = await coordination.read()
    assert seen.migrating
    assert seen.controller is None
    await coordination.close()


async def test_a_request_nobody_can_parse_is_unknown_and_blocks(nodes: Nodes) -> None:
    nodes.serve(0, 1)
    nodes.set("/brokers/topics/orders", {"version": 1, "partitions": {"0": [0]}})
    nodes.set(REQUEST, b"not JSON")
    coordination = adapter(nodes.connect)
    requested = (await coordination.read()).requested
    assert isinstance(requested, SpoiltRequest)
    assert REQUEST in requested.reason
    with pytest.raises(ReassignmentInProgressError):
        await coordination.submit({"orders": {0: (1,)}})
    assert nodes.get(REQUEST)[0] == b"not JSON"
    await coordination.close()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/brokers/ids/x", {"version": 1, "host": "a", "port": 1}),
        ("/brokers/ids/1", b""),
        ("/controller", {"version": 2}),
        ("/cluster/id", b"abc"),
    ],
)
async def test_one_strange_node_fails_the_whole_read_and_is_named(
    nodes: Nodes, path: str, content: object
) -> None:
    nodes.set(path, content)
    coordination = adapter(nodes.connect)
    with pytest.raises(TransientError, match=path.removesuffix("/x")):
        await coordination.read()
    await coordination.close()


async def test_a_spoilt_topic_is_known_to_be_there_and_the_others_are_read(nodes: Nodes) -> None:
    nodes.set("/brokers/topics/good", {"version": 1, "partitions": {"0": [0]}})
    nodes.set("/brokers/topics/bad", {"version": 3, "partitions": {"0": ["1", 2]}})
    nodes.set("/brokers/topics/empty", b"")
    coordination = adapter(nodes.connect)
    seen = await coordination.read()
    assert set(seen.topics) == {"good"}
    assert seen.names == {"good", "bad", "empty"}
    assert seen.unreadable["bad"].present == {0: (1, 2)}
    assert all(f"/brokers/topics/{t}" in s.reason for t, s in seen.unreadable.items())
    await coordination.close()


async def test_nothing_is_submitted_once_a_migration_has_begun(nodes: Nodes) -> None:
    nodes.serve(0)
    nodes.set("/brokers/topics/orders", {"version": 1, "partitions": {"0": [0]}})
    nodes.set("/migration", {"version": 0})
    coordination = adapter(nodes.connect)
    with pytest.raises(TransientError, match="/migration"):
        await coordination.submit({"orders": {0: (0,)}})
    assert not nodes.exists(REQUEST)
    await coordination.close()


async def test_topics_may_come_and_go_while_they_are_read(nodes: Nodes) -> None:
    nodes.set("/brokers/topics/steady", {"version": 1, "partitions": {"0": [0]}})
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for number in range(20):
                nodes.set(f"/brokers/topics/t{number}", {"version": 1, "partitions": {"0": [0]}})
            for number in range(20):
                nodes.delete(f"/brokers/topics/t{number}")

    churning = threading.Thread(target=churn)
    coordination = adapter(nodes.connect)
    await coordination.read()  # a session, whose beginning the churn could hold up for too long
    churning.start()
    try:
        counts = {len((await coordination.read()).topics) for _ in range(100)}
    finally:
        stop.set()
        churning.join()
    assert len(counts) > 2, "the topics did not change while they were read"
    assert min(counts) >= 1
    await coordination.close()


async def test_reads_a_hundred_thousand_partitions_in_time(nodes: Nodes) -> None:
    partitions = {str(number): [number % 7, 7, 8] for number in range(200)}
    for number in range(500):
        nodes.set(f"/brokers/topics/t{number}", {"version": 1, "partitions": partitions})
    coordination = adapter(nodes.connect)
    started = time.monotonic()
    seen = await coordination.read()
    assert sum(1 for _ in seen.partitions()) == 100_000
    assert time.monotonic() - started < CALL_DEADLINE
    await coordination.close()


async def test_writes_exactly_what_the_controller_reads(nodes: Nodes) -> None:
    nodes.serve(0, 1)
    nodes.set("/brokers/topics/orders", {"version": 1, "partitions": {"0": [0], "1": [0]}})
    coordination = adapter(nodes.connect)
    await coordination.submit({"orders": {1: (1, 0), 0: (1,)}})
    data, stat = nodes.get(REQUEST)
    assert data == (
        b'{"version":1,"partitions":['
        b'{"topic":"orders","partition":0,"replicas":[1]},'
        b'{"topic":"orders","partition":1,"replicas":[1,0]}]}'
    )
    assert stat.version == 0
    assert stat.ephemeralOwner == 0
    (acl,) = nodes.acls(REQUEST)
    assert (acl.id.scheme, acl.id.id, acl.acl_list) == ("world", "anyone", ["ALL"])
    with pytest.raises(ReassignmentInProgressError):
        await coordination.submit({"orders": {0: (0,)}})
    assert nodes.get(REQUEST)[0] == data
    await coordination.close()


@pytest.mark.parametrize("deleted", [False, True])
async def test_nothing_is_created_if_a_topic_changes_at_that_very_moment(
    nodes: Nodes, *, deleted: bool
) -> None:
    """A process that is suspended between its last look and its write must not write."""
    nodes.serve(0, 1)
    for topic in ("orders", "payments"):
        nodes.set(f"/brokers/topics/{topic}", {"version": 1, "partitions": {"0": [0]}})

    def meanwhile(_operation: str) -> None:
        if deleted:
            nodes.delete("/brokers/topics/payments")
        else:
            nodes.set("/brokers/topics/payments", {"version": 1, "partitions": {"0": [1]}})

    coordination = ZooKeeperCoordination(lambda: nodes.connect, on_write=meanwhile)
    with pytest.raises(ValueError, match="/brokers/topics/payments: changed since"):
        await coordination.submit({"orders": {0: (1,)}, "payments": {0: (0, 1)}})
    assert not nodes.exists(REQUEST)
    await coordination.close()


async def test_cannot_submit_where_kafka_has_no_admin_node(nodes: Nodes) -> None:
    nodes.set("/brokers/ids/0", {"version": 1, "host": "a", "port": 1})
    nodes.set("/brokers/topics/orders", {"version": 1, "partitions": {"0": [0]}})
    coordination = adapter(nodes.connect)
    with pytest.raises(TransientError, match="NoNode"):
        await coordination.submit({"orders": {0: (0,)}})
    await coordination.close()
