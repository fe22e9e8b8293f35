"""What chaos takes for the truth is what Kafka does: a move, its throttle, an ISR, an end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import ResourceType
from kazoo.client import KazooClient

from tests.chaos import truth
from tests.kafka.processes import wait_until

if TYPE_CHECKING:
    from tests.kafka.cluster import KafkaCluster

pytestmark = pytest.mark.kafka

RATES = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
LISTS = ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas")


def told(cluster: KafkaCluster) -> truth.Truth:
    """Ask as chaos does, in a process of its own."""
    argv = [sys.executable, truth.__file__, cluster.connect]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return truth.Truth(**json.loads(done.stdout))


def test_a_throttled_move_is_seen_until_it_ends(kafka_cluster: KafkaCluster, topic: str) -> None:
    kafka_cluster.create_topic(topic, {0: [0, 1]})
    kafka_cluster.fill(topic, 0, 4_000_000)
    name = f"{topic}-0"
    before = told(kafka_cluster)
    assert before.brokers == [0, 1, 2, 3]
    assert before.replicas[name] == before.in_sync[name] == [0, 1]
    assert not before.unrest(4)
    for key in LISTS:
        kafka_cluster.configure(ResourceType.TOPIC, topic, key, "*")
    kafka_cluster.configure_all_brokers(dict.fromkeys(RATES, "50000"))
    wanted = {"topic": topic, "partition": 0, "replicas": [2, 1]}
    client = KazooClient(kafka_cluster.connect)
    client.start()
    try:
        content = json.dumps({"version": 1, "partitions": [wanted]}).encode()
        client.create("/admin/reassign_partitions", content)
        wait_until(lambda: bool(told(kafka_cluster).moving), "the move is under way")
        during = told(kafka_cluster)
        assert during.moving == [name]
        assert json.loads(during.pending)["partitions"] == [wanted]
        assert f"topic {topic} {LISTS[0]}=*" in during.throttles
        assert f"broker <default> {RATES[1]}=50000" in during.throttles
        assert set(during.replicas[name]) == {0, 1, 2}
        assert len(during.unrest(4)) == 4, "not in sync, moving, pending, throttled"
    finally:
        client.stop()
        client.close()
        kafka_cluster.configure_all_brokers({})
        for key in LISTS:
            kafka_cluster.configure(ResourceType.TOPIC, topic, key, None)
    wait_until(lambda: not told(kafka_cluster).unrest(4), "the move has ended")
    assert told(kafka_cluster).replicas[name] == [2, 1]
    kafka_cluster.kill_broker(2)
    try:
        wait_until(lambda: told(kafka_cluster).brokers == [0, 1, 3], "broker 2 is missed")
        wait_until(lambda: told(kafka_cluster).in_sync[name] == [1], "its replicas are, too")
        assert len(told(kafka_cluster).unrest(4)) >= 2
    finally:
        kafka_cluster.start_broker(2)
    wait_until(lambda: not told(kafka_cluster).unrest(4), "all is in sync again")
