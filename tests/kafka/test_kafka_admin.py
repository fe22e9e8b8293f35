"""The Admin API adapter against brokers that move data, stop, freeze and come back."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import ResourceType

from broker_operator.adapters.kafka import CALL_DEADLINE, KafkaBrokerAdmin
from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
    MIN_INSYNC,
    BrokerLogs,
    PartitionState,
    Throttle,
    ThrottleConfigs,
    TopicPartition,
    Unknown,
)
from broker_operator.ports import TransientError
from tests.kafka.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from broker_operator.adapters.zookeeper import ZooKeeperCoordination
    from broker_operator.core.model import BrokerId
    from tests.kafka.cluster import KafkaCluster

BROKERS = (0, 1, 2, 3)
NOWHERE = ("127.0.0.1:1",)
MEGABYTE = 1_000_000


async def until(what: str, condition: Callable[[], Awaitable[bool]], seconds: float = 40) -> None:
    """Ask until `condition` holds; calls that fail for now are part of the wait."""
    end = time.monotonic() + seconds
    while True:
        try:
            if await condition():
                return
        except TransientError:
            pass
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.1)


async def size_on(admin: KafkaBrokerAdmin, broker: BrokerId, topic: str) -> int:
    """Return the bytes of partition 0 of `topic` on a broker, 0 if it is not there."""
    found = (await admin.log_dirs([broker]))[broker]
    assert isinstance(found, BrokerLogs), found
    return found.sizes.get(topic, {}).get(0, 0)


def adapter(*bootstrap: str) -> KafkaBrokerAdmin:
    return KafkaBrokerAdmin(bootstrap, on_write=lambda _operation: None)


@pytest.fixture
def frozen(kafka_cluster: KafkaCluster) -> Iterator[BrokerId]:
    """Freeze broker 2 for the length of a test."""
    kafka_cluster.pause_broker(2)
    yield 2
    kafka_cluster.resume_broker(2)
    wait_until(
        lambda: len(kafka_cluster.client().list_topics(timeout=10).brokers) == len(BROKERS),
        "the frozen broker is back",
    )


async def test_leaders_are_those_that_another_client_sees(
    kafka_cluster: KafkaCluster, admin: KafkaBrokerAdmin, topic: str
) -> None:
    kafka_cluster.create_topic(topic, {0: (0, 1, 2), 1: (2, 3, 0)})
    group = {"bootstrap.servers": kafka_cluster.bootstrap, "group.id": topic}
    consumer = Consumer(group)  # makes __consumer_offsets
    consumer.subscribe([topic])
    client = kafka_cluster.client()
    wait_until(
        lambda: bool(consumer.poll(0.1) or client.list_topics().topics.get("__consumer_offsets")),
        "there are internal topics",
    )
    consumer.close()
    assert "__consumer_offsets" in client.list_topics(timeout=10).topics

    async def agree() -> bool:
        """Both see the same, though a broker that was away may be on its way back into an ISR."""
        seen = {
            name: {n: (part.leader, set(part.isrs)) for n, part in found.partitions.items()}
            for name, found in client.list_topics(timeout=10).topics.items()
        }
        ours = {
            name: {n: (part.leader, set(part.isr)) for n, part in parts.items()}
            for name, parts in (await admin.leadership()).items()
        }
        return ours == seen

    await until("both clients see the same leaders and ISRs", agree)


async def test_sizes_are_those_of_the_files_on_disk(
    kafka_cluster: KafkaCluster, admin: KafkaBrokerAdmin, topic: str, tmp_path: Path
) -> None:
    kafka_cluster.create_topic(topic, {0: (1, 2)})
    kafka_cluster.fill(topic, 0, 2 * MEGABYTE)
    logs = await admin.log_dirs(BROKERS)
    for broker in (1, 2):
        found = logs[broker]
        assert isinstance(found, BrokerLogs)
        assert found.sizes[topic] == {0: kafka_cluster.bytes_on_disk(broker, topic, 0)}
        assert found.sizes[topic][0] >= 2 * MEGABYTE
        assert found.usable is not None
        assert found.total == shutil.disk_usage(tmp_path).total, "they share a file system"
        assert MEGABYTE < found.usable <= found.total


async def test_a_throttle_slows_a_move_and_progress_shows(
    kafka_cluster: KafkaCluster,
    admin: KafkaBrokerAdmin,
    coordination: ZooKeeperCoordination,
    topic: str,
) -> None:
    kafka_cluster.create_topic(topic, {0: (0, 1)})
    kafka_cluster.fill(topic, 0, 6 * MEGABYTE)
    throttle = Throttle(MEGABYTE, (0, 1, 3), {topic: "0:0,0:1"}, {topic: "0:3"})
    await admin.set_throttle(throttle)

    async def seen() -> bool:
        return set((await admin.throttles(throttle.brokers, [])).brokers) == {0, 1, 3}

    await until("the throttle is in force", seen)
    started = time.monotonic()
    await coordination.submit({topic: {0: (3, 1)}})
    sizes: set[int] = set()
    while (await coordination.read()).requested is not None:
        sizes.add(await size_on(admin, 3, topic))
        assert time.monotonic() - started < 40
        await asyncio.sleep(0.1)
    slowed = time.monotonic() - started
    assert slowed > 3
    assert any(0 < size < 6 * MEGABYTE for size in sizes)
    assert await size_on(admin, 3, topic) >= 6 * MEGABYTE
    await admin.clear_throttle(throttle)

    async def gone() -> bool:
        return await admin.throttles(BROKERS, [topic]) == ThrottleConfigs({}, {})

    await until("the throttle is gone", gone)
    started = time.monotonic()
    await coordination.submit({topic: {0: (0, 1)}})

    async def back() -> bool:
        return (await coordination.read()).topics[topic][0] == PartitionState((0, 1))

    await until("moved back", back)
    # At the throttle it would be another three seconds and more, on whatever machine.
    assert time.monotonic() - started < slowed


async def test_throttles_on_many_topics_go_in_portions(
    kafka_cluster: KafkaCluster, topic: str
) -> None:
    """The controller takes a while for each: in one request, thousands would be late for ever."""
    names = [f"{topic}-{number}" for number in range(110)]
    kafka_cluster.create_topics(names)
    asked: list[str] = []
    admin = KafkaBrokerAdmin(kafka_cluster.bootstrap.split(","), on_write=asked.append)
    try:
        ours = Throttle(MEGABYTE, (1,), dict.fromkeys(names, "0:1"), dict.fromkeys(names, "0:3"))
        await admin.set_throttle(ours)
        assert len(asked) == 2 + 1, "two of lists, and one of broker 1"
        found = (await admin.throttles((), names)).topics
        lists = {LEADER_REPLICAS: "0:1", FOLLOWER_REPLICAS: "0:3"}
        assert found == dict.fromkeys(names, lists)
        asked.clear()
        await admin.clear_throttle(ours)
        assert len(asked) == 2 + 1
        assert await admin.throttles(BROKERS, names) == ThrottleConfigs({}, {})
    finally:
        await admin.close()
        kafka_cluster.delete_topics(names)


async def test_a_throttle_on_all_brokers_by_default_is_neither_shown_nor_touched(
    kafka_cluster: KafkaCluster, admin: KafkaBrokerAdmin
) -> None:
    kafka_cluster.configure_all_brokers({LEADER_RATE: "9000000"})
    try:
        wait_until(
            lambda: kafka_cluster.configured(ResourceType.BROKER, "1", LEADER_RATE) == "9000000",
            "broker 1 knows the default",
        )
        assert await admin.throttles(BROKERS, []) == ThrottleConfigs({}, {})
        ours = Throttle(MEGABYTE, (1,))
        await admin.set_throttle(ours)

        async def shown() -> bool:
            rates = dict.fromkeys((LEADER_RATE, FOLLOWER_RATE), str(MEGABYTE))
            return await admin.throttles(BROKERS, []) == ThrottleConfigs({1: rates}, {})

        await until("only ours is shown", shown)
        await admin.clear_throttle(ours)
        wait_until(
            lambda: kafka_cluster.configured(ResourceType.BROKER, "1", LEADER_RATE) == "9000000",
            "broker 1 is back to the default",
        )
    finally:
        kafka_cluster.configure_all_brokers({})


async def test_a_minimum_in_sync_set_for_all_brokers_is_in_force_where_no_topic_has_its_own(
    kafka_cluster: KafkaCluster, admin: KafkaBrokerAdmin, topic: str
) -> None:
    own = f"{topic}-own"
    kafka_cluster.create_topic(topic, {0: (0, 1)})
    kafka_cluster.create_topic(own, {0: (0, 1)}, {MIN_INSYNC: "3"})
    assert await admin.min_insync([topic, own]) == {topic: 1, own: 3}
    kafka_cluster.configure_all_brokers({MIN_INSYNC: "2"})
    try:

        async def changed() -> bool:
            return await admin.min_insync([topic, own]) == {topic: 2, own: 3}

        await until("the brokers' default is in force", changed)
    finally:
        kafka_cluster.configure_all_brokers({})

    async def back() -> bool:
        return await admin.min_insync([topic, own]) == {topic: 1, own: 3}

    await until("Kafka's default is back", back)


async def test_a_minimum_in_sync_of_many_topics_is_one_request(
    kafka_cluster: KafkaCluster, admin: KafkaBrokerAdmin, topic: str
) -> None:
    kafka_cluster.create_topic(topic, {0: (0, 1)})
    names = [topic, *(f"{topic}-{n}-that-nobody-made" for n in range(5_000))]
    assert await admin.min_insync(names) == {topic: 1}


async def test_a_frozen_broker_is_unknown_in_time_and_the_others_answer(
    admin: KafkaBrokerAdmin, frozen: BrokerId
) -> None:
    started = time.monotonic()
    logs = await admin.log_dirs(BROKERS)
    assert time.monotonic() - started < CALL_DEADLINE
    assert isinstance(logs[frozen], Unknown)
    assert all(isinstance(logs[broker], BrokerLogs) for broker in BROKERS if broker != frozen)


async def test_a_broker_that_joins_is_known_at_once(
    kafka_cluster: KafkaCluster, admin: KafkaBrokerAdmin
) -> None:
    kafka_cluster.stop_broker(3)

    async def away() -> bool:
        return isinstance((await admin.log_dirs([3]))[3], Unknown)

    await until("broker 3 is away", away)
    kafka_cluster.start_broker(3)

    async def known() -> bool:
        return isinstance((await admin.log_dirs([3]))[3], BrokerLogs)

    await until("broker 3 answers", known)
    await admin.clear_throttle(Throttle(1, (3,)))


async def test_finds_the_controller_that_took_over(
    kafka_cluster: KafkaCluster,
    admin: KafkaBrokerAdmin,
    coordination: ZooKeeperCoordination,
    topic: str,
) -> None:
    kafka_cluster.create_topic(topic, {0: (0, 1), 1: (2, 3)})
    await admin.reassign({topic: {0: (1, 0)}})
    old = (await coordination.read()).controller
    assert old is not None
    kafka_cluster.stop_broker(old)
    try:
        live = tuple(broker for broker in BROKERS if broker != old)[:2]
        partition = 0 if old in (2, 3) else 1

        async def accepted() -> bool:
            await admin.reassign({topic: {partition: live}})
            return True

        await until("the new controller accepts", accepted, seconds=20)

        async def moved() -> bool:
            seen = await coordination.read()
            there = seen.topics[topic][partition] == PartitionState(live)
            return there and seen.controller not in (old, None)

        await until("moved", moved)
    finally:
        kafka_cluster.start_broker(old)


async def test_recovers_when_every_broker_was_gone(
    kafka_cluster: KafkaCluster, admin: KafkaBrokerAdmin, topic: str
) -> None:
    kafka_cluster.create_topic(topic, {0: (0, 1)})

    async def known() -> bool:
        return topic in await admin.leadership()

    await until("every broker knows the topic", known)
    kafka_cluster.stop_broker(*BROKERS)
    try:
        started = time.monotonic()
        with pytest.raises(TransientError):
            await admin.leadership()
        with pytest.raises(TransientError):
            await admin.log_dirs(BROKERS)
        assert time.monotonic() - started < 2 * CALL_DEADLINE
    finally:
        kafka_cluster.start_broker(*BROKERS)

    async def back() -> bool:
        await admin.elect_preferred([TopicPartition(topic, 0)])
        return (await admin.leadership())[topic][0].leader == 0

    await until("the cluster is back", back, seconds=20)


@pytest.mark.usefixtures("no_leak")
async def test_a_failed_connection_leaves_nothing_open_and_a_new_address_helps(
    kafka_cluster: KafkaCluster,
) -> None:
    admin = adapter(*NOWHERE)
    started = time.monotonic()
    with pytest.raises(TransientError, match=NOWHERE[0]):
        await admin.leadership()
    assert time.monotonic() - started < CALL_DEADLINE
    admin.bootstrap = tuple(kafka_cluster.bootstrap.split(","))
    assert set(await admin.log_dirs(BROKERS)) == set(BROKERS)
    await admin.close()


async def test_with_nobody_to_ask_it_says_so() -> None:
    admin = adapter()
    with pytest.raises(TransientError, match="no Kafka broker"):
        await admin.leadership()
    await admin.close()


@pytest.mark.usefixtures("no_leak")
async def test_leaves_nothing_open(kafka_cluster: KafkaCluster) -> None:
    for _ in range(10):
        admin = adapter(*kafka_cluster.bootstrap.split(","))
        await asyncio.gather(admin.leadership(), admin.log_dirs(BROKERS))
        await admin.close()
