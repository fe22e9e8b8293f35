"""The broker admin port on the Kafka protocol."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from kafka.admin import ConfigResourceType
from kafka.errors import BrokerResponseError
from kafka.protocol.admin import (
    AlterPartitionReassignmentsRequest,
    DescribeConfigsRequest,
    DescribeLogDirsRequest,
    ElectionType,
    ElectLeadersRequest,
)
from kafka.protocol.metadata import MetadataRequest

from broker_operator.adapters import throttling
from broker_operator.adapters.kafka_client import (
    ELECTION_NOT_NEEDED,
    OK,
    REQUEST_TIMED_OUT,
    SERVER_TIMEOUT,
    UNKNOWN_TOPIC_OR_PARTITION,
    AdminClient,
    check,
    describe,
    is_passing,
    open_client,
    say,
)
from broker_operator.adapters.pool import DeadlineError, Pool
from broker_operator.adapters.znodes import shape_problems
from broker_operator.core.model import (
    MIN_INSYNC,
    BrokerLogs,
    Leadership,
    TopicPartition,
    Unknown,
)
from broker_operator.ports import RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from broker_operator.core.model import Assignment, BrokerId, Throttle, ThrottleConfigs

CALL_DEADLINE = 16.0
"""Seconds; above what connecting, one request and the time between the first and the last broker
that is asked may take together."""

_WORKERS = 3

P = TypeVar("P")
T = TypeVar("T")


class KafkaBrokerAdmin:
    """`ports.BrokerAdmin` of one cluster. Connects at the first call, and anew after a failure.

    Args:
        bootstrap: `host:port` of brokers to ask first. May be replaced at any time; it is used
            whenever a new connection to the cluster as a whole is needed.
        on_write: Called with the API's name before each attempt to write, in a worker thread.
    """

    def __init__(self, bootstrap: Sequence[str], *, on_write: Callable[[str], None]) -> None:
        self.bootstrap = tuple(bootstrap)
        self._on_write = on_write
        self._pool = Pool("kafka-admin", _WORKERS)
        self._lock = threading.Lock()
        self._client: AdminClient | None = None
        self._closed = False

    async def leadership(self) -> dict[str, dict[int, Leadership]]:
        """Leader and ISR of every partition, internal topics included."""
        return await self._call(_leadership)

    async def log_dirs(self, brokers: Iterable[BrokerId]) -> dict[BrokerId, BrokerLogs | Unknown]:
        """Sizes of the replicas on each broker asked."""
        return await self._call(partial(self._log_dirs, brokers=tuple(brokers)))

    async def reassign(self, batch: Assignment) -> None:
        """Ask the controller for these targets (KIP-455)."""
        if problems := list(shape_problems(batch)):
            raise RejectedError("; ".join(problems))
        if any(batch.values()):
            await self._call(partial(_reassign, batch=batch, on_write=self._on_write))

    async def elect_preferred(self, partitions: Iterable[TopicPartition]) -> None:
        """Elect the first replica of each of these partitions, where it is in sync (KIP-460)."""
        if wanted := sorted(set(partitions)):
            await self._call(partial(_elect_preferred, partitions=wanted, on_write=self._on_write))

    async def throttles(
        self, brokers: Iterable[BrokerId], topics: Iterable[str]
    ) -> ThrottleConfigs:
        """Throttles set on these brokers and topics themselves, not those of the default broker."""
        return await self._call(
            partial(throttling.describe, brokers=tuple(brokers), topics=tuple(topics))
        )

    async def min_insync(self, topics: Iterable[str]) -> dict[str, int]:
        """The topics' `min.insync.replicas` in force, whoever set it and where (one request)."""
        wanted = sorted(set(topics))
        return await self._call(partial(_min_insync, topics=wanted)) if wanted else {}

    async def set_throttle(self, throttle: Throttle) -> None:
        """Set the replica lists, then the rates; whoever is cut off has set what came first."""
        for lists in throttling.lists_of(throttle):
            await self._write(throttling.set_lists, lists)
            await asyncio.sleep(throttling.APART)
        await self._write(throttling.set_rates, throttle)

    async def clear_throttle(self, throttle: Throttle) -> None:
        """Delete the rates, then the replica lists; as much of it as can be reached."""
        failure: TransientError | RejectedError | None = None
        try:
            await self._write(throttling.clear_rates, throttle)
        except (TransientError, RejectedError) as error:
            failure = error
        for lists in throttling.lists_of(throttle):
            await asyncio.sleep(throttling.APART)
            try:
                await self._write(throttling.clear_lists, lists)
            except RejectedError as error:  # another portion may be allowed
                failure = failure or error
        if failure is not None:
            raise failure
        await self._call(partial(throttling.await_gone, throttle=throttle))

    async def close(self) -> None:
        """Close all connections and end the threads; quiet if that is done already."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._pool.call(CALL_DEADLINE, self._discard, self._client)
        finally:
            self._pool.close()

    async def _write(
        self, work: Callable[[AdminClient, P, Callable[[str], None]], None], what: P
    ) -> None:
        await self._call(lambda client: work(client, what, self._on_write))

    async def _call(self, work: Callable[[AdminClient], T]) -> T:
        try:
            return await self._pool.call(CALL_DEADLINE, self._guarded, work)
        except DeadlineError as error:
            # The pool's threads may all be stuck in this client: closing it is what frees them.
            threading.Thread(target=self._discard, args=(self._client,), daemon=True).start()
            raise TransientError(f"{self._where}: {error}") from error

    def _guarded(self, work: Callable[[AdminClient], T]) -> T:
        """Do `work` with a connected client; after a failure the next call gets a new one."""
        client = None
        try:
            client = self._connected()
            return work(client)
        except (TransientError, RejectedError):
            raise
        except Exception as error:
            if isinstance(error, BrokerResponseError) and not is_passing(type(error)):
                raise RejectedError(f"{self._where}: {error}") from error
            # A dying connection makes the library raise whatever it trips over, AttributeError too.
            self._discard(client)
            raise TransientError(f"{self._where}: {say(error)}") from error

    def _log_dirs(
        self, client: AdminClient, brokers: Sequence[BrokerId]
    ) -> dict[BrokerId, BrokerLogs | Unknown]:
        requests = {broker: DescribeLogDirsRequest(topics=None) for broker in brokers}
        logs = {
            broker: _broker_logs(broker, answer)
            for broker, answer in client.ask_each(requests).items()
        }
        if all(isinstance(found, Unknown) for found in logs.values()):
            self._discard(client)  # perhaps it knows nobody any more
        return logs

    def _connected(self) -> AdminClient:
        with self._lock:
            if self._closed:
                raise TransientError("the client is closed")
            if self._client is None:
                if not self.bootstrap:
                    raise TransientError("no Kafka broker to ask")
                self._client = open_client(self.bootstrap)
            return self._client

    def _discard(self, client: AdminClient | None) -> None:
        with self._lock:
            if client is None or client is not self._client:
                return
            self._client = None
        client.close()

    @property
    def _where(self) -> str:
        return f"Kafka at {','.join(self.bootstrap)}"


def _leadership(client: AdminClient) -> dict[str, dict[int, Leadership]]:
    response = client.ask(MetadataRequest(topics=None, allow_auto_topic_creation=False))
    if response.controller_id < 0:
        raise TransientError("the broker asked knows no controller yet, so it may not know topics")
    found = {}
    for topic in response.topics:
        if topic.error_code == UNKNOWN_TOPIC_OR_PARTITION:
            continue  # deleted just now
        if topic.error_code != OK:
            raise TransientError(f"metadata of topic {topic.name}: {describe(topic.error_code)}")
        found[topic.name] = {
            part.partition_index: Leadership(
                leader=part.leader_id if part.leader_id >= 0 else None,
                isr=frozenset(part.isr_nodes),
            )
            for part in topic.partitions
        }
    return found


def _broker_logs(broker: BrokerId, answer: Any) -> BrokerLogs | Unknown:
    if isinstance(answer, Exception):
        return Unknown(f"broker {broker} does not answer: {say(answer)}")
    if answer.error_code != OK:
        return Unknown(f"broker {broker} does not tell: {describe(answer.error_code)}")
    if not answer.results:
        return Unknown(f"broker {broker} names no log dir")
    sizes: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for log_dir in answer.results:
        for topic in log_dir.topics:
            for part in topic.partitions:
                if not part.is_future_key:
                    sizes[topic.name][part.partition_index] = part.partition_size
    failed = any(log_dir.error_code != OK for log_dir in answer.results)
    usable = _together(log_dir.usable_bytes for log_dir in answer.results)
    total = _together(log_dir.total_bytes for log_dir in answer.results)
    return BrokerLogs(dict(sizes), failed, usable, total)


def _together(parts: Iterable[int]) -> int | None:
    """Add up bytes of log dirs; brokers before KIP-827, and failed log dirs, say -1."""
    known = list(parts)
    return None if min(known) < 0 else sum(known)


def _min_insync(client: AdminClient, topics: Sequence[str]) -> dict[str, int]:
    resources = [(ConfigResourceType.TOPIC, topic, [MIN_INSYNC]) for topic in topics]
    request = DescribeConfigsRequest(resources=resources, include_synonyms=False)
    found = {
        result.resource_name: result
        for result in client.ask(request).results
        if result.error_code != UNKNOWN_TOPIC_OR_PARTITION
    }
    check(
        {
            f"config of topic {topic}": (result.error_code, result.error_message)
            for topic, result in found.items()
        }
    )
    return {
        topic: int(config.value)
        for topic, result in found.items()
        for config in result.configs
        if config.name == MIN_INSYNC
    }


def _reassign(client: AdminClient, batch: Assignment, on_write: Callable[[str], None]) -> None:
    request = AlterPartitionReassignmentsRequest(
        timeout_ms=int(SERVER_TIMEOUT * 1000),
        topics=[
            (topic, [(number, list(replicas)) for number, replicas in sorted(partitions.items())])
            for topic, partitions in sorted(batch.items())
            if partitions
        ],
    )
    on_write("AlterPartitionReassignments")
    response = client.ask_controller(request)
    unanswered = (REQUEST_TIMED_OUT, "not answered for")
    answers = {
        str(TopicPartition(topic, number)): unanswered
        for topic, partitions in batch.items()
        for number in partitions
    }
    for topic in response.responses:
        for part in topic.partitions:
            name = str(TopicPartition(topic.name, part.partition_index))
            answers[name] = (part.error_code, part.error_message)
    check(answers)


def _elect_preferred(
    client: AdminClient, partitions: Sequence[TopicPartition], on_write: Callable[[str], None]
) -> None:
    by_topic: defaultdict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        by_topic[topic].append(number)
    request = ElectLeadersRequest(
        election_type=ElectionType.PREFERRED,
        topic_partitions=list(by_topic.items()),
        timeout_ms=int(SERVER_TIMEOUT * 1000),
    )
    on_write("ElectLeaders")
    response = client.ask_controller(request)
    check(
        {
            str(TopicPartition(result.topic, part.partition_id)): (
                part.error_code,
                part.error_message,
            )
            for result in response.replica_election_results
            for part in result.partition_result
            if part.error_code != ELECTION_NOT_NEEDED
        }
    )
