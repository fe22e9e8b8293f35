"""A live Kafka cluster for the whole session, and the adapters connected to it."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from broker_operator.adapters.kafka import KafkaBrokerAdmin
from broker_operator.adapters.zookeeper import ZooKeeperCoordination
from tests.kafka.cluster import KafkaCluster
from tests.kafka.nodes import Nodes
from tests.kafka.processes import wait_until
from tests.unit.reconcile.world import host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/kafka/" in item.path.as_posix():
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Four brokers, 0 to 3, in racks a, b, a, b. Whoever stops something starts it again."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    cluster = KafkaCluster(folder, brokers=4, racks=("a", "b"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def lone_zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A ZooKeeper server without any broker, to write into by hand, to stop and to freeze."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("zookeeper"), brokers=0)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def live_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Four brokers without racks, known by the names of their pods, for `LiveWorld`."""
    folder = tmp_path_factory.mktemp("live")
    cluster = KafkaCluster(folder, brokers=4, host=lambda broker: host(f"demo-broker-{broker}"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def nodes(lone_zookeeper: KafkaCluster, topic: str) -> Iterator[Nodes]:
    nodes = Nodes(lone_zookeeper.zookeeper, f"/{topic}")
    yield nodes
    nodes.close()


@pytest.fixture
def no_leak() -> Iterator[None]:
    """Check that the test leaves no thread and no open file behind."""
    before = (threading.active_count(), _open_files())
    yield
    wait_until(
        lambda: threading.active_count() <= before[0] and _open_files() <= before[1],
        f"back to {before[0]} threads and {before[1]} open files",
    )


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def topic() -> str:
    """Return a topic name that no other test uses."""
    return f"topic-{next(_numbers)}"


@pytest.fixture
def writes() -> list[str]:
    """Return the list in which the adapters below note each attempt to write."""
    return []


@pytest_asyncio.fixture
async def coordination(
    kafka_cluster: KafkaCluster, writes: list[str]
) -> AsyncIterator[ZooKeeperCoordination]:
    """Yield the coordination adapter of the live cluster."""
    adapter = ZooKeeperCoordination(lambda: kafka_cluster.connect, on_write=writes.append)
    yield adapter
    await adapter.close()


@pytest_asyncio.fixture
async def admin(kafka_cluster: KafkaCluster, writes: list[str]) -> AsyncIterator[KafkaBrokerAdmin]:
    """Yield the Admin API adapter of the live cluster."""
    adapter = KafkaBrokerAdmin(kafka_cluster.bootstrap.split(","), on_write=writes.append)
    yield adapter
    await adapter.close()
