"""The throttle that adapts, over brokers that tell their metrics: what it does when clients wait.

That it rises while they do not, and what they feel of it, is measured by `python -m tests.bench
throttle` on a whole cluster.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from broker_operator.adapters.meters import HttpMeters
from broker_operator.core.model import Unknown
from tests.kafka.cluster import KafkaCluster
from tests.kafka.matrix.moves import ROWS, Move, moving
from tests.kafka.processes import wait_until
from tests.kafka.properties import replication_settings
from tests.ports import LOOPBACK
from tests.unit.reconcile.world import host

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterator, Mapping

    from broker_operator.core.health import Reading
    from broker_operator.core.model import BrokerId
    from tests.kafka.harness import LiveWorld

LEAST, MOST = 32 * 1024, 256 * 1024
"""Bytes per second: at the most a move of six partitions takes two minutes."""
SIZE = 5_000_000
"""Bytes of a partition. With more, a busy machine is still at the fill when the operator looks how
clients are before the move."""
STANDSTILL, BREATH = 2.5, 1.0
"""A follower that stands still for so long, and then runs for so long, stays in sync, even if it
needs two breaths; and every record that its leader gets meanwhile waits for it."""
RATE = 60.0
"""Records per second. A producer has but five requests in flight to a broker, and these wait: the
more it sends in between, the less is their share of the mean. With so few it rises by half a
second, whatever else a busy machine does; and yet each broker has its twenty requests in every look
at it."""


class LoopbackMeters:
    """`ports.Meters` of the operator, led to brokers on loopback instead of pods."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._meters = HttpMeters()
        self._addresses = {b: f"{LOOPBACK}:{port}" for b, port in cluster.meters.items()}

    async def read(self, addresses: Mapping[BrokerId, str]) -> dict[BrokerId, Reading | Unknown]:
        """See the port."""
        return await self._meters.read({b: self._addresses[b] for b in addresses})

    def close(self) -> None:
        """Let its threads end."""
        self._meters.close()


@pytest.fixture
def metered_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Brokers for one test, in which none has ever been the controller but the one that is.

    A leader asks the controller that it knows to change an ISR, and finds another only when that
    one refuses, hangs up or is gone (`NodeToControllerRequestThread`): while one that was it once
    stands still, no ISR shrinks until its session has ended.
    """
    cluster = KafkaCluster(
        tmp_path_factory.mktemp("metered"),
        brokers=4,
        host=lambda broker: host(f"demo-broker-{broker}"),
        settings={
            **replication_settings(),
            # A follower is out of sync after 8 s, half of that again, and what a busy machine takes
            # to tell; its session ends later.
            "replica.lag.time.max.ms": "8000",
            "zookeeper.session.timeout.ms": "30000",
        },
        metered=True,
    )
    try:
        cluster.start()
        wait_until(partial(telling, cluster), "every broker tells its metrics")
        yield cluster
    finally:
        cluster.stop()


def telling(cluster: KafkaCluster) -> bool:
    """Whether the metrics of every broker can be read: the first page takes its time."""
    meters = LoopbackMeters(cluster)
    try:
        found = asyncio.run(meters.read(dict.fromkeys(cluster.brokers, "")))
    finally:
        meters.close()
    return not any(isinstance(reading, Unknown) for reading in found.values())


@asynccontextmanager
async def adapting(cluster: KafkaCluster, rng: random.Random) -> AsyncIterator[Move]:
    """Yield a move whose throttle adapts and stands at the most, with producers at work."""
    meters = LoopbackMeters(cluster)
    limits = {"min": str(LEAST), "max": str(MOST)}
    try:
        async with moving(
            cluster,
            rng,
            latest=0.1,
            size=SIZE,
            rate=RATE,
            meters=meters,
            throttle="Adaptive",
            adaptive=limits,
            maxMovesPerBroker=1,
        ) as move:
            assert rates(move.world) == {MOST}
            assert re.search(r"produce p99 (before is )?\d+ ms", adaptive(move.world))
            level = move.world.memory.watch.level
            assert level is not None
            assert None not in (level.p99, level.mean), "without these nothing is lowered"
            yield move
    finally:
        meters.close()


def follower(move: Move, rng: random.Random) -> int:
    """Choose a broker that is neither the controller nor gets anything."""
    return rng.choice(sorted({0, 1, 2} - {move.world.view.controller()}))


def dropped(move: Move, broker: int) -> bool:
    """Whether a partition that a broker holds is without it in its ISR."""
    held = [number for number in ROWS if broker in move.replicas(number)]
    return any(broker not in move.world.view.in_sync(move.topic, number) for number in held)


def rates(world: LiveWorld) -> set[int]:
    """The rates that brokers have now: one, or two where some of them have yet to be told."""
    shown = world.view.throttles()
    return {
        int(v) for name, its in shown.items() if name.startswith("brokers/") for v in its.values()
    }


def lowered(world: LiveWorld) -> bool:
    """Whether all brokers have less than the most; once a move has ended they have nothing."""
    assert not world.reassignments()[-1].finished, "in mid-move"
    return bool(found := rates(world)) and MOST not in found


def adaptive(world: LiveWorld) -> str:
    """Why the rate is what it is, in the words of the status."""
    record = world.reassignments()[-1].throttle
    assert record is not None
    return record.adaptive


async def test_the_rate_is_halved_when_clients_wait(
    metered_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with adapting(metered_brokers, rng) as move:
        world, slow = move.world, follower(move, rng)

        async def hold_up() -> None:
            while True:
                metered_brokers.pause_broker(slow)
                try:
                    await asyncio.sleep(STANDSTILL)
                finally:
                    metered_brokers.resume_broker(slow)
                await asyncio.sleep(BREATH)

        holding = asyncio.create_task(hold_up())
        try:
            before = world.memory.watch.level
            await world.until(partial(lowered, world), f"it is lowered; clients had {before}")
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
        assert adaptive(world).startswith("lowered to ")
        assert re.search(r"produce p99 \d+ ms \(\d+ ms before\)", adaptive(world))
        assert max(rates(world)) <= MOST // 2, "half of it, or of what moves take"
        await move.end()


async def test_the_rate_is_the_least_once_a_follower_falls_out_of_sync(
    metered_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with adapting(metered_brokers, rng) as move:
        world, lost = move.world, follower(move, rng)
        metered_brokers.pause_broker(lost)
        try:
            await asyncio.to_thread(wait_until, partial(dropped, move, lost), "it is dropped")
            assert lost in world.view.brokers()
        finally:
            metered_brokers.resume_broker(lost)
        await world.until(partial(lowered, world), "it is lowered")
        assert rates(world) == {LEAST}
        assert re.match(r"lowered to 32\.0 KiB/s: replicas (are|were) ", adaptive(world))
        await move.end()
