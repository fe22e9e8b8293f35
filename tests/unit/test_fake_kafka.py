"""The Kafka cluster in memory keeps the contract that live brokers keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.adapters import znodes
from broker_operator.core.model import (
    MIN_INSYNC,
    BrokerLogs,
    PartitionState,
    SpoiltRequest,
    TopicPartition,
    Unknown,
)
from broker_operator.ports import TransientError
from tests.contract.kafka_contract import KafkaContract
from tests.contract.kafka_world import BROKERS, World
from tests.fakes.kafka import FakeClients, FakeKafka

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import BrokerId, Replicas


class FakeWorld(World):
    topic = "orders"

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.coordination = kafka.coordination
        self.admin = kafka.admin
        self.writes = kafka.writes

    async def create_topic(self, assignment: Mapping[int, Replicas], size: int = 0) -> None:
        self._kafka.create_topic(self.topic, assignment, size)

    async def delete_topic(self) -> None:
        self._kafka.delete_topic(self.topic)

    async def configure_topic(self, key: str, value: str | None) -> None:
        configs = self._kafka.topic_configs.setdefault(self.topic, {})
        if value is None:
            configs.pop(key, None)
        else:
            configs[key] = value

    async def put_request(self, content: bytes) -> None:
        found = znodes.read_reassignment(content)
        if isinstance(found, SpoiltRequest):
            self._kafka.request = found.reason
        else:
            self._kafka.ask_for(found)

    async def deafen(self) -> None:
        self._kafka.deaf = True

    async def stop_broker(self, broker: BrokerId) -> None:
        self._kafka.stop_broker(broker)

    async def start_broker(self, broker: BrokerId) -> None:
        self._kafka.start_broker(broker)

    async def hold(self) -> None:
        self._kafka.complete_after = None

    async def let_go(self) -> None:
        self._kafka.complete()


@pytest.fixture
def kafka() -> FakeKafka:
    kafka = FakeKafka(complete_after=1)
    for broker in BROKERS:
        kafka.start_broker(broker)
    return kafka


class TestFakeKafka(KafkaContract):
    @pytest.fixture
    def world(self, kafka: FakeKafka) -> World:
        return FakeWorld(kafka)


async def test_moves_finish_when_told_to_one_by_one(kafka: FakeKafka) -> None:
    kafka.complete_after = None
    kafka.create_topic("orders", {0: (0, 1), 1: (0, 1)})
    await kafka.coordination.submit({"orders": {0: (2, 1), 1: (3, 1)}})
    kafka.complete(TopicPartition("orders", 1))
    seen = await kafka.coordination.read()
    assert seen.topics["orders"][0].in_flight
    assert seen.topics["orders"][1] == PartitionState((3, 1))
    assert seen.requested == {"orders": {0: (2, 1)}}


async def test_moves_finish_after_as_many_reads_as_asked_for(kafka: FakeKafka) -> None:
    kafka.complete_after = 2
    kafka.create_topic("orders", {0: (0, 1)})
    await kafka.coordination.submit({"orders": {0: (2, 1)}})
    flying = [(await kafka.coordination.read()).topics["orders"][0].in_flight for _ in range(3)]
    assert flying == [True, True, False]


async def test_a_move_to_a_broker_that_died_waits_for_it(kafka: FakeKafka) -> None:
    kafka.create_topic("orders", {0: (0, 1)})
    await kafka.coordination.submit({"orders": {0: (3, 1)}})
    kafka.stop_broker(3)
    kafka.complete()
    assert (await kafka.coordination.read()).topics["orders"][0].in_flight
    kafka.start_broker(3)
    kafka.complete()
    assert (await kafka.coordination.read()).topics["orders"][0] == PartitionState((3, 1))


async def test_a_replica_being_filled_is_partly_on_disk(kafka: FakeKafka) -> None:
    kafka.complete_after, kafka.filled = None, 0.25
    kafka.create_topic("orders", {0: (0, 1)}, size=1_000)
    await kafka.coordination.submit({"orders": {0: (3, 1)}})
    logs = (await kafka.admin.log_dirs([3]))[3]
    assert not isinstance(logs, Unknown)
    assert logs.sizes == {"orders": {0: 250}}


async def test_nobody_can_parse_a_request_in_words(kafka: FakeKafka) -> None:
    kafka.request = "not JSON"
    assert isinstance((await kafka.coordination.read()).requested, Unknown)


async def test_an_ensemble_that_is_down_fails_every_call(kafka: FakeKafka) -> None:
    kafka.ensemble_down = True
    with pytest.raises(TransientError):
        await kafka.coordination.read()
    with pytest.raises(TransientError):
        await kafka.coordination.submit({"orders": {0: (0, 1)}})


async def test_a_silent_broker_is_unknown_to_log_dirs_and_fails_throttles(kafka: FakeKafka) -> None:
    kafka.silent.add(2)
    logs = await kafka.admin.log_dirs(BROKERS)
    assert [broker for broker, found in logs.items() if isinstance(found, Unknown)] == [2]
    with pytest.raises(TransientError):
        await kafka.admin.throttles(BROKERS, [])


async def test_brokers_tell_of_their_disks_what_a_test_says(kafka: FakeKafka) -> None:
    kafka.total[1], kafka.usable[1] = 1_000, 400
    logs = await kafka.admin.log_dirs([0, 1])
    assert logs == {0: BrokerLogs({}), 1: BrokerLogs({}, usable=400, total=1_000)}


async def test_topics_without_a_minimum_in_sync_have_that_of_the_cluster(kafka: FakeKafka) -> None:
    kafka.min_insync = 2
    kafka.create_topic("orders", {0: (0, 1)})
    kafka.create_topic("logs", {0: (0, 1)})
    kafka.topic_configs["logs"] = {MIN_INSYNC: "3"}
    assert await kafka.admin.min_insync(["orders", "logs"]) == {"orders": 2, "logs": 3}
    kafka.deleting.add("logs")
    assert await kafka.admin.min_insync(["orders", "logs"]) == {"orders": 2}


async def test_no_broker_at_all_fails_every_call_to_them(kafka: FakeKafka) -> None:
    kafka.silent.update(BROKERS)
    with pytest.raises(TransientError):
        await kafka.admin.leadership()
    with pytest.raises(TransientError):
        await kafka.admin.log_dirs(BROKERS)
    with pytest.raises(TransientError):
        await kafka.admin.min_insync(["orders"])


async def test_clients_find_clusters_by_connect_string_and_reconnect(kafka: FakeKafka) -> None:
    clients = FakeClients({"zk:2181/a": kafka})
    before = clients.coordination("zk:2181/a", "apps")
    assert clients.admin("zk:2181/a", "apps", ("broker:9092",)).bootstrap == ("broker:9092",)
    await clients.release("zk:2181/a", "apps")
    with pytest.raises(TransientError):
        await before.read()
    assert set((await clients.coordination("zk:2181/a", "apps").read()).brokers) == set(BROKERS)
    with pytest.raises(TransientError):
        await clients.coordination("zk:2181/b", "apps").read()
    assert clients.released == [("zk:2181/a", "apps")]
