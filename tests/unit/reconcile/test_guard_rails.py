"""What a plan may not do is refused before any of it is done, with the numbers and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from broker_operator.api.reassignment import State
from tests.unit.reconcile.test_control import ask, change, found, told, waiting_world
from tests.unit.reconcile.world import NAMESPACE, World, filled_world

MIB = 1024**2


def resize(world: World, broker: int, size: str) -> None:
    """Say how large a broker's volume is, as the provisioner does once it has made or grown it."""
    world.kube.edit(
        "PersistentVolumeClaim",
        NAMESPACE,
        f"data-demo-broker-{broker}",
        lambda body: body.update(status={"capacity": {"storage": size}}),
    )


async def test_an_approved_plan_does_not_start_without_room_for_it() -> None:
    """It was checked when it was made, perhaps days ago, and producers have written since."""
    world = await waiting_world()
    plan = found(world, "demo-1").plan_hash
    for partition in world.kafka.topics["orders"].values():
        partition.size = 9 * 1024 * MIB
    change(world, "demo-1", approvedPlan=plan)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    message = world.message("Stalled")
    assert f"plan {plan} of demo-1 does not start before there is room for it: broker 3" in message
    assert "(holds 0 B, receives 27.0 GiB, of 10.0 GiB); the limit is 85 %" in message
    assert "to give it up: kubectl patch ra demo-1 -n team" in message
    assert found(world, "demo-1").state is State.STALLED
    assert not found(world, "demo-1").started
    assert not world.load()[3]
    for partition in world.kafka.topics["orders"].values():
        partition.size = 1000
    await world.settle()
    assert found(world, "demo-1").plan_hash == plan
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_plan_that_finds_no_room_at_its_start_can_be_given_up() -> None:
    world = await waiting_world()
    for partition in world.kafka.topics["orders"].values():
        partition.size = 9 * 1024 * MIB
    change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    change(world, "demo-1", undo=True)
    await world.settle()
    assert found(world, "demo-1").state is State.UNDONE
    assert world.condition("Stalled") is None


async def test_a_volume_that_was_enlarged_by_hand_has_the_room_that_it_has() -> None:
    world = await filled_world(4, storage={"size": "100Mi"})
    world.kafka.create_topic("big", {n: (3, n) for n in range(3)}, size=60 * MIB)
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    assert "of 100.0 MiB)" in world.message("Stalled")
    for broker in (0, 1):
        resize(world, broker, "1Gi")
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    assert "broker 2 would be" in world.message("Stalled")
    resize(world, 2, "1Gi")
    await world.settle()
    world.assert_at_rest(0, 1, 2)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(
            {"evacuate": [100, 101]},
            "2 of 2 replicas in rack a, where 1 would do; ask for other brokers",
            id="two replicas in one rack",
        ),
        pytest.param(
            {"topics": ["orders"], "replicationFactor": 1},
            "1 replica, while min.insync.replicas is 2; ask for",
            id="fewer replicas than must be in sync",
        ),
    ],
)
async def test_a_plan_that_breaks_a_promise_is_refused_before_it_waits_for_approval(
    spec: dict[str, Any], words: str
) -> None:
    racks = [{"name": name, "nodeSelector": {"rack": name}} for name in "ab"]
    world = World(4, racks=racks, reassignment={"approval": "Required"})
    await world.settle()
    dealt = {n: (n % 2, 100 + n % 2) for n in range(6)}
    world.kafka.create_topic("orders", dealt, size=1000)
    world.kafka.min_insync = 2
    await world.settle()
    before = world.assignment()
    ask(world, "mine", **spec)
    await world.settle()
    assert found(world, "mine").state is State.REFUSED
    assert words in told(world, "mine")
    assert not found(world, "mine").plan_hash
    assert world.assignment() == before
    assert world.condition("Stalled") is None
