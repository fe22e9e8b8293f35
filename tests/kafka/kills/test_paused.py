"""An operator process is suspended for a minute, and goes on when another has done its work."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.kafka.kills.calls import name_of
from tests.kafka.kills.world import PHASES, TrackedWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.fakes.intercept import Asked
    from tests.kafka.cluster import KafkaCluster

SECONDS = 60.0


class Suspension:
    """Suspends a process once, right before the first call that `where` is true of.

    Attributes:
        begun: It is suspended, or was.
        over: It may go on.
    """

    def __init__(self, world: TrackedWorld, where: Callable[[Asked], bool]) -> None:
        self._world, self._where = world, where
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def __call__(self, asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:
        if not self.begun.is_set() and self._where(asked):
            self.begun.set()
            await self.over.wait()
        return await self._world.watch(asked, act)


@asynccontextmanager
async def suspended(
    world: TrackedWorld, where: Callable[[Asked], bool]
) -> AsyncIterator[Suspension]:
    """Let a process be suspended where it says; another one is at work while the body runs.

    Afterwards the suspended one goes on, and the other one does nothing any more. Whether there
    was such a place is for the body to ask.
    """
    suspension = Suspension(world, where)
    await world.replace_operator(suspension)
    stale = world.reconciler, world.memory
    settling = asyncio.create_task(world.settle())
    begun = asyncio.create_task(suspension.begun.wait())
    await asyncio.wait({settling, begun}, return_when=asyncio.FIRST_COMPLETED)
    if begun.cancel():
        await settling
        yield suspension
        return
    world.clock.ahead += SECONDS
    await world.replace_operator()
    yield suspension
    world.reconciler, world.memory = stale
    suspension.over.set()
    await settling


async def test_paused_before_any_write(live_brokers: KafkaCluster) -> None:
    known: set[tuple[str, int, str]] = set()
    async with TrackedWorld(live_brokers, reassignment={"history": 2}) as world:

        def anew(asked: Asked) -> bool:
            place = phase, world.batches, name_of(world, asked)
            found = asked.writes and place not in known
            known.update([place] if found else [])
            return found

        left = set(PHASES)
        while left:
            for phase in PHASES:
                async with world.phase(phase), suspended(world, anew) as suspension:
                    await world.settle()
                if not suspension.begun.is_set():
                    left.discard(phase)
        assert not await asyncio.to_thread(world.records.lost)
    assert {call for _, _, call in known} >= {
        "kubernetes create Reassignment",
        "kubernetes apply StatefulSet",
        "kafka set_throttle",
        "zookeeper submit",
        "kafka clear_throttle",
    }


async def test_paused_before_a_removal_that_nobody_wants_any_more(
    live_brokers: KafkaCluster,
) -> None:
    def lowers(asked: Asked) -> bool:
        body = asked.args[0] if asked.method == "apply" else {}
        return bool(body) and body["kind"] == "StatefulSet" and body["spec"]["replicas"] == 3

    async with TrackedWorld(live_brokers) as world:
        world.scale(4)
        await world.settle()
        world.scale(3)
        async with suspended(world, lowers) as suspension, world.phase("out"):
            assert suspension.begun.is_set()
        world.assert_at_rest(0, 1, 2, 3)
        assert not world.removed
        assert not await asyncio.to_thread(world.records.lost)
