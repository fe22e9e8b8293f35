"""What must not be left behind, or lost, where a plan has come after another one."""

from __future__ import annotations

import pytest

from broker_operator.api.reassignment import Cause, State
from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.unit.reconcile.test_absence import lose, wait_for
from tests.unit.reconcile.test_control import ask, change, found
from tests.unit.reconcile.test_planned_anew import ONE_BY_ONE, Rows, half_way, stray
from tests.unit.reconcile.world import NAME, NAMESPACE, World, filled_world


async def led_around() -> World:
    """Return a drain of broker 4 that goes on by a plan without broker 1, which is lost."""
    world = World(5, reassignment=ONE_BY_ONE | {"throttle": "50Mi"})
    await world.settle()
    world.kafka.create_topic("orders", {0: (4, 0), 1: (4, 2), 2: (4, 3)}, size=1000)
    world.kafka.create_topic("other", {0: (0, 2), 1: (2, 3), 2: (3, 0)}, size=1000)
    await world.settle()
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    assert world.kafka.broker_configs[1]
    lose(world, 1)
    await wait_for(world, DESIRED_SECONDS - 10)
    await world.until(lambda: "LedAround" in world.recorder.reasons())
    return world


def returns(world: World, broker: int) -> None:
    del world.broken[broker]
    world.kubelet()


@pytest.mark.parametrize("when", ["before it begins", "while it moves", "after"])
async def test_the_rate_of_a_lost_broker_is_swept_when_it_returns(when: str) -> None:
    world = await led_around()
    if when == "before it begins":
        returns(world, 1)
    await world.until(lambda: bool(world.in_flight()))
    if when == "while it moves":
        returns(world, 1)
    world.kafka.complete()
    world.kafka.complete_after = 1
    if when == "after":
        await wait_for(world, 200)
        returns(world, 1)
    await world.settle()
    assert world.removed == [4]
    assert not world.throttled()


async def test_so_is_it_with_its_cluster() -> None:
    world = await led_around()
    await world.until(lambda: bool(world.in_flight()))
    returns(world, 1)
    await world.reconciler.finalize(NAMESPACE, NAME)
    await world.reconciler.release(NAMESPACE, NAME)
    assert not any(world.kafka.broker_configs.values())


async def undoing(**settings: object) -> tuple[World, Rows]:
    """Return a drain that is being taken back, in a cluster that remembers one Reassignment."""
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"history": 1} | settings)
    before = world.assignment()
    world.scale(3)
    await world.until(lambda: any(r.plan_hash for r in world.reassignments()))
    change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.until(lambda: world.load()[3] <= 2)
    change(world, "demo-1", undo=True)
    await world.until(lambda: world.reassignments()[-1].cause is Cause.UNDO)
    await world.until(lambda: bool(found(world, "demo-2").started and world.in_flight()))
    lose(world, 0)
    for name in ("refused", "refused-too"):
        ask(world, name, topics=["nonsense"])
    await wait_for(world, 60)
    assert found(world, "demo-1").state is State.UNDONE
    return world, before


@pytest.mark.parametrize("approval", ["Automatic", "Required"])
async def test_an_undo_goes_on_although_requests_end_meanwhile(approval: str) -> None:
    world, before = await undoing(approval=approval)
    returns(world, 0)
    await world.settle()
    assert found(world, "demo-2").succeeded
    assert world.assignment() == before


async def test_so_does_one_that_must_be_planned_anew() -> None:
    world, before = await undoing()
    for name in found(world, "demo-2").config_maps:
        world.kube.edit("ConfigMap", NAMESPACE, name, lambda body: body["binaryData"].clear())
    returns(world, 0)
    await world.settle()
    assert found(world, "demo-2").succeeded
    assert world.assignment() == before


@pytest.mark.parametrize("what", ["undone", "deleted"])
@pytest.mark.parametrize("name", ["demo-1", "mine"])
async def test_a_throttle_is_swept_whose_record_was_wiped_when_its_move_is(
    name: str, what: str
) -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"throttle": "50Mi"})
    before = world.assignment()
    world.kafka.complete_after = None
    if name == "demo-1":
        world.scale(3)
    else:
        ask(world, name, evacuate=[3])
    await world.until(lambda: bool(world.in_flight()))
    assert world.throttled()
    world.kube.edit("Reassignment", NAMESPACE, name, lambda body: body.pop("status"))
    if what == "undone":
        change(world, name, undo=True)
    else:
        await world.kube.delete("Reassignment", NAMESPACE, name, found(world, name).uid)
    world.kafka.complete()
    world.kafka.complete_after = 1
    await world.settle()
    assert not world.throttled()
    assert "ForeignThrottle" not in world.recorder.reasons()
    if what == "undone":
        assert found(world, name).state is State.UNDONE
        assert world.assignment() == before


async def test_only_the_plan_that_is_recorded_keeps_its_config_maps() -> None:
    world, _, first = await half_way()
    old = found(world, "demo-1").config_maps
    stray(world)
    await world.until(lambda: found(world, "demo-1").plan_hash != first)
    new = found(world, "demo-1").config_maps
    assert set(old).isdisjoint(new)
    plans = [body["metadata"]["name"] for body in world.kube.all("ConfigMap")]
    assert {name for name in plans if "-plan-" in name} == set(new)
    await world.settle()
    assert found(world, "demo-1").succeeded
