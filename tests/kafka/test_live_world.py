"""A whole life over live brokers: out and in again, by both ways, with real starts and stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka.harness import LiveWorld

if TYPE_CHECKING:
    from tests.kafka.cluster import KafkaCluster


@pytest.mark.parametrize(("via", "real"), [("ZooKeeper", True), ("AdminApi", False)])
async def test_scales_out_and_in(live_brokers: KafkaCluster, via: str, *, real: bool) -> None:
    world = LiveWorld(live_brokers, 3, real=real, reassignment={"via": via, "throttle": "10Mi"})
    try:
        await world.settle()
        live_brokers.create_topic("orders", {n: (n % 3, (n + 1) % 3) for n in range(8)})
        live_brokers.fill("orders", 0, 500_000)
        await world.settle()
        world.scale(4)
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)
        world.scale(3)
        await world.settle()
        world.assert_at_rest(0, 1, 2)
        assert world.removed == [3]
        assert [r.moves for r in world.reassignments()] == [4, 4]
    finally:
        await world.close()
