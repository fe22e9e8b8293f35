"""Users change in mid-move what is being moved, with tools of their own."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions, ResourceType

from tests.kafka.cluster import CALL_DEADLINE
from tests.kafka.matrix.moves import JOINING, ROWS, moving, tool

if TYPE_CHECKING:
    import random

    from tests.kafka.cluster import KafkaCluster

DOOMED = "payments"
FOREIGN_RATE = "3000000"
LEADER_RATE = "leader.replication.throttled.rate"


async def test_a_topic_is_deleted(live_brokers: KafkaCluster, rng: random.Random) -> None:
    async with moving(live_brokers, rng, unchecked=DOOMED) as move:
        world = move.world
        await world.until(
            lambda: any(topic == DOOMED for topic, _ in world.view.in_flight()),
            "a partition of it is in flight",
        )
        live_brokers.delete_topic(DOOMED)
        await move.end()
        assert DOOMED not in world.view.topics()


async def test_partitions_are_added(live_brokers: KafkaCluster, rng: random.Random) -> None:
    async with moving(live_brokers, rng, latest=0.3) as move:  # in the first of two batches
        world = move.world
        rows = [[b for b in rng.sample(range(4), 4) if b != absent] for absent in range(4)]
        admin = live_brokers.client()
        end = time.monotonic() + CALL_DEADLINE
        refusal = ""

        async def added() -> bool:
            nonlocal refusal
            wanted = NewPartitions(move.topic, len(ROWS) + len(rows), replica_assignment=rows)
            future = admin.create_partitions([wanted])[move.topic]
            try:
                await asyncio.to_thread(future.result, CALL_DEADLINE)
            except KafkaException as error:
                refusal = str(error)
                return False
            return True

        # Kafka refuses while any partition of the topic is in flight: this is between two batches.
        while not await added():
            assert time.monotonic() < end, refusal
            await asyncio.sleep(0.1)
        coming = [n for n, replicas in move.target().items() if JOINING in replicas]
        assert not all(JOINING in move.replicas(n) for n in coming), "in mid-move"
        await move.end()
        for number, replicas in enumerate(rows, start=len(ROWS)):
            assert world.view.assignment()[move.topic, number] == replicas


async def test_the_replication_factor_is_changed(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng) as move, tool(live_brokers) as admin:
        world, number = move.world, rng.choice(sorted(ROWS))
        now = world.view.assignment()[move.topic, number]
        kept = tuple(rng.sample([b for b in now if b != JOINING], 2))
        await admin.reassign({move.topic: {number: kept}})
        await move.end()
        factors = {n: len(world.view.assignment()[move.topic, n]) for n in ROWS}
        assert factors == {n: 2 if n == number else 3 for n in ROWS}


async def test_a_partition_is_reordered_that_the_plan_leaves_alone(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng, latest=0.3) as move, tool(live_brokers) as admin:
        world, plan = move.world, move.world.memory.plans.plan
        assert plan is not None
        number = rng.choice(sorted(ROWS.keys() - plan.ends[move.topic].keys()))
        wanted = move.replicas(number)[::-1]
        await admin.reassign({move.topic: {number: tuple(wanted)}})
        await move.end()
        assert move.replicas(number) == wanted
        assert len(world.reassignments()) == 1
        assert world.reassignments()[0].succeeded


async def test_configs_are_changed(live_brokers: KafkaCluster, rng: random.Random) -> None:
    async with moving(live_brokers, rng) as move:
        world, broker = move.world, rng.choice([0, 1, 2])
        topic, its = ResourceType.TOPIC, {"retention.ms": "7200000", "max.message.bytes": "500000"}
        for key, value in its.items():
            live_brokers.configure(topic, move.topic, key, value)
        live_brokers.configure(ResourceType.BROKER, str(broker), LEADER_RATE, FOREIGN_RATE)
        await world.until(lambda: not move.flying(), "the batch ends")
        await world.settle()
        assert world.view.throttles() == {f"brokers/{broker}": {LEADER_RATE: FOREIGN_RATE}}
        assert "ForeignThrottle" in world.recorder.reasons()
        live_brokers.configure(ResourceType.BROKER, str(broker), LEADER_RATE, None)
        await move.end()
        for key, value in its.items():
            assert live_brokers.configured(topic, move.topic, key) == value
