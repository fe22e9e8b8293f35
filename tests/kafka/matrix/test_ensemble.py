"""ZooKeeper fails the operator, or the brokers, in mid-move."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest
from kazoo.client import KazooClient

from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.kafka.cluster import KafkaCluster
from tests.kafka.ensemble import SERVERS, Ensemble, Network
from tests.kafka.harness import DEADLINE, PAUSE, LiveWorld
from tests.kafka.matrix.moves import moving, writes
from tests.unit.reconcile.world import NAME, NAMESPACE, host

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

OUTAGE = 60.0
"""Seconds without a quorum: ten times the brokers' session timeout, and six times ours."""


class Site(NamedTuple):
    """An ensemble, its brokers, and the networks in front of it."""

    ensemble: Ensemble
    cluster: KafkaCluster
    brokers_way: Network
    operators_way: Network

    @property
    def connect(self) -> str:
        """What the operator connects to."""
        return f"{self.operators_way.connect}/kafka"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ensemble")
    ensemble = Ensemble(folder)
    ports = tuple(ensemble.ports.values())
    ways = Network(ports), Network(ports)
    cluster = KafkaCluster(
        folder,
        brokers=4,
        servers=ensemble.connect,
        through=ways[0].connect,
        host=lambda broker: host(f"demo-broker-{broker}"),
    )
    try:
        ensemble.start()
        cluster.start()
        yield Site(ensemble, cluster, *ways)
    finally:
        cluster.stop()
        ensemble.stop()
        for way in ways:
            way.close()


async def passes(world: LiveWorld, reached: Callable[[], bool], what: str) -> None:
    """Make passes while nobody else can look into ZooKeeper: the kubelet of `world` does."""
    end = time.monotonic() + DEADLINE
    while not reached():
        assert time.monotonic() < end, f"{what}; {world.story()}"
        world.results.append(await world.reconciler.run(NAMESPACE, NAME, world.memory))
        await asyncio.sleep(PAUSE)


def renewed(client: KazooClient, session: object) -> bool:
    return bool(client.connected and client.client_id != session)


def unreachable(world: LiveWorld) -> bool:
    available = world.condition("Available")
    return available == ("Unknown", "ZooKeeperUnreachable")


async def test_the_operators_session_expires(site: Site, rng: random.Random) -> None:
    async with moving(site.cluster, rng, connect=site.connect) as move:
        world = move.world
        for _ in range(rng.randint(1, 3)):
            client = world.clients.coordination(site.connect, NAMESPACE)._client
            assert client is not None
            session = client.client_id
            thief = KazooClient(site.ensemble.connect, client_id=session)
            await asyncio.to_thread(thief.start)
            thief.stop()  # ends the session for both
            thief.close()
            await world.until(partial(renewed, client, session), "there is a new session")
        await move.end()


async def test_the_ensembles_leader_dies(site: Site, rng: random.Random) -> None:
    async with moving(site.cluster, rng, connect=site.connect) as move:
        leader = site.ensemble.leader()
        site.ensemble.kill(leader)
        try:
            await move.end()
        finally:
            site.ensemble.start(leader)


async def test_the_quorum_is_lost_for_a_while(site: Site, rng: random.Random) -> None:
    async with moving(site.cluster, rng, connect=site.connect) as move:
        world, lost = move.world, rng.sample(SERVERS, 2)
        site.ensemble.kill(*lost)
        end = time.monotonic() + OUTAGE
        try:
            await passes(world, lambda: unreachable(world), "it is said")
            written = writes(world)
            await passes(world, lambda: time.monotonic() > end, "the outage ends")
            assert unreachable(world)
            assert writes(world) == written
        finally:
            site.ensemble.start(*lost)
        await move.end()


async def test_the_operators_connection_carries_one_way_only(
    site: Site, rng: random.Random
) -> None:
    async with moving(site.cluster, rng, connect=site.connect) as move:
        world = move.world
        site.operators_way.swallow(rng.choice(["up", "down"]))
        try:
            await world.until(lambda: unreachable(world), "it is said")
            before = writes(world)
            for _ in range(5):
                await world.one_pass()
            assert writes(world) == before
        finally:
            site.operators_way.heal()
        await move.end()


async def test_all_brokers_vanish_from_zookeeper_and_live(site: Site, rng: random.Random) -> None:
    async with moving(site.cluster, rng, connect=site.connect) as move:
        world = move.world
        # What they send must be lost, at least: each try to connect again prolongs a session.
        site.brokers_way.swallow("up", *rng.sample(["down"], rng.randint(0, 1)))
        try:
            await world.until(lambda: not world.view.brokers(), "every session has expired")
            sizes, submitted = world.sizes(), move.submissions()
            for _ in range(3):
                world.clock.ahead += DESIRED_SECONDS
                await world.one_pass()
            assert world.condition("BrokersReady") == ("False", "BrokersNotReady")
            assert world.sizes() == sizes
            assert world.removed == []
            assert move.submissions() == submitted
        finally:
            site.brokers_way.heal()
        await move.end()
        assert "SentBack" not in world.recorder.reasons()
