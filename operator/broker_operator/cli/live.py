"""A live cluster, read and never written."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click
from kafka.errors import BrokerResponseError, KafkaError, for_code
from kafka.protocol.admin import ListPartitionReassignmentsRequest
from kafka.protocol.metadata import MetadataRequest

from broker_operator.adapters.kafka import KafkaBrokerAdmin
from broker_operator.adapters.kafka_client import (
    OK,
    SERVER_TIMEOUT,
    UNKNOWN_TOPIC_OR_PARTITION,
    describe,
    is_passing,
    open_client,
    say,
)
from broker_operator.adapters.zookeeper import ZooKeeperCoordination
from broker_operator.cli.cluster import Cluster, cluster_of
from broker_operator.cli.errors import InputError, printable
from broker_operator.core.model import BrokerLogs, PartitionState, Unknown
from broker_operator.core.text import name_some
from broker_operator.ports import RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker_operator.adapters.kafka_client import AdminClient
    from broker_operator.core.model import Assignment, BrokerId, Ensemble, Sizes

SUCCESSION_SECONDS = 30.0
"""A dead controller stays in office until its ZooKeeper session ends, 18 s by default in Kafka, and
in the other brokers' metadata until its successor has told them."""
PAUSE_SECONDS = 1.0
_WAITING = f"asked again for up to {SUCCESSION_SECONDS:.0f} s, in case the controller has just died"
_ADDRESSES = "if the brokers are up, see that the addresses they advertise lead to them from here"

_LIBRARIES = ("kafka", "kazoo")
_ANSWERS = ("unexpected content", "not a connect string")
"""What the coordination adapter says when the servers are not to blame."""

States = dict[str, dict[int, PartitionState]]


def read_zookeeper(connect: str) -> Cluster:
    """Read a cluster from `host:port[,host:port...][/chroot]`. Sizes are not known there.

    Raises:
        InputError: ZooKeeper does not answer, or no Kafka cluster is at this chroot.
    """
    _hush()
    try:
        ensemble = asyncio.run(_ensemble(connect))
    except TransientError as error:
        hint = _hint("ZooKeeper server", connect)
        if any(words in str(error) for words in _ANSWERS):
            hint = ""
        raise InputError(f"--zookeeper {connect}: {hint}{error}") from error
    if spoilt := [each.reason for each in ensemble.unreadable.values()]:
        raise InputError(f"--zookeeper {connect}: unexpected content: {name_some(spoilt)}")
    if ensemble.cluster_id is None and not ensemble.topics:
        raise InputError(f"--zookeeper {connect}: no Kafka cluster is there; is the chroot right?")
    racks = {broker.id: broker.rack for broker in ensemble.brokers.values()}
    topics = {topic: dict(its) for topic, its in ensemble.topics.items()}
    notes: tuple[str, ...] = ()
    if isinstance(ensemble.requested, Unknown):
        notes = (f"what was asked of the controller cannot be read: {ensemble.requested.reason}",)
    elif ensemble.requested is not None:
        _begin(topics, ensemble.requested)
    return cluster_of(topics, racks, {}, notes)


def read_kafka(bootstrap: str) -> Cluster:
    """Read a cluster from brokers, `host:port[,host:port...]`, the sizes of partitions too.

    Raises:
        InputError: No broker answers, or they refuse to tell.
    """
    _hush()
    servers = [server.strip() for server in bootstrap.split(",")]
    try:
        racks, topics = _metadata(servers)
        sizes, notes = asyncio.run(_sizes(servers, racks))
    except (TransientError, RejectedError) as error:
        raise InputError(f"--bootstrap {bootstrap}: {error}") from error
    return cluster_of(topics, racks, sizes, notes)


def _hush() -> None:
    """Keep the libraries' own words to themselves: what fails is told as one message."""
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _hint(what: str, where: str) -> str:
    return f"no {what} answers at {where}; is it reachable and PLAINTEXT? "


def _never(operation: str) -> NoReturn:
    """Stand where an adapter announces that it is about to write."""
    raise AssertionError(f"a command that only reads was about to write: {operation}")


async def _ensemble(connect: str) -> Ensemble:
    coordination = ZooKeeperCoordination(lambda: connect, on_write=_never)
    try:
        return await coordination.read()
    finally:
        await coordination.close()


def _begin(topics: States, requested: Assignment) -> None:
    """Count as half-way what was asked of the controller and what it has not begun."""
    for topic, partitions in requested.items():
        states = topics.get(topic, {})
        for number, wanted in partitions.items():
            state = states.get(number)
            if state and not state.in_flight and state.replicas != wanted:
                added = tuple(b for b in wanted if b not in state.replicas)
                removed = tuple(b for b in state.replicas if b not in wanted)
                states[number] = PartitionState((*wanted, *removed), added, removed)


def _metadata(servers: list[str]) -> tuple[dict[BrokerId, str | None], States]:
    """Read brokers and partitions, of the next controller if this one is gone.

    Raises:
        TransientError: No broker answers, or for `SUCCESSION_SECONDS` none that could tell.
        RejectedError: Kafka refuses to tell.
    """
    began: float | None = None
    while True:
        client = None
        try:
            client = open_client(servers)
            return _ask(client)
        except Exception as error:
            reason = _reason(error)
            if client is None and began is None:
                raise TransientError(f"{_hint('broker', ','.join(servers))}{say(error)}") from error
            if _is_final(error):
                raise RejectedError(reason) from error
            if began is None:
                began = time.monotonic()
                click.echo(f"{printable(reason)}; {_WAITING}", err=True)
            elif time.monotonic() - began > SUCCESSION_SECONDS:
                told = f"not to be had within {SUCCESSION_SECONDS:.0f} s: {reason}; {_ADDRESSES}"
                raise TransientError(told) from error
        finally:
            if client is not None:
                with suppress(Exception):  # what has been read is not worth less for it
                    client.close()
        time.sleep(PAUSE_SECONDS)


def _is_final(error: Exception) -> bool:
    """Whether Kafka will answer the same again."""
    if isinstance(error, BrokerResponseError):
        return not is_passing(type(error))
    return isinstance(error, RejectedError)


def _reason(error: Exception) -> str:
    """Return what an exception says, and what it is if that is none that is meant to be told.

    The library raises whatever it trips over when a connection dies, AttributeError too.
    """
    known = isinstance(error, (KafkaError, TransientError, RejectedError))
    return say(error) if known else f"{type(error).__name__}: {error}"


def _ask(client: AdminClient) -> tuple[dict[BrokerId, str | None], States]:
    """Read brokers and partitions.

    Metadata does not tell which replicas are on their way, so moves are listed before and after:
    the state of every partition that is in either list comes from there.
    """
    moving = _moving(client)
    response = client.ask(MetadataRequest(topics=None, allow_auto_topic_creation=False))
    if response.controller_id < 0:
        raise TransientError("the broker asked knows no controller yet, so it may not know topics")
    moving |= _moving(client)
    racks = {broker.node_id: broker.rack or None for broker in response.brokers}
    topics: States = {}
    for topic in response.topics:
        if topic.error_code == UNKNOWN_TOPIC_OR_PARTITION:
            continue  # deleted just now
        if topic.error_code != OK:
            kind = TransientError if is_passing(for_code(topic.error_code)) else RejectedError
            raise kind(f"metadata of topic {topic.name}: {describe(topic.error_code)}")
        topics[topic.name] = {
            part.partition_index: moving.get(
                (topic.name, part.partition_index), PartitionState(tuple(part.replica_nodes))
            )
            for part in topic.partitions
        }
    return racks, topics


def _moving(client: AdminClient) -> dict[tuple[str, int], PartitionState]:
    request = ListPartitionReassignmentsRequest(timeout_ms=int(SERVER_TIMEOUT * 1000), topics=None)
    response = client.ask_controller(request)
    return {
        (topic.name, part.partition_index): PartitionState(
            tuple(part.replicas), tuple(part.adding_replicas), tuple(part.removing_replicas)
        )
        for topic in response.topics
        for part in topic.partitions
    }


async def _sizes(servers: list[str], brokers: Iterable[BrokerId]) -> tuple[Sizes, tuple[str, ...]]:
    admin = KafkaBrokerAdmin(servers, on_write=_never)
    try:
        return _largest(await admin.log_dirs(sorted(brokers)))
    finally:
        await admin.close()


def _largest(logs: Mapping[BrokerId, Any]) -> tuple[Sizes, tuple[str, ...]]:
    """Return the size of each partition's largest replica, and what is missing."""
    sizes: dict[str, dict[int, int]] = {}
    notes: list[str] = []
    for broker, found in sorted(logs.items()):
        if not isinstance(found, BrokerLogs):
            notes.append(f"sizes: {found.reason}")
            continue
        if found.failed:
            notes.append(f"sizes: a log dir of broker {broker} has failed")
        for topic, partitions in found.sizes.items():
            its = sizes.setdefault(topic, {})
            for number, size in partitions.items():
                its[number] = max(size, its.get(number, 0))
    return sizes, tuple(notes)
