"""A cluster that scales under checked traffic, caught somewhere on its way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from broker_operator.adapters.kafka import KafkaBrokerAdmin
from tests.kafka.harness import LiveWorld
from tests.kafka.matrix.records import RATE, Records

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Mapping, Sequence

    from broker_operator.ports import Meters
    from tests.kafka.cluster import KafkaCluster

ROWS = {n: (n % 3, (n + 1) % 3, (n + 2) % 3) for n in range(8)}
"""Three replicas on each of three brokers; six of 24 go to the fourth."""
FOURS = {n: (n % 4, (n + 1) % 4, (n + 2) % 4) for n in range(8)}
"""The same on four brokers; the six replicas of the fourth go to the others."""
JOINING = 3
"""The fourth broker."""
SIZE = 2_000_000
"""Bytes of a partition."""
SLOW, FAST = "400Ki", "100Mi"
"""Throttles. Kafka lets the bytes of eleven seconds through at once: a third of all at the first,
and the rest takes 18 seconds."""
SLOWEST: dict[str, Any] = {"throttle": "100Ki", "maxMovesPerBroker": 1}
"""For a move that outlasts restarts of its brokers: one that starts has no memory of its quota, so
that eleven seconds' bytes, and what the last fetch of each partition brings, go at once again."""
NOT_READY = ("False", "BrokersNotReady")
SUBMISSIONS = ("create /admin/reassign_partitions", "AlterPartitionReassignments")
"""How the operator's writes are called by which it moves partitions."""
_numbers = count(1)


def writes(world: LiveWorld) -> list[str]:
    """Every write at any port that is more than a report."""
    calls = [f"{c.verb} {c.kind}" for c in world.kube.writes if c.verb != "apply_status"]
    return [*calls, *world.clients.writes]


@asynccontextmanager
async def tool(cluster: KafkaCluster) -> AsyncIterator[KafkaBrokerAdmin]:
    """Yield an Admin API client that is not the operator's."""
    admin = KafkaBrokerAdmin(cluster.bootstrap.split(","), on_write=lambda _operation: None)
    try:
        yield admin
    finally:
        await admin.close()


class Move:
    """A reassignment in flight.

    Attributes:
        world: The operator and its cluster.
        records: What is written meanwhile.
        topic: Where.
    """

    def __init__(self, world: LiveWorld, records: Records, topic: str) -> None:
        self.world = world
        self.records = records
        self.topic = topic

    async def begin(self, replicas: int, share: float) -> None:
        """Scale; return when about this share of the bytes has arrived, and more is in flight."""
        self.world.scale(replicas)
        percent = 100 * share

        def reached() -> bool:
            told = self.world.status.get("reassignment", {}).get("percent", -1)
            return bool(told >= percent and self.world.view.in_flight())

        await self.world.until(reached, f"{percent:.0f} % have arrived")

    async def end(self, *brokers: int) -> None:
        """Let everything come to rest on these brokers, in no more time than it needs.

        Nothing that was acked may be lost, and nothing may be left lying about.
        """
        self.world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        await self.world.settle()
        self.world.assert_at_rest(*(brokers or (0, 1, 2, JOINING)))
        await asyncio.to_thread(self.records.verify)

    async def lose(self, *brokers: int) -> None:
        """Kill brokers and keep them down; return when the operator has missed them."""
        world = self.world
        world.pods.held.update(brokers)
        world.cluster.kill_broker(*brokers)
        await world.until(
            lambda: (
                world.view.brokers().isdisjoint(brokers)
                and world.condition("BrokersReady") == NOT_READY
            ),
            f"broker {brokers} is missed",
        )
        await world.one_pass()  # the last one may have read before their sessions ended

    def give_back(self) -> None:
        """Let all brokers start again that are kept down."""
        self.world.pods.held.clear()

    def target(self) -> Mapping[int, Sequence[int]]:
        """Where the plan under way leads."""
        plan = self.world.memory.plans.plan
        assert plan is not None
        return plan.target[self.topic]

    def replicas(self, number: int) -> list[int]:
        """Who holds a partition, replicas that come and go included."""
        return self.world.view.assignment()[self.topic, number]

    def has_begun(self, number: int, broker: int) -> bool:
        """Whether a broker has a folder of a partition, which may be empty as yet."""
        return (self.world.cluster.data(broker) / f"{self.topic}-{number}").is_dir()

    def flying(self) -> list[int]:
        """Partitions in flight, in order."""
        return sorted(number for _, number in self.world.view.in_flight())

    def submissions(self) -> int:
        """How often the operator has moved partitions, either way."""
        return sum(write in SUBMISSIONS for write in self.world.clients.writes)

    def blocked_by(self) -> str:
        """What the Reassignment waits for, in words."""
        return "; ".join(self.world.reassignments()[-1].status.get("blockedBy", []))


@asynccontextmanager
async def moving(
    cluster: KafkaCluster,
    rng: random.Random,
    *,
    scale: tuple[int, int] = (3, 4),
    rows: Mapping[int, Sequence[int]] = ROWS,
    unchecked: str = "",
    latest: float = 0.6,
    connect: str = "",
    size: int = SIZE,
    meters: Meters | None = None,
    transactional: bool = False,
    rate: float = RATE,
    **settings: Any,
) -> AsyncIterator[Move]:
    """Yield a reassignment that has begun, submitted either way, anywhere before its end.

    Args:
        cluster: Four brokers.
        rng: Chooses the way and the moment.
        scale: Brokers before and after.
        rows: Replicas of each partition before. All but one must be in sync for a record.
        unchecked: Another topic like the first, which is not written to in mid-move.
        latest: Share of the bytes that has arrived at most.
        connect: What the operator connects to, if not to the ensemble itself.
        size: Bytes of a partition.
        meters: The operator's, if brokers tell it anything.
        transactional: Whether records are written in transactions, see `Records`.
        rate: Records per second that are written meanwhile.
        settings: More of `spec.reassignment`.
    """
    via = rng.choice(["ZooKeeper", "AdminApi"])
    settings = {"via": via, "throttle": SLOW, "maxMovesPerBroker": 3, **settings}
    async with LiveWorld(cluster, scale[0], connect=connect, reassignment=settings) as world:
        if meters is not None:
            world.restart_operator(meters=meters)
        least = str(len(rows[0]) - 1)
        # A name of its own: a broker that has yet to drop the topic of the last test would refuse
        # another one of that name, for good ("Topic ID in memory ... does not match").
        topic = f"orders-{next(_numbers)}"
        cluster.create_topic(topic, rows, {"min.insync.replicas": least})
        if unchecked:
            cluster.create_topic(unchecked, rows)
            for number in rows:
                cluster.fill(unchecked, number, SIZE)
        partitions = [(topic, number) for number in rows]
        with Records(
            cluster.bootstrap, partitions, transactional=transactional, rate=rate
        ) as records:
            await asyncio.to_thread(records.fill, size)
            await world.settle()
            move = Move(world, records, topic)
            await move.begin(scale[1], rng.uniform(0.05, latest))
            yield move
