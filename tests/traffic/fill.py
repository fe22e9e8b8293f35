"""`fill`: make topics and put real, incompressible bytes on all their partitions, quickly."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from tests.traffic.client import TrafficError, admin_client, emit, partitions_of
from tests.traffic.produce import CheckedProducer, ProduceOptions

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_MEGABYTE = 1_000_000
_LEADER_SECONDS = 60.0
_CREATE_SECONDS = 60.0
_POLL_EVERY = 64


@dataclass(frozen=True, slots=True)
class FillOptions:
    """What to make.

    Attributes:
        bootstrap: host:port of a broker.
        prefix: Topics are named `<prefix>00`, `<prefix>01`, ...
        topics: How many.
        partitions: Partitions of each topic.
        replication: Replication factor.
        megabytes: 10^6 bytes of payload over all partitions, replicas not counted.
        size: Bytes of a record.
        producer: Name in the records.
        timeout: Seconds until all must be acked.
        config: Topic configuration, `min.insync.replicas` among it.
    """

    bootstrap: str
    prefix: str
    topics: int
    partitions: int
    replication: int
    megabytes: float
    size: int
    producer: str
    timeout: float
    config: dict[str, str] = field(default_factory=dict)


def fill(options: FillOptions) -> int:
    """Make the topics that do not exist, fill them, and print the ledger; exit status 0.

    Raises:
        TrafficError: If a topic cannot be made or a record is not acked in time.
    """
    started = time.monotonic()
    admin = admin_client(options.bootstrap)
    _create_topics(admin, options)
    partitions = partitions_of(admin, options.prefix, _LEADER_SECONDS)
    created = time.monotonic()
    producer = CheckedProducer(
        ProduceOptions(
            bootstrap=options.bootstrap,
            prefix=options.prefix,
            producer=options.producer,
            rate=0,
            size=options.size,
            flush=options.timeout,
        ),
        partitions,
        # Few large requests: the brokers' CPU is what a small machine lacks.
        {"linger.ms": 50, "batch.size": 1_000_000, "queue.buffering.max.kbytes": 65_536},
    )
    _send_all(
        producer, round(options.megabytes * _MEGABYTE / options.size), started + options.timeout
    )
    emit(
        "filled",
        **producer.ledger.to_json(),
        total=producer.acked,
        topics=options.topics,
        partitions=len(partitions),
        bytes=producer.acked * options.size,
        create_s=round(created - started, 1),
        fill_s=round(time.monotonic() - created, 1),
    )
    return 0


def _create_topics(admin: AdminClient, options: FillOptions) -> None:
    topics = [
        NewTopic(
            f"{options.prefix}{number:02d}",
            num_partitions=options.partitions,
            replication_factor=options.replication,
            config=options.config,
        )
        for number in range(options.topics)
    ]
    made = admin.create_topics(topics, operation_timeout=30, request_timeout=_CREATE_SECONDS)
    for name, future in made.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TrafficError(f"topic {name} cannot be made: {error}") from error


def _send_all(producer: CheckedProducer, records: int, deadline: float) -> None:
    while producer.sent < records and not producer.failure:
        producer.turn()
        if not producer.send():
            producer.poll(0.1)
        elif producer.sent % _POLL_EVERY == 0:
            producer.poll(0)
        if time.monotonic() > deadline:
            raise TrafficError(f"only {producer.acked} of {records} records were acked in time")
    left = producer.flush(max(0.0, deadline - time.monotonic()))
    if producer.failure or left:
        raise TrafficError(
            producer.failure or f"{left} of {records} records were not acked in time"
        )
