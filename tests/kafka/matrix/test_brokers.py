"""Brokers die in mid-move, come back, come back empty, or do not come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka.matrix.moves import JOINING, TOPIC, Move, moving

if TYPE_CHECKING:
    import random

    from tests.kafka.cluster import KafkaCluster


@pytest.mark.parametrize("victim", ["target", "leader", "controller"])
async def test_a_broker_dies_in_mid_move_and_returns(
    live_brokers: KafkaCluster, rng: random.Random, victim: str
) -> None:
    async with moving(live_brokers, rng) as move:
        world = move.world
        broker = chosen(move, rng, victim)
        live_brokers.kill_broker(broker)
        await world.until(lambda: broker not in world.view.brokers(), f"{broker} is missed")
        await world.until(lambda: world.condition("BrokersReady") == NOT_READY, "it is said")
        await move.end()


NOT_READY = ("False", "BrokersNotReady")


def chosen(move: Move, rng: random.Random, victim: str) -> int:
    """Return the target, the controller, or a broker that leads something in flight."""
    if victim == "target":
        return JOINING
    if victim == "controller":
        controller = move.world.view.controller()
        assert controller is not None
        return controller
    flying = [number for _, number in move.world.view.in_flight()]
    return rng.choice(sorted({move.world.view.leader(TOPIC, number) for number in flying}))
