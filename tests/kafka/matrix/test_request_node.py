"""Whatever lies in `/admin/reassign_partitions`, or was left by it, on live ZooKeeper and brokers.

Every row of what a controller makes of it, what the operator says and does, and that the way out
which it tells is one. Each test leaves a controller behind that hears of the next request.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as Partition
from kazoo.client import KazooClient

from broker_operator.core.stuck import DEAD_END_SECONDS, UNHEARD_SECONDS
from tests.kafka.harness import LiveWorld
from tests.kafka.matrix.moves import writes
from tests.kafka.nodes import REQUEST, deafen
from tests.kafka.processes import wait_until
from tests.unit.reconcile.world import NAME, NAMESPACE

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Mapping

    from tests.kafka.cluster import KafkaCluster

ORDERS = {n: [n % 3, (n + 1) % 3] for n in range(6)}
TOPIC = "/brokers/topics/orders"
NUDGE = "AlterPartitionReassignments"
BOTH_WAYS = pytest.mark.parametrize("via", ["ZooKeeper", "AdminApi"])


def entry(**fields: Any) -> dict[str, Any]:
    return {"topic": "orders", "partition": 0, "replicas": [1, 0]} | fields


def request(*entries: Any, **fields: Any) -> bytes:
    return json.dumps({"version": 1, "partitions": [*entries]} | fields).encode()


@asynccontextmanager
async def at_rest(
    cluster: KafkaCluster, via: str = "ZooKeeper", throttle: str = "0", size: int = 0
) -> AsyncIterator[LiveWorld]:
    """Yield a world of three with `orders` on it; afterwards the controller is as it was found."""
    spec = {"via": via, "throttle": throttle}
    async with LiveWorld(cluster, 3, reassignment=spec) as world:
        cluster.create_topic("orders", ORDERS)
        for number in ORDERS if size else ():
            await asyncio.to_thread(cluster.fill, "orders", number, size)
        await world.settle()
        good = world.view.nodes.json(TOPIC)
        try:
            yield world
        finally:
            await asyncio.to_thread(_free, cluster, world, good)


def _free(cluster: KafkaCluster, world: LiveWorld, good: Mapping[str, Any]) -> None:
    """Put right what a test that failed has left, and see that the controller hears again."""
    nodes = world.view.nodes
    for path in (REQUEST, "/migration"):
        if nodes.exists(path):
            nodes.delete(path)
    if _poisoned(world):
        nodes.set(TOPIC, good)
        fail_over(world)
    wait_until(lambda: world.view.controller() is not None, "there is a controller")
    found = nodes.json(TOPIC)
    lists = {
        int(n): [b for b in held if b not in found["adding_replicas"].get(n, ())]
        for n, held in found["partitions"].items()
    }
    wait_until(lambda: not any(reassign(cluster, lists).values()), "everything stays where it is")
    wait_until(lambda: not world.view.in_flight(), "nothing is in flight")
    nodes.set(REQUEST, request(entry(replicas=lists[0])))
    wait_until(lambda: world.view.requested() is None, "the controller hears")


def _poisoned(world: LiveWorld) -> bool:
    content = world.view.nodes.json(TOPIC)
    lists = content["partitions"]
    strange = any(type(b) is not int or b < 0 for held in lists.values() for b in held)
    removing = content["removing_replicas"]
    return strange or any(set(removing[number]) >= set(lists[number]) for number in removing)


def reassign(cluster: KafkaCluster, lists: Mapping[int, list[int]]) -> dict[int, Any]:
    """Ask for these replicas of `orders` through the Admin API; return what was said to each."""
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
    try:
        wanted = {Partition("orders", n): held for n, held in lists.items()}
        answers = admin.alter_partition_reassignments(wanted)
        return {tp.partition: error for tp, error in answers.items()}
    finally:
        admin.close()


def fail_over(world: LiveWorld) -> None:
    """Force the election of a controller."""
    if world.view.nodes.exists("/controller"):
        world.view.nodes.delete("/controller")


def epoch(world: LiveWorld) -> int:
    return int(world.view.nodes.get("/controller_epoch")[0])


async def take_the_way_out(world: LiveWorld) -> dict[int, Any]:
    """Do what the operator's message says."""
    told = re.search(r"--additional with (\{.*?\]\}) as", world.message("Stalled"))
    assert told, world.message("Stalled")
    entries = json.loads(told[1])["partitions"]
    assert {e["topic"] for e in entries} == {"orders"}
    lists = {e["partition"]: e["replicas"] for e in entries}
    return await asyncio.to_thread(reassign, world.cluster, lists)


async def until_stalled(world: LiveWorld, reason: str) -> None:
    await world.until(lambda: world.condition("Stalled") == ("True", reason), reason)


async def until_well(world: LiveWorld) -> None:
    await world.until(lambda: world.condition("Stalled") is None, "nothing is in the way")


async def some_passes(world: LiveWorld) -> None:
    """Give the operator the time to do what it should not."""
    for _ in range(5):
        await world.one_pass()


async def hears(world: LiveWorld) -> None:
    """A request that anybody creates is carried out."""
    held = world.view.assignment()["orders", 5]
    world.view.nodes.set(REQUEST, request(entry(partition=5, replicas=held[::-1])))
    await world.until(lambda: world.view.requested() is None, "the controller hears")
    assert world.view.assignment()["orders", 5] == held[::-1]


async def loops(world: LiveWorld) -> None:
    """No broker can stay controller: each gives up, and the next one tries."""
    before = epoch(world)
    fail_over(world)
    await world.until(lambda: epoch(world) > before + 3, "controllers come and go")


SPOILT = {
    "not JSON": b"not JSON",
    "nothing": b"",
    "no object": b"[]",
    "a field of Kafka's own tool": request(entry(log_dirs=["any", "any"])),
    "a field on top": request(entry(), owner="somebody"),
    "no entries": request(),
    "no replicas": request({"topic": "orders", "partition": 1}),
    "a broker twice": request(entry(partition=2, replicas=[2, 2, 0])),
}


@pytest.mark.parametrize("kind", SPOILT)
async def test_a_request_that_nobody_can_carry_out_is_named_and_left(
    live_brokers: KafkaCluster, kind: str
) -> None:
    async with at_rest(live_brokers) as world:
        world.view.nodes.set(REQUEST, SPOILT[kind])
        await until_stalled(world, "StuckReassignment")
        left = world.view.requested()
        await some_passes(world)
        assert world.view.requested() == left, "the operator leaves it"
        await take_the_way_out(world)
        await until_well(world)
        assert world.view.requested() is None
        await hears(world)
        assert world.clients.writes == []


FATAL = {
    "no list": request(partitions=None),
    "no field": b'{"version":1}',
    "null": b"null",
    "a null entry": request(None),
    "no content": None,
}


def put(world: LiveWorld, content: bytes | None) -> None:
    """Create the request; None makes a node without content."""
    if content is not None:
        world.view.nodes.set(REQUEST, content)
        return
    client = KazooClient(world.view.nodes.connect)
    client.start()
    client.create(REQUEST, None)
    client.stop()
    client.close()


@pytest.mark.parametrize("kind", FATAL)
async def test_a_request_at_which_every_controller_stumbles_is_to_be_deleted(
    live_brokers: KafkaCluster, kind: str
) -> None:
    async with at_rest(live_brokers) as world:
        put(world, FATAL[kind])
        await until_stalled(world, "StuckReassignment")
        assert f"delete {REQUEST}" in world.message("Stalled")
        world.view.nodes.delete(REQUEST)
        await take_the_way_out(world)
        await until_well(world)
        await hears(world)
        assert world.clients.writes == []


@BOTH_WAYS
async def test_a_cluster_without_a_controller_is_left_alone_until_the_request_is_deleted(
    live_brokers: KafkaCluster, via: str, rng: random.Random
) -> None:
    async with at_rest(live_brokers, via) as world:
        put(world, FATAL[rng.choice(sorted(FATAL))])
        await loops(world)
        world.scale(4)
        await until_stalled(world, "StuckReassignment")
        assert world.clients.writes == []
        world.view.nodes.delete(REQUEST)
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)


POISON = {
    "strings": entry(replicas=["1", "0"]),
    "fractions": entry(replicas=[1.0, 0]),
    "booleans": entry(replicas=[True, 0]),
    "null": entry(replicas=[None, 0]),
    "below zero": entry(replicas=[-1, 0]),
    "nobody": entry(replicas=[]),
}


@pytest.mark.parametrize("kind", POISON)
async def test_a_topic_that_was_poisoned_is_named_and_its_way_out_saves_the_next_controller(
    live_brokers: KafkaCluster, kind: str
) -> None:
    async with at_rest(live_brokers) as world:
        world.view.nodes.set(REQUEST, request(POISON[kind]))
        await world.until(lambda: _poisoned(world), "the topic is poisoned")
        await until_stalled(world, "PoisonedTopic")
        assert TOPIC in world.message("Stalled")
        await take_the_way_out(world)
        await until_well(world)
        assert world.view.assignment()["orders", 0] in (ORDERS[0], ORDERS[0][::-1])
        before = epoch(world)
        fail_over(world)
        await world.until(lambda: epoch(world) > before, "the next controller starts")
        await hears(world)
        assert epoch(world) == before + 1, "and stays"
        assert world.clients.writes == []


@BOTH_WAYS
async def test_nothing_moves_or_leaves_while_a_topic_is_poisoned(
    live_brokers: KafkaCluster, via: str, rng: random.Random
) -> None:
    """No controller is left, either: what the operator tells as the last resort works."""
    async with at_rest(live_brokers, via) as world:
        world.scale(4)
        await world.settle()
        good = world.view.nodes.json(TOPIC)
        number = rng.choice([n for n, held in good["partitions"].items() if held != [1, 0]])
        # Of the others some do no harm before a controller has to elect a leader.
        poison = entry(partition=int(number), replicas=rng.choice([["1", "0"], []]))
        world.view.nodes.set(REQUEST, request(poison))
        await world.until(lambda: _poisoned(world), "the topic is poisoned")
        await loops(world)
        written = len(world.clients.writes)
        world.scale(3)
        await until_stalled(world, "PoisonedTopic")
        assert "correct the znode by hand" in world.message("Stalled")
        assert len(world.clients.writes) == written
        assert world.removed == []
        world.view.nodes.set(TOPIC, good)
        await world.settle()
        world.assert_at_rest(0, 1, 2)


async def test_what_the_controller_gets_rid_of_by_itself_holds_nobody_up(
    live_brokers: KafkaCluster,
) -> None:
    async with at_rest(live_brokers) as world:
        for entries in (
            [entry(topic="nobody-made-this")],
            [entry(partition=77)],
            [entry(topic="nobody-made-this"), entry(partition=1, replicas=[2, 1])],
            [{"partition": 0, "replicas": [0, 1]}],
            [{"topic": "orders", "replicas": [0, 1]}],
            [entry(partition=3, replicas=[1, 0]), entry(partition=3, replicas=[0, 1])],
        ):
            world.view.nodes.set(REQUEST, request(*entries))
            await world.until(lambda: world.view.requested() is None, f"{entries} is gone")
        world.scale(4)
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)


async def test_a_request_of_ours_that_the_controller_does_not_see_is_dropped_and_made_again(
    live_brokers: KafkaCluster,
) -> None:
    async with at_rest(live_brokers) as world:
        await asyncio.to_thread(deafen, world.view.nodes, "orders", 5)
        world.scale(4)
        await world.until(lambda: world.view.requested() is not None, "it is submitted")
        before = world.view.assignment()
        await some_passes(world)
        assert world.view.assignment() == before, "nobody acts on it"
        assert NUDGE not in world.clients.writes
        world.clock.ahead += UNHEARD_SECONDS
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)
        assert world.clients.writes.count(NUDGE) == 1
        assert "UnheardRequest" in world.recorder.reasons()


@BOTH_WAYS
async def test_a_request_of_others_that_the_controller_does_not_see_is_named_and_left(
    live_brokers: KafkaCluster, via: str
) -> None:
    async with at_rest(live_brokers, via) as world:
        await asyncio.to_thread(deafen, world.view.nodes, "orders", 5)
        theirs = request(entry(replicas=[2, 1]), entry(partition=1, replicas=[0, 1]))
        world.view.nodes.set(REQUEST, theirs)
        world.scale(4)
        await world.until(
            lambda: world.condition("Reconciling") == ("True", "ForeignReassignment"),
            "it is waited for",
        )
        world.clock.ahead += UNHEARD_SECONDS
        await until_stalled(world, "StuckReassignment")
        assert world.view.requested() == theirs
        assert world.clients.writes == []
        await take_the_way_out(world)
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)


async def test_a_move_of_others_to_a_broker_that_never_was_and_a_request_set_over_it(
    live_brokers: KafkaCluster,
) -> None:
    async with at_rest(live_brokers) as world:
        world.view.nodes.set(REQUEST, request(entry(replicas=[77, 1])))
        await world.until(lambda: bool(world.view.in_flight()), "it is under way")
        # The controller does not see this one: it is set, not created.
        world.view.nodes.set(REQUEST, request(entry(partition=1, replicas=[0, 1])))
        world.scale(4)
        await world.until(
            lambda: "orders-0, orders-1" in world.message("Reconciling"), "both are waited for"
        )
        world.clock.ahead += UNHEARD_SECONDS
        await until_stalled(world, "StuckReassignment")
        await take_the_way_out(world)
        await until_well(world)
        assert world.view.requested() is None
        world.clock.ahead += DEAD_END_SECONDS
        await until_stalled(world, "StuckReassignment")
        assert "broker 77" in world.message("Stalled")
        await take_the_way_out(world)
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)


async def test_a_request_deleted_by_hand_in_mid_move_costs_a_wait_at_most(
    live_brokers: KafkaCluster,
) -> None:
    async with at_rest(live_brokers, throttle="1Mi", size=1_500_000) as world:
        world.scale(4)
        await world.until(lambda: bool(world.view.in_flight()), "partitions are in flight")
        world.view.nodes.delete(REQUEST)
        world.clock.ahead += UNHEARD_SECONDS
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)


@BOTH_WAYS
async def test_a_migration_that_begins_in_mid_move_stops_every_write(
    live_brokers: KafkaCluster, via: str
) -> None:
    async with at_rest(live_brokers, via, throttle="1Mi", size=1_500_000) as world:
        world.scale(4)
        await world.until(lambda: bool(world.view.in_flight()), "partitions are in flight")
        world.view.nodes.set("/migration", {"version": 0})
        await until_stalled(world, "MigrationInProgress")
        written = writes(world)
        await world.until(lambda: not world.view.in_flight(), "what is in flight lands")
        await some_passes(world)
        await world.reconciler.finalize(NAMESPACE, NAME)  # as if it were deleted now
        assert writes(world) == written
        world.view.nodes.delete("/migration")
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)


@pytest.mark.parametrize("where", ["nowhere", "elsewhere", "here"])
async def test_nothing_is_written_where_another_cluster_is(
    live_brokers: KafkaCluster, where: str
) -> None:
    """At a chroot without any cluster, at another one's, or at this one with another one's id."""
    async with at_rest(live_brokers) as world:
        nodes, chroot = world.view.nodes, "" if where == "here" else f"/{where}"
        own = nodes.get("/cluster/id")[0]
        if where != "nowhere":
            nodes.set(f"{chroot}/cluster/id", {"version": "1", "id": "another"})
        written, connect = writes(world), live_brokers.connect + chroot
        world.edit(lambda spec: spec.update(replicas=4, zookeeper={"connect": connect}))
        try:
            await until_stalled(world, "WrongCluster")
            await some_passes(world)
            assert writes(world) == written
            assert not nodes.exists("/nowhere")
        finally:
            nodes.set("/cluster/id", own)
        world.edit(lambda spec: spec.update(zookeeper={"connect": live_brokers.connect}))
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)
