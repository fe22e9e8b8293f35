"""Clocks, the API server or people's hands upset the operator while partitions are in flight."""

from __future__ import annotations

import asyncio
import base64
import gzip
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from broker_operator.core.planner.kafka_json import to_json
from broker_operator.ports import ConflictError, TransientError
from tests.kafka.harness import Clock
from tests.kafka.kills.world import MOVES, PARTITIONS, PHASES, TOPIC, TrackedWorld
from tests.unit.reconcile.world import NAME, NAMESPACE

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from broker_operator.core.model import KubeObject
    from tests.fakes.kube import Call
    from tests.kafka.cluster import KafkaCluster

SIZE = 1_500_000
"""Bytes of each partition: at 1 MiB/s a batch is in flight for some seconds."""
HOUR = 3600.0
OUTAGE_SECONDS = 30.0
REFUSED = 0.5


class WallClock(Clock):
    """`ports.Clock` whose time of day can be set."""

    off = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.off)


class UpsetWorld(TrackedWorld):
    """A world that takes its time to move, and remembers which conditions it has seen."""

    def __init__(self, cluster: KafkaCluster) -> None:
        super().__init__(cluster, reassignment={"throttle": "1Mi"})
        self.clock = self.wall = WallClock()
        self.seen: set[tuple[str, str]] = set()
        self.before_pass = self._look

    def _look(self) -> None:
        self.seen.update((c["type"], c["reason"]) for c in self.conditions())

    @asynccontextmanager
    async def moving(self, phase: str, *, planned_once: bool = True) -> AsyncIterator[None]:
        """Go through a phase; the body runs while partitions are in flight, throttled."""
        async with self.phase(phase, planned_once=planned_once):
            await self.until(self.view.in_flight, "something moves")
            assert self.view.throttles()
            self.seen.clear()
            yield

    def edit_newest(self, change: Callable[[KubeObject], object]) -> None:
        """Change the Reassignment under way."""
        self.kube.edit("Reassignment", NAMESPACE, self.reassignments()[-1].name, change)

    @property
    def plan(self) -> str:
        """Name of the ConfigMap with the first part of the plan under way."""
        return self.reassignments()[-1].config_maps[0]


@pytest_asyncio.fixture
async def world(live_brokers: KafkaCluster) -> AsyncIterator[UpsetWorld]:
    async with UpsetWorld(live_brokers) as world:
        for number in range(PARTITIONS):
            await asyncio.to_thread(live_brokers.fill, TOPIC, number, SIZE)
        await world.replace_operator()
        yield world
        assert not await asyncio.to_thread(world.records.lost)


async def test_clock_jumps(world: UpsetWorld, rng: random.Random) -> None:
    async with world.moving("out"):
        world.clock.ahead += rng.uniform(1, 10) * HOUR  # the time of day with it
    async with world.moving("in"):
        world.wall.off -= rng.uniform(1, 10) * HOUR
    assert world.reassignments()[-1].status["outcome"]["seconds"] == 0


async def test_writes_conflict(world: UpsetWorld, rng: random.Random) -> None:
    refused = 0

    def refuse(call: Call) -> None:
        nonlocal refused
        # By chance: in strict turns a pass of two writes would have the same one refused for ever.
        if call.writes and rng.random() < REFUSED:
            refused += 1
            raise ConflictError(f"{call.kind} {call.name} has changed")

    world.kube.before = refuse
    for phase in PHASES:
        async with world.moving(phase):
            pass
    assert refused > len(PHASES) * MOVES
    assert any("has changed" in result.retry for result in world.results), "and it is told"


async def test_api_server_does_not_answer(world: UpsetWorld) -> None:
    def refuse(call: Call) -> None:
        raise TransientError(f"{call.verb} {call.kind}: no answer")

    async with world.moving("out"):
        submitted, made = world.submitted.copy(), len(world.results)
        world.kube.before = refuse
        world.clock.ahead += OUTAGE_SECONDS
        await world.until(lambda: not world.view.in_flight(), "what was submitted has landed")
        for _ in range(3):
            await world.one_pass()
        assert all("no answer" in result.retry for result in world.results[made:])
        assert world.submitted == submitted
        assert world.view.throttles()
        world.kube.before = lambda _: None


@pytest.mark.parametrize("how", ["deleted", "damaged", "another origin", "another target"])
async def test_plan_is_lost(world: UpsetWorld, how: str) -> None:
    def spoil(body: KubeObject) -> None:
        body["binaryData"] = dict.fromkeys(body["binaryData"], "bm90IGEgcGxhbg==")

    def replace(body: KubeObject) -> None:
        # Good JSON that Kafka would obey: everything to one broker.
        lists = {TOPIC: dict.fromkeys(range(PARTITIONS), (0,))}
        packed = base64.b64encode(gzip.compress(to_json(lists).encode())).decode()
        body["binaryData"] = dict.fromkeys(body["binaryData"], packed)

    async with world.moving("out", planned_once=False):
        if how == "deleted":
            world.kube.remove("ConfigMap", NAMESPACE, world.plan)
        else:
            origin, target = world.reassignments()[-1].config_maps
            name = target if how == "another target" else origin
            world.kube.edit("ConfigMap", NAMESPACE, name, spoil if how == "damaged" else replace)
    assert ("Reconciling", "ForeignReassignment") in world.seen
    assert world.recorder.reasons().count("PlannedReassignment") == 2
    assert [str(r.state) for r in world.reassignments()] == ["Succeeded"]


async def test_reassignment_is_deleted(world: UpsetWorld) -> None:
    async with world.moving("out", planned_once=False):
        deleted = world.reassignments()[-1].name
        world.kube.remove("Reassignment", NAMESPACE, deleted)
        assert world.kube.find("Reassignment", NAMESPACE, deleted), "the finalizer holds it"
    assert ("Reconciling", "FinishingBatch") in world.seen
    assert "SupersededReassignment" in world.recorder.reasons()
    assert [(r.name != deleted, r.succeeded) for r in world.reassignments()] == [(True, True)]


async def test_status_is_emptied(world: UpsetWorld) -> None:
    async with world.moving("out", planned_once=False):
        world.edit_newest(lambda body: body.pop("status"))
    async with world.moving("in"):
        world.kube.edit("BrokerCluster", NAMESPACE, NAME, lambda body: body.pop("status"))
    assert "ForeignThrottle" not in world.recorder.reasons()


async def test_status_of_what_has_ended_is_emptied(world: UpsetWorld) -> None:
    async with world.moving("out"):
        pass
    before = world.view.assignment()
    world.submitted.clear()
    world.edit_newest(lambda body: body.pop("status"))
    await world.settle()
    assert world.reassignments()[-1].succeeded
    assert "StatusLost" in world.recorder.reasons()
    assert not world.submitted
    assert world.view.assignment() == before
