"""What must not be left behind, or lost, where a plan has come after another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.api.reassignment import SWEEP_FINALIZER, Cause, State
from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.unit.reconcile.test_absence import lose, wait_for
from tests.unit.reconcile.test_control import ask, change, found, told
from tests.unit.reconcile.test_planned_anew import (
    ONE_BY_ONE,
    Rows,
    half_way,
    put,
    stored_plan,
    stray,
    undone,
)
from tests.unit.reconcile.world import NAME, NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.kube import Call


async def led_around(meanwhile: Callable[[World], None] = lambda _: None) -> World:
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
    meanwhile(world)
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


async def begin(world: World, name: str) -> None:
    """Have what empties broker 3 in flight: `demo-1` by a scaling, any other by a request."""
    world.kafka.complete_after = None
    if name == "demo-1":
        world.scale(3)
    else:
        ask(world, name, evacuate=[3])
    await world.until(lambda: bool(world.in_flight()))


@pytest.mark.parametrize("what", ["undone", "deleted"])
@pytest.mark.parametrize("name", ["demo-1", "mine"])
async def test_a_throttle_is_swept_whose_record_was_wiped_when_its_move_is(
    name: str, what: str
) -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"throttle": "50Mi"})
    before = world.assignment()
    await begin(world, name)
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
    assert set(plans(world)) == set(new)
    await world.settle()
    assert found(world, "demo-1").succeeded


class Died(BaseException):
    """The process has ended at a call."""


async def dies_at(world: World, here: Callable[[Call], bool]) -> None:
    """Let the operator die right before a call, and another one take its place."""

    def die(call: Call) -> None:
        if here(call):
            raise Died

    world.kube.before = die
    with pytest.raises(Died):
        await world.settle()
    world.kube.before = lambda _: None
    world.restart_operator()


def wipe(world: World, name: str) -> None:
    world.kube.edit("Reassignment", NAMESPACE, name, lambda body: body.pop("status"))


async def test_a_deletion_waits_for_zookeeper_if_a_record_was_wiped() -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"throttle": "50Mi"})
    world.kafka.complete_after = None
    ask(world, "mine", evacuate=[3])
    await world.until(lambda: bool(world.in_flight()))
    wipe(world, "mine")
    world.kafka.ensemble_down = True
    await world.kube.delete("Reassignment", NAMESPACE, "mine", found(world, "mine").uid)
    for _ in range(5):
        await world.one_pass()
    assert found(world, "mine").deleting
    world.kafka.ensemble_down = False
    world.kafka.complete()
    world.kafka.complete_after = 1
    await world.settle()
    assert not world.throttled()


async def test_a_plan_that_is_not_all_there_is_no_way_back() -> None:
    """Killed before the third part of a second plan, which tells where everything was at first."""
    world, before, first = await half_way()
    stray(world)
    parts: list[str] = []

    def third(call: Call) -> bool:
        if call.verb == "apply" and call.kind == "ConfigMap" and "-plan-" in call.name:
            parts.append(call.name)
        return len(parts) == 3

    await dies_at(world, third)
    assert found(world, "demo-1").plan_hash == first
    wipe(world, "demo-1")
    await undone(world, before)


async def test_what_had_not_begun_takes_nothing_back_that_others_have_moved() -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"approval": "Required"})
    ask(world, "mine", topics=["orders"], evacuate=[0])
    await world.settle()
    assert found(world, "mine").state is State.AWAITING_APPROVAL
    now = world.assignment()
    theirs = next(tp for tp in now if tp[0] == "orders" and 0 in now[tp])
    planned = stored_plan(world, "mine").target[theirs[0]][theirs[1]]
    other = min({1, 2, 3} - {*now[theirs], *planned})
    wanted = tuple(other if b == 0 else b for b in now[theirs])
    put(world, theirs, wanted)
    wipe(world, "mine")
    change(world, "mine", undo=True)
    await world.settle()
    assert found(world, "mine").state is State.UNDONE
    assert world.assignment() == now | {theirs: wanted}


async def test_a_copy_of_a_plan_is_no_plan() -> None:
    world, _, _ = await half_way()
    name = found(world, "demo-1").config_maps[0]
    body = world.kube.find("ConfigMap", NAMESPACE, name)
    assert body is not None
    kept = {key: body["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    world.kube.put(body | {"metadata": kept | {"name": f"{name}-backup"}})
    wipe(world, "demo-1")
    await world.settle()
    assert world.removed == [3]


async def test_withdrawing_a_request_takes_no_throttle_off_another_move() -> None:
    """The request died between its ConfigMaps and its record, and the other has the same lists."""
    world = World(4, reassignment={"throttle": "50Mi"})
    await world.settle()
    world.kafka.create_topic("orders", {0: (3, 1)}, size=1000)
    world.kafka.create_topic("pay", {0: (1, 2), 1: (2, 0), 2: (0, 1)}, size=1000)
    await world.settle()
    ask(world, "mine", evacuate=[3])
    await dies_at(world, lambda call: is_record(call) and bool(plans(world)))
    world.scale(3)
    world.kafka.complete_after = None
    await world.until(lambda: bool(world.in_flight()))
    await world.kube.delete("Reassignment", NAMESPACE, "mine", found(world, "mine").uid)
    for _ in range(8):
        await world.one_pass()
        assert world.throttled()


def is_record(call: Call) -> bool:
    return call.verb == "apply_status" and call.kind == "Reassignment"


def plans(world: World) -> list[str]:
    """Names of the ConfigMaps that hold plans."""
    names = [body["metadata"]["name"] for body in world.kube.all("ConfigMap")]
    return [name for name in names if "-plan-" in name]


async def test_what_has_no_plan_yet_is_looked_for_once() -> None:
    world = await filled_world(4)
    world.kafka.create_topic("off", {0: (0, 1)}, size=10)
    await world.settle()
    world.kafka.topics["off"][0].leader, world.kafka.topics["off"][0].isr = None, []
    ask(world, "mine", evacuate=[0])
    for _ in range(5):
        await world.one_pass()
    world.kube.calls.clear()
    for _ in range(10):
        await world.one_pass()
    lists = [call for call in world.kube.calls if (call.verb, call.kind) == ("list", "ConfigMap")]
    assert len(lists) == len(world.results[-10:]), "its own children, in each pass"


@pytest.mark.parametrize("length", [220, 221, 253])
async def test_names_may_be_as_long_as_they_can_be(length: int) -> None:
    world = await filled_world(4)

    def check(call: Call) -> None:
        assert len(call.name) <= 253, call

    world.kube.before = check
    ask(world, "a" * length, evacuate=[3])
    await world.settle()
    assert found(world, "a" * length).succeeded


# What has ended, and says so no more.


async def rest(world: World, name: str) -> None:
    """Lose the status of one that has ended, and see that nothing comes of it but a new one."""
    was, before = found(world, name), world.assignment()
    wipe(world, name)
    moved = len(world.kafka.moved)
    await world.settle()
    now = found(world, name)
    assert now.state is was.state
    assert now.status["conditions"][-1]["status"] == str(was.succeeded)
    assert "its status was lost" in told(world, name)
    assert world.recorder.reasons().count("StatusLost") == 1
    assert world.assignment() == before
    assert len(world.kafka.moved) == moved
    world.forget_writes()
    await world.settle()
    assert world.writes() == []


async def test_a_request_that_has_ended_does_not_run_again_when_its_status_is_lost() -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE)
    ask(world, "mine", evacuate=[3])
    ask(world, "back")
    await world.settle()
    assert world.load()[3] > 0
    await rest(world, "mine")
    change(world, "mine", undo=True)
    await world.settle()
    (why,) = found(world, "mine").status["blockedBy"]
    assert "nothing tells what it has moved" in why


async def test_nor_does_a_scaling() -> None:
    world = await filled_world(3, reassignment=ONE_BY_ONE)
    world.scale(4)
    await world.settle()
    ask(world, "mine", evacuate=[3])
    await world.settle()
    await rest(world, "demo-1")


async def test_what_was_refused_stays_so_when_its_status_is_lost() -> None:
    world = await filled_world(3)
    ask(world, "mine", topics=["late"])
    await world.settle()
    world.kafka.create_topic("late", {0: (0, 1), 1: (0, 1), 2: (0, 1)}, size=10)
    await rest(world, "mine")


@pytest.mark.parametrize("by", ["undo", "replicas"])
async def test_what_a_user_has_undone_is_not_done_again_when_the_status_of_that_is_lost(
    by: str,
) -> None:
    world = await filled_world(3, reassignment=ONE_BY_ONE)
    world.scale(4)
    await world.until(lambda: world.load()[3] > 1)
    if by == "undo":
        change(world, "demo-1", undo=True)
    else:
        world.scale(3)
    await world.settle()
    await rest(world, "demo-2")
    held = "demo-1 was undone, so nothing moves by itself"
    assert any(held in line for line in world.memory.said) is (by == "undo")


async def test_what_may_move_is_held_until_its_throttle_is_swept() -> None:
    """All that tells of its end is lost, as where it was written over: so it moves again."""
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"throttle": "50Mi"})
    ask(world, "mine", evacuate=[3])
    ask(world, "back")
    await world.settle()
    assert found(world, "mine").finalizers == ()
    wipe(world, "mine")
    world.kube.edit(
        "Reassignment", NAMESPACE, "mine", lambda body: body["metadata"].pop("annotations")
    )
    world.kafka.complete_after = None
    await world.until(lambda: bool(world.in_flight()))
    assert world.throttled()
    world.kube.remove("Reassignment", NAMESPACE, "mine")
    world.kafka.complete_after = 1
    await world.settle()
    assert [r.name for r in world.reassignments()] == ["back"]
    assert not world.throttled()


@pytest.mark.parametrize("name", ["demo-1", "mine"])
async def test_a_finalizer_that_is_taken_off_in_mid_move_is_put_back(name: str) -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"throttle": "50Mi"})
    await begin(world, name)
    world.kube.edit(
        "Reassignment", NAMESPACE, name, lambda body: body["metadata"].pop("finalizers")
    )
    await world.one_pass()
    assert found(world, name).finalizers == (SWEEP_FINALIZER,)
    world.kafka.complete_after = 1
    await world.settle()
    assert found(world, name).succeeded
    assert found(world, name).finalizers == ()
    assert not world.throttled()


async def test_the_end_of_one_is_noted_although_a_broker_that_is_away_keeps_it() -> None:
    world = await led_around()
    world.kafka.complete()
    world.kafka.complete_after = 1
    await world.settle()
    old = found(world, "demo-1")
    assert old.succeeded
    assert old.finalizers == (SWEEP_FINALIZER,)
    assert old.ended_as is State.SUCCEEDED
