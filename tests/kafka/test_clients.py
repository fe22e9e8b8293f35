from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker_operator.adapters.clients import KafkaClients, qualified
from broker_operator.ports import TransientError
from tests.kafka.processes import wait_until

if TYPE_CHECKING:
    from tests.kafka.cluster import KafkaCluster

DOMAIN = "apps.svc.cluster.local"


def clients(zookeeper: list[str] | None = None, kafka: list[str] | None = None) -> KafkaClients:
    return KafkaClients(
        cluster_domain="cluster.local",
        on_zookeeper_write=([] if zookeeper is None else zookeeper).append,
        on_kafka_write=([] if kafka is None else kafka).append,
    )


@pytest.mark.parametrize(
    ("connect", "spelled"),
    [
        ("zk:2181", f"zk.{DOMAIN}:2181"),
        ("zk", f"zk.{DOMAIN}:2181"),
        ("zk-0:2181, zk-1:2182/kafka/a", f"zk-0.{DOMAIN}:2181,zk-1.{DOMAIN}:2182/kafka/a"),
        (f"zk.{DOMAIN}:2181/a", f"zk.{DOMAIN}:2181/a"),
        ("zk.example.com.:2181", "zk.example.com.:2181"),
        ("zk.nowhere.invalid:2181", "zk.nowhere.invalid:2181"),
        ("10.0.0.7:2181/a", "10.0.0.7:2181/a"),
        ("[::1]:2181", "[::1]:2181"),
        ("localhost:2181", "localhost:2181"),
    ],
)
def test_host_names_mean_what_they_mean_in_the_namespace(connect: str, spelled: str) -> None:
    assert qualified(connect, DOMAIN) == spelled


async def test_one_client_for_each_cluster_until_it_is_released(
    kafka_cluster: KafkaCluster, topic: str
) -> None:
    zookeeper: list[str] = []
    kafka: list[str] = []
    both = clients(zookeeper, kafka)
    connect, bootstrap = kafka_cluster.connect, tuple(kafka_cluster.bootstrap.split(","))
    coordination = both.coordination(connect, "apps")
    assert both.coordination(connect, "apps") is coordination
    assert both.coordination(connect, "others") is not coordination
    admin = both.admin(connect, "apps", bootstrap[:1])
    assert both.admin(connect, "apps", bootstrap) is admin
    assert admin.bootstrap == bootstrap
    kafka_cluster.create_topic(topic, {0: (0, 1)})
    await coordination.submit({topic: {0: (1, 0)}})
    await admin.reassign({topic: {0: (1, 0)}})
    assert zookeeper == ["create /admin/reassign_partitions"]
    assert kafka == ["AlterPartitionReassignments"]
    await both.release(connect, "apps")
    with pytest.raises(TransientError, match="closed"):
        await coordination.read()
    with pytest.raises(TransientError, match="closed"):
        await admin.leadership()
    again = both.coordination(connect, "apps")
    assert again is not coordination
    assert topic in (await again.read()).topics
    await both.close()


@pytest.mark.usefixtures("no_leak")
async def test_releasing_is_quiet_whatever_is_open(kafka_cluster: KafkaCluster) -> None:
    both = clients()
    await both.release("zk:2181", "apps")
    both.coordination("127.0.0.1:1", "apps")
    await both.release("127.0.0.1:1", "apps")
    await both.coordination(kafka_cluster.connect, "apps").read()
    await both.release(kafka_cluster.connect, "apps")
    both.admin(kafka_cluster.connect, "apps", ())
    await both.close()


async def test_passes_cost_no_memory_and_no_thread(kafka_cluster: KafkaCluster) -> None:
    both = clients()
    connect, bootstrap = kafka_cluster.connect, tuple(kafka_cluster.bootstrap.split(","))

    async def look() -> None:
        await both.coordination(connect, "apps").read()
        await both.admin(connect, "apps", bootstrap).leadership()
        await both.admin(connect, "apps", bootstrap).log_dirs((0, 1, 2, 3))
        await both.admin(connect, "apps", bootstrap).throttles((0, 1, 2, 3), [])

    for _ in range(20):
        await look()
    threads, memory = threading.active_count(), resident_kib()
    for _ in range(100):
        await look()
    assert threading.active_count() <= threads
    assert resident_kib() - memory < 3 * 1024
    await both.close()
    wait_until(
        lambda: not re.search("zookeeper|kafka-admin|kafka-io", str(threading.enumerate())),
        "no thread of ours is left",
    )


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
