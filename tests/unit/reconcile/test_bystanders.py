"""Partitions that a plan leaves alone, and that somebody else moves meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from broker_operator.api.reassignment import State
from tests.unit.reconcile.test_control import ask, change, found, told
from tests.unit.reconcile.test_leftovers import led_around
from tests.unit.reconcile.test_planned_anew import ONE_BY_ONE, put, stored_plan, stray
from tests.unit.reconcile.world import World, filled_world

QUIET = ("quiet", 0)


async def scaling(before: int, after: int) -> World:
    """Return a world that scales, in mid-flight, with a topic of which nothing moves."""
    world = await filled_world(before, reassignment=ONE_BY_ONE)
    world.kafka.create_topic("quiet", {0: (0, 1)}, size=1000)
    await world.settle()
    world.kafka.complete_after = None
    world.scale(after)
    await world.until(lambda: bool(world.in_flight()))
    return world


def let_all_arrive(world: World) -> None:
    """Let what is in flight arrive, and whatever comes after it."""
    world.kafka.complete()
    world.kafka.complete_after = 1


@pytest.mark.parametrize("replicas", [(1, 0), (2, 0)], ids=["reordered", "moved"])
async def test_they_hold_nobody_up_and_stay_where_they_were_put(replicas: tuple[int, int]) -> None:
    world = await scaling(3, 4)
    put(world, QUIET, replicas)
    let_all_arrive(world)
    await world.settle()
    assert found(world, "demo-1").succeeded
    assert world.assignment()[QUIET] == replicas
    assert not world.throttled()


async def test_a_request_for_some_topics_has_no_say_in_others() -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE)
    world.kafka.complete_after = None
    ask(world, "mine", topics=["orders"], evacuate=[0])
    await world.until(lambda: bool(world.in_flight()))
    wanted = tuple(sorted({0, 1, 2, 3} - set(world.assignment()["payments", 0])))
    put(world, ("payments", 0), wanted)
    let_all_arrive(world)
    await world.settle()
    assert found(world, "mine").succeeded
    assert world.assignment()["payments", 0] == wanted


async def test_an_approved_plan_moves_nothing_that_it_has_not_shown() -> None:
    world = await filled_world(3, reassignment={"approval": "Required"})
    world.scale(4)
    await world.settle()
    waiting, before = found(world, "demo-1"), world.assignment()
    ends = stored_plan(world, "demo-1").ends
    theirs = next(tp for tp in before if tp[1] not in ends.get(tp[0], {}))
    wanted = (next(iter({0, 1, 2} - set(before[theirs]))), before[theirs][1])
    put(world, theirs, wanted)
    await world.settle()
    assert found(world, "demo-1").plan_hash == waiting.plan_hash
    change(world, "demo-1", approvedPlan=waiting.plan_hash)
    await world.settle()
    assert found(world, "demo-1").succeeded
    assert world.assignment()[theirs] == wanted


async def test_what_they_put_onto_a_broker_that_leaves_is_planned_for() -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"approval": "Required"})
    world.kafka.create_topic("quiet", {0: (0, 1)}, size=1000)
    await world.settle()
    world.scale(3)
    await world.settle()
    first = found(world, "demo-1").plan_hash
    change(world, "demo-1", approvedPlan=first)
    await world.until(lambda: found(world, "demo-1").started is not None)
    put(world, QUIET, (0, 3))
    await world.settle()
    second = found(world, "demo-1")
    assert second.plan_hash != first
    assert "(quiet-0) 1 partition is moved by others, to brokers that shall hold none" in told(
        world, "demo-1", "Approved"
    )
    change(world, "demo-1", approvedPlan=second.plan_hash)
    await world.until(lambda: world.removed == [3])
    assert 3 not in world.assignment()[QUIET]


@pytest.mark.parametrize("ended", [True, False])
async def test_an_undo_leaves_them_alone(*, ended: bool) -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE)
    world.kafka.create_topic("quiet", {0: (0, 1)}, size=1000)
    await world.settle()
    before = world.assignment()
    world.kafka.complete_after = None
    ask(world, "mine", topics=["orders"], evacuate=[0])
    await world.until(lambda: bool(world.in_flight()))
    if ended:
        let_all_arrive(world)
        await world.settle()
    put(world, QUIET, (2, 3))
    change(world, "mine", undo=True)
    world.kafka.complete_after = 1
    await world.settle()
    assert world.assignment() == before | {QUIET: (2, 3)}


async def test_an_undo_leaves_alone_what_they_reordered_before_a_second_plan() -> None:
    world = await scaling(4, 3)
    first = found(world, "demo-1").plan_hash
    put(world, QUIET, (1, 0))
    stray(world)
    world.kafka.complete()
    await world.until(lambda: found(world, "demo-1").plan_hash != first)
    world.kafka.complete_after = 1
    change(world, "demo-1", undo=True)
    await world.settle()
    assert found(world, "demo-1").state is State.UNDONE
    assert world.assignment()[QUIET] == (1, 0)


async def test_an_evacuation_of_some_topics_takes_along_what_comes_of_these() -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE)
    world.kafka.complete_after = None
    ask(world, "mine", topics=["orders"], evacuate=[0])
    await world.until(lambda: bool(world.in_flight()))
    ends = stored_plan(world, "mine").ends["orders"]
    theirs = next(("orders", n) for n in range(6) if n not in ends)
    put(world, theirs, (0, world.assignment()[theirs][0]))
    let_all_arrive(world)
    await world.settle()
    assert found(world, "mine").succeeded
    assert not any(0 in row for (topic, _), row in world.assignment().items() if topic == "orders")


async def test_an_approval_is_not_void_for_a_topic_that_was_not_asked_about() -> None:
    world = await filled_world(4, reassignment={"approval": "Required"})
    world.kafka.create_topic("quiet", {0: (3, 0)}, size=1000)
    await world.settle()
    world.scale(3)
    await world.settle()
    change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.until(lambda: world.load()[3] < 3)
    change(world, "demo-1", undo=True)
    await world.settle()
    ask(world, "mine", topics=["orders"], evacuate=[0])
    await world.settle()
    waiting = found(world, "mine")
    assert waiting.state is State.AWAITING_APPROVAL
    put(world, QUIET, (3, 1))
    put(world, ("payments", 0), (0, 1, 2))
    change(world, "mine", approvedPlan=waiting.plan_hash)
    await world.settle()
    assert found(world, "mine").plan_hash == waiting.plan_hash
    assert found(world, "mine").succeeded


# --- while a broker is lost, and a plan leads around it


async def test_what_they_moved_stays_when_a_plan_is_led_around() -> None:
    theirs = ("other", 0)
    world = await led_around(lambda world: put(world, theirs, (2, 0)))
    let_all_arrive(world)
    await world.until(lambda: not world.load()[4])
    assert world.assignment()[theirs] == (2, 0)


async def test_what_they_put_onto_a_broker_that_leaves_is_planned_for_then_too() -> None:
    world = await led_around()
    put(world, ("other", 0), (0, 4))
    let_all_arrive(world)
    await world.until(lambda: not world.load()[4])
    await world.until(lambda: world.removed == [4])


# --- a request that is half done when the spec takes a broker away


async def skewed() -> World:
    """Return four brokers of which 3 has so much that an evacuation of 0 gives it nothing."""
    world = World(4, reassignment=ONE_BY_ONE)
    await world.settle()
    world.kafka.create_topic("orders", dict.fromkeys(range(3), (0, 1)), size=1000)
    world.kafka.create_topic("heavy", {n: (3, 1 + n % 2) for n in range(6)}, size=1000)
    await world.settle()
    return world


@pytest.mark.parametrize("spec", [{"evacuate": [0]}, {"evacuate": [0], "topics": ["orders"]}])
async def test_an_evacuation_brings_nothing_back_to_a_broker_that_was_drained(
    spec: dict[str, Any],
) -> None:
    world = await skewed()
    ask(world, "mine", **spec)
    world.kafka.complete_after = None
    await world.until(lambda: bool(world.in_flight()))
    world.scale(3)
    await world.one_pass()
    let_all_arrive(world)
    await world.settle()
    assert world.removed == [3]
    assert found(world, "mine").succeeded
    assert not any(0 in row for (topic, _), row in world.assignment().items() if topic == "orders")


@pytest.mark.parametrize(
    "spec", [{"replicationFactor": 1}, {"evacuate": [0]}, {"replicationFactor": 3}]
)
@pytest.mark.parametrize("limit", [1, 5])
async def test_nor_does_any_other_request(spec: dict[str, Any], limit: int) -> None:
    world = await filled_world(4, reassignment={"maxMovesPerBroker": limit})
    ask(world, "mine", topics=["orders"], **spec)
    await world.until(lambda: found(world, "mine").started is not None)
    await world.one_pass()
    world.scale(3)
    await world.settle()
    assert world.removed == [3]
    assert found(world, "mine").succeeded
    assert len(world.reassignments()) == 2, "one drain was enough"
