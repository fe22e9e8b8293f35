"""Records that were acknowledged, and whether they can still be read."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from kafka import KafkaConsumer, TopicPartition

if TYPE_CHECKING:
    from tests.kafka.cluster import KafkaCluster

SECONDS = 30.0


class Records:
    """Writes to every partition of a topic, and reads all of it back."""

    def __init__(self, cluster: KafkaCluster, topic: str, partitions: int) -> None:
        self._cluster, self._topic, self._partitions = cluster, topic, partitions
        self._acked: Counter[tuple[int, bytes]] = Counter()
        self._written = 0

    def write(self, count: int = 20) -> None:
        """Write so many records to each partition.

        Raises:
            RuntimeError: One was not acknowledged by all in-sync replicas.
        """
        producer = Producer(
            {
                "bootstrap.servers": self._cluster.bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": int(SECONDS * 1000),
            }
        )
        failed: list[Any] = []

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                failed.append(error)
            else:
                self._acked[message.partition(), message.value()] += 1

        for number in range(self._written, self._written + count):
            for partition in range(self._partitions):
                value = str(number).encode()
                producer.produce(self._topic, value, partition=partition, on_delivery=delivered)
        self._written += count
        if producer.flush(SECONDS) or failed:
            raise RuntimeError(f"not every record is acknowledged: {failed[:3]}")

    def lost(self) -> Counter[tuple[int, bytes]]:
        """Read every partition from its beginning; return what was acknowledged and is not there.

        Raises:
            RuntimeError: A partition cannot be read to its end.
        """
        # In no group: brokers would make a topic for the offsets of one, which must be moved, too.
        consumer = KafkaConsumer(
            bootstrap_servers=self._cluster.bootstrap.split(","), enable_auto_commit=False
        )
        try:
            parts = [TopicPartition(self._topic, n) for n in range(self._partitions)]
            ends = consumer.end_offsets(parts, timeout_ms=SECONDS * 1000)
            consumer.assign(parts)
            consumer.seek_to_beginning(*parts)
            found: Counter[tuple[int, bytes]] = Counter()
            left = {part for part in parts if ends[part]}
            deadline = time.monotonic() + SECONDS
            while left:
                for part, records in consumer.poll(1000).items():
                    found.update((part.partition, record.value) for record in records)
                left = {part for part in left if consumer.position(part) < ends[part]}
                if left and time.monotonic() > deadline:
                    raise RuntimeError(f"cannot read to the end of {left}")
        finally:
            consumer.close()
        return self._acked - found
