"""A cluster that scales out under checked traffic, caught somewhere on its way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.kafka.harness import LiveWorld
from tests.kafka.matrix.records import Records

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from tests.kafka.cluster import KafkaCluster

TOPIC = "orders"
ROWS = {n: (n % 3, (n + 1) % 3, (n + 2) % 3) for n in range(8)}
"""Three replicas on each of three brokers; six of 24 go to the fourth."""
JOINING = 3
SIZE = 2_000_000
"""Bytes of a partition."""
SLOW, FAST = "1Mi", "100Mi"
"""Throttles: six replicas take 12 seconds, or none."""


class Move:
    """A reassignment in flight from brokers 0, 1, 2 to 0, 1, 2, 3.

    Attributes:
        world: The operator and its cluster.
        records: What is written meanwhile.
    """

    def __init__(self, world: LiveWorld, records: Records) -> None:
        self.world = world
        self.records = records

    def arrived(self) -> int:
        """Bytes on the disks of the broker that joins."""
        disk = self.world.cluster.bytes_on_disk
        return sum(disk(JOINING, TOPIC, number) for number in ROWS)

    async def begin(self, share: float) -> None:
        """Scale out; return when about this share of the bytes has arrived, and more is to come."""
        self.world.scale(4)
        moved = share * (len(ROWS) * 3 // 4) * SIZE
        await self.world.until(
            lambda: self.arrived() >= moved and bool(self.world.view.in_flight()),
            f"{moved:.0f} bytes have arrived",
        )

    async def end(self, *brokers: int) -> None:
        """Let everything come to rest on these brokers, in no more time than it needs.

        Nothing that was acked may be lost, and nothing may be left lying about.
        """
        self.world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        await self.world.settle()
        self.world.assert_at_rest(*(brokers or (0, 1, 2, JOINING)))
        await asyncio.to_thread(self.records.verify)


@asynccontextmanager
async def moving(
    cluster: KafkaCluster, rng: random.Random, *, connect: str = "", **settings: Any
) -> AsyncIterator[Move]:
    """Yield a reassignment that has begun, submitted either way, anywhere before its end.

    Args:
        cluster: Four brokers.
        rng: Chooses the way and the moment.
        connect: What the operator connects to, if not to the ensemble itself.
        settings: More of `spec.reassignment`.
    """
    via = rng.choice(["ZooKeeper", "AdminApi"])
    settings = {"via": via, "throttle": SLOW, "maxMovesPerBroker": 3, **settings}
    async with LiveWorld(cluster, 3, connect=connect, reassignment=settings) as world:
        cluster.create_topic(TOPIC, ROWS, {"min.insync.replicas": "2"})
        with Records(cluster.bootstrap, [(TOPIC, number) for number in ROWS]) as records:
            await asyncio.to_thread(records.fill, SIZE)
            await world.settle()
            move = Move(world, records)
            await move.begin(rng.uniform(0.05, 0.7))
            yield move
