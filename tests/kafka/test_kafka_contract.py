"""The live adapters keep the contract that the fake in memory keeps."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest_asyncio
from confluent_kafka.admin import ResourceType

from broker_operator.core.model import LEADER_RATE, LEADER_REPLICAS
from tests.contract.kafka_contract import KafkaContract
from tests.contract.kafka_world import BROKERS, World
from tests.kafka.nodes import REQUEST, Nodes, deafen
from tests.kafka.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from broker_operator.adapters.kafka import KafkaBrokerAdmin
    from broker_operator.adapters.zookeeper import ZooKeeperCoordination
    from broker_operator.core.model import BrokerId, Replicas
    from tests.kafka.cluster import KafkaCluster


class LiveWorld(World):
    def __init__(
        self,
        cluster: KafkaCluster,
        coordination: ZooKeeperCoordination,
        admin: KafkaBrokerAdmin,
        writes: list[str],
        topic: str,
    ) -> None:
        self._cluster = cluster
        self._stopped: list[BrokerId] = []
        self._held = False
        self._nodes = Nodes(cluster.zookeeper, "/kafka")
        self.coordination = coordination
        self.admin = admin
        self.writes = writes
        self.topic = topic

    async def create_topic(self, assignment: Mapping[int, Replicas], size: int = 0) -> None:
        await asyncio.to_thread(self._cluster.create_topic, self.topic, assignment)
        for number in assignment:
            await asyncio.to_thread(self._cluster.fill, self.topic, number, size)

    async def delete_topic(self) -> None:
        await asyncio.to_thread(self._cluster.delete_topic, self.topic)

    async def configure_topic(self, key: str, value: str | None) -> None:
        topic = (ResourceType.TOPIC, self.topic)
        await asyncio.to_thread(self._cluster.configure, *topic, key, value)

    async def put_request(self, content: bytes) -> None:
        self._nodes.set(REQUEST, content)

    async def deafen(self) -> None:
        await asyncio.to_thread(deafen, self._nodes, self.topic, 0)

    async def stop_broker(self, broker: BrokerId) -> None:
        self._stopped.append(broker)
        await asyncio.to_thread(self._cluster.stop_broker, broker)

    async def start_broker(self, broker: BrokerId) -> None:
        await asyncio.to_thread(self._cluster.start_broker, broker)
        self._stopped.remove(broker)

    async def hold(self) -> None:
        """Throttle to a byte per second: the first fetch passes, the next waits a long time."""
        self._held = True
        await asyncio.to_thread(self._throttle, "1")

    async def let_go(self) -> None:
        await asyncio.to_thread(self._throttle, None)
        self._held = False

    async def restore(self) -> None:
        """Put right what a failed test left behind."""
        self._nodes.close()
        for broker in list(self._stopped):
            await self.start_broker(broker)
        if self._held:
            await self.let_go()

    def _throttle(self, rate: str | None) -> None:
        everything = None if rate is None else "*"
        self._cluster.configure(ResourceType.TOPIC, self.topic, LEADER_REPLICAS, everything)
        for broker in BROKERS:
            self._cluster.configure(ResourceType.BROKER, str(broker), LEADER_RATE, rate)
        for broker in BROKERS:
            wait_until(
                partial(self._has_rate, broker, rate), f"broker {broker} has the rate {rate}"
            )

    def _has_rate(self, broker: BrokerId, rate: str | None) -> bool:
        return self._cluster.configured(ResourceType.BROKER, str(broker), LEADER_RATE) == rate


class TestLiveKafka(KafkaContract):
    @pytest_asyncio.fixture
    async def world(
        self,
        kafka_cluster: KafkaCluster,
        coordination: ZooKeeperCoordination,
        admin: KafkaBrokerAdmin,
        writes: list[str],
        topic: str,
    ) -> AsyncIterator[World]:
        world = LiveWorld(kafka_cluster, coordination, admin, writes, topic)
        yield world
        await world.restore()
