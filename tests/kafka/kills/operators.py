"""An operator process besides the one that a `LiveWorld` runs itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from broker_operator.ports import TransientError
from broker_operator.reconcile.scope import Memory
from tests.fakes.intercept import InterceptedClients, intercepted
from tests.kafka.harness import PAUSE, LoopbackClients
from tests.unit.reconcile.world import NAME, NAMESPACE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fakes.intercept import Between
    from tests.kafka.kills.world import TrackedWorld


class Operator:
    """A process with memory and connections of its own, in a world where another one is at work."""

    def __init__(self, world: TrackedWorld, between: Between) -> None:
        self._clients = LoopbackClients(world.cluster, world.clients.writes)
        ports = intercepted(world, between)
        ports["clients"] = InterceptedClients(self._clients, between)
        self._reconciler = world.new_reconciler(**ports)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make passes all the while, and end after a whole one."""
        end = asyncio.Event()
        passes = asyncio.create_task(self._run(end))
        try:
            yield
        finally:
            end.set()
            try:
                await passes
            finally:
                await self._clients.close()

    async def _run(self, end: asyncio.Event) -> None:
        memory = Memory()
        while not end.is_set():
            with suppress(TransientError):  # it tries again in the next pass, as the loop does
                await self._reconciler.run(NAMESPACE, NAME, memory)
            await asyncio.sleep(PAUSE)
