"""Two operator processes serve the same cluster at once, each as if it were alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.kafka.kills.operators import Operator
from tests.kafka.kills.world import PHASES, TrackedWorld

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.fakes.intercept import Asked
    from tests.kafka.cluster import KafkaCluster

ROUNDS = 3
PAUSES = (*[0.0] * 12, 0.01, 0.05, 0.3)
"""Seconds that pass before a call: mostly none, at times longer than the other's whole pass."""


async def test_two_operators_at_once(live_brokers: KafkaCluster, rng: random.Random) -> None:
    async with TrackedWorld(live_brokers, reassignment={"history": 2}) as world:

        async def dawdle(asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:
            await asyncio.sleep(rng.choice(PAUSES))
            return await world.watch(asked, act)

        await world.replace_operator(dawdle)
        for number in range(ROUNDS):
            via = ("ZooKeeper", "AdminApi")[number % 2]
            world.edit(lambda spec, via=via: spec["reassignment"].update(via=via))  # type: ignore[misc]
            # No second request can be created in ZooKeeper. The Admin API takes the same one twice
            # if both ask in the same moment; who asks later has read that nothing is to do.
            askers = 1 if via == "ZooKeeper" else 2
            for phase in PHASES:
                async with world.phase(phase, askers=askers), Operator(world, dawdle).running():
                    await world.settle()
        told = world.recorder.reasons()
        assert not await asyncio.to_thread(world.records.lost)
    assert "ForeignThrottle" not in told
