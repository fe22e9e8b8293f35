"""The coordination adapter against a ZooKeeper server that misbehaves as servers do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from kazoo.client import KazooClient

from broker_operator.adapters.zookeeper import CALL_DEADLINE, ZooKeeperCoordination
from broker_operator.ports import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker_operator.core.model import Ensemble
    from tests.kafka.cluster import KafkaCluster
    from tests.kafka.nodes import Nodes

AT_ONCE = 2.0
"""Seconds a call takes at most that waits for nobody: far less than any of our time limits."""
REQUEST = "/admin/reassign_partitions"


def adapter(
    connect: str, on_write: Callable[[str], None] = lambda _operation: None
) -> ZooKeeperCoordination:
    return ZooKeeperCoordination(lambda: connect, on_write=on_write)


async def until_read(coordination: ZooKeeperCoordination, seconds: float = 20.0) -> Ensemble:
    end = time.monotonic() + seconds
    while True:
        try:
            return await coordination.read()
        except TransientError:
            assert time.monotonic() < end, f"not readable within {seconds:g} s"
            await asyncio.sleep(0.1)


async def until_refused(coordination: ZooKeeperCoordination) -> None:
    end = time.monotonic() + CALL_DEADLINE
    while time.monotonic() < end:
        try:
            await coordination.read()
        except TransientError:
            return
    raise AssertionError("the server is gone and reads still succeed")


@pytest.mark.parametrize("connect", ["", "a:b:c", "host:port", "no-such-host.invalid:2181"])
async def test_an_address_that_leads_nowhere_fails_for_now(connect: str) -> None:
    coordination = adapter(connect)
    with pytest.raises(TransientError):
        await coordination.read()
    await coordination.close()


@pytest.mark.usefixtures("no_leak")
async def test_a_server_that_is_not_there_costs_one_wait() -> None:
    coordination = adapter("127.0.0.1:1/kafka")
    started = time.monotonic()
    with pytest.raises(TransientError):
        await coordination.read()
    assert time.monotonic() - started < CALL_DEADLINE
    started = time.monotonic()
    with pytest.raises(TransientError):
        await coordination.read()
    assert time.monotonic() - started < AT_ONCE
    await coordination.close()


@pytest.mark.usefixtures("no_leak")
async def test_leaves_nothing_open(lone_zookeeper: KafkaCluster) -> None:
    for _ in range(10):
        coordination = adapter(lone_zookeeper.connect)
        assert not (await coordination.read()).brokers
        await coordination.close()


async def test_suspended_sessions_fail_at_once_and_recover(
    nodes: Nodes, lone_zookeeper: KafkaCluster
) -> None:
    nodes.serve(0)
    nodes.set("/brokers/topics/orders", {"version": 1, "partitions": {"0": [0]}})
    coordination = adapter(nodes.connect)
    before = await coordination.read()
    lone_zookeeper.stop_zookeeper()
    try:
        await until_refused(coordination)
        for _ in range(5):
            started = time.monotonic()
            with pytest.raises(TransientError, match="not connected"):
                await coordination.read()
            with pytest.raises(TransientError, match="not connected"):
                await coordination.submit({"orders": {0: (0,)}})
            assert time.monotonic() - started < AT_ONCE
    finally:
        lone_zookeeper.start_zookeeper()
    assert await until_read(coordination) == before
    await coordination.submit({"orders": {0: (0,)}})
    assert nodes.exists(REQUEST)
    await coordination.close()


async def test_a_lost_session_is_replaced_and_everything_read_again(nodes: Nodes) -> None:
    nodes.serve(0)
    coordination = adapter(nodes.connect)
    await coordination.read()
    client = coordination._client
    assert client is not None
    session = client.client_id
    thief = KazooClient(nodes.connect, client_id=session)
    thief.start()
    thief.stop()  # ends the session for both
    thief.close()
    nodes.serve(1)
    end = time.monotonic() + 20
    while set((await until_read(coordination)).brokers) != {0, 1} or client.client_id == session:
        assert time.monotonic() < end
    assert client.client_id != session
    await coordination.close()


async def test_a_frozen_server_fails_in_time_and_recovers(
    nodes: Nodes, lone_zookeeper: KafkaCluster
) -> None:
    nodes.serve(0)
    coordination = adapter(nodes.connect)
    before = await coordination.read()
    lone_zookeeper.pause_zookeeper()
    try:
        started = time.monotonic()
        with pytest.raises(TransientError):
            await coordination.read()
        assert time.monotonic() - started < CALL_DEADLINE + 1
    finally:
        lone_zookeeper.resume_zookeeper()
    assert await until_read(coordination) == before
    await coordination.close()


async def test_a_server_that_dies_during_the_create_gets_no_second_one(
    nodes: Nodes, lone_zookeeper: KafkaCluster
) -> None:
    nodes.serve(0)
    nodes.set("/brokers/topics/orders", {"version": 1, "partitions": {"0": [0]}})
    attempts: list[str] = []

    def die(operation: str) -> None:
        attempts.append(operation)
        lone_zookeeper.stop_zookeeper()

    coordination = adapter(nodes.connect, die)
    with pytest.raises(TransientError):
        await coordination.submit({"orders": {0: (0,)}})
    lone_zookeeper.start_zookeeper()
    for _ in range(20):
        assert (await until_read(coordination)).requested is None
        await asyncio.sleep(0.1)
    assert attempts == ["create /admin/reassign_partitions"]
    await coordination.close()


async def test_a_server_that_freezes_during_the_create_leaves_it_done_once_or_not_at_all(
    nodes: Nodes, lone_zookeeper: KafkaCluster
) -> None:
    nodes.serve(0)
    nodes.set("/brokers/topics/orders", {"version": 1, "partitions": {"0": [0]}})
    batch = {"orders": {0: (0,)}}
    coordination = adapter(nodes.connect, lambda _: lone_zookeeper.pause_zookeeper())
    try:
        started = time.monotonic()
        with pytest.raises(TransientError):
            await coordination.submit(batch)
        assert time.monotonic() - started < CALL_DEADLINE + 1
    finally:
        lone_zookeeper.resume_zookeeper()
    assert (await until_read(coordination)).requested in (None, batch)
    await coordination.close()
