"""A process that was suspended goes on with what it knew, after others have changed everything."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from broker_operator.core.model import TopicPartition
from broker_operator.ports import TransientError
from broker_operator.reconcile.scope import Memory
from tests.fakes.intercept import Asked, intercepted
from tests.unit.reconcile.test_control import change, found
from tests.unit.reconcile.test_planned_anew import ONE_BY_ONE, half_way, put, stray, undone
from tests.unit.reconcile.world import NAME, NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LIMIT = 100


@asynccontextmanager
async def suspended(world: World, where: Callable[[Asked], bool]) -> AsyncIterator[None]:
    """Have a process suspended right before a call; it goes on, to its pass's end, afterwards."""
    begun, over = asyncio.Event(), asyncio.Event()

    async def between(asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:
        if where(asked) and not begun.is_set():
            begun.set()
            await over.wait()
        return await act()

    early, memory = world.new_reconciler(**intercepted(world, between)), Memory()
    for _ in range(LIMIT):
        its_pass = asyncio.create_task(early.run(NAMESPACE, NAME, memory))
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait({its_pass, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if begun.is_set():
            break
        result = await its_pass
        world.kubelet()
        world.clock.seconds += max(1.0 if result.delay is None else result.delay, 0.01)
    else:
        raise AssertionError("it never makes that call")
    world.restart_operator()
    yield
    over.set()
    with suppress(TransientError):  # as the loop does
        await its_pass


def lowers(asked: Asked) -> bool:
    return (
        asked.method == "apply"
        and asked.args[0]["kind"] == "StatefulSet"
        and asked.args[0]["spec"]["replicas"] == 3
    )


async def test_sets_no_throttle_that_nobody_would_sweep() -> None:
    world = await filled_world(3)
    world.scale(4)
    async with suspended(world, lambda asked: asked.method == "set_throttle"):
        await world.settle()
        assert not world.throttled()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_does_not_call_foreign_what_another_process_has_set() -> None:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    async with suspended(world, lambda asked: asked.method == "throttles"):
        await world.until(lambda: bool(world.in_flight()))
        assert world.throttled()
    assert "ForeignThrottle" not in world.recorder.reasons()


async def test_a_rate_that_is_set_too_late_is_swept_all_the_same() -> None:
    world = await filled_world(3, reassignment={"throttle": "10Mi"})
    world.kafka.complete_after = None
    world.scale(4)
    async with suspended(world, lambda asked: asked.method == "set_throttle"):
        await world.until(lambda: bool(world.in_flight()))
        world.edit(lambda spec: spec["reassignment"].update(throttle="20Mi"))
        for _ in range(3):
            await world.one_pass()
    assert world.throttled()
    world.kafka.complete_after = 1
    world.kafka.complete()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert "ForeignThrottle" not in world.recorder.reasons()


async def test_does_not_remove_a_broker_that_is_wanted_again() -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.settle()
    world.scale(3)
    async with suspended(world, lowers):
        world.scale(4)
        await world.settle()
        assert world.load()[3]
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert not world.removed


async def test_does_not_remove_a_broker_that_has_come_again() -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.settle()
    world.scale(3)
    async with suspended(world, lowers):
        await world.settle()
        assert world.removed == [3]
        world.scale(4)
        await world.settle()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert world.removed == [3]


async def test_does_not_remove_a_broker_that_has_been_given_data() -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.settle()
    world.scale(3)
    async with suspended(world, lowers):
        world.kafka.create_topic("new", {0: (3, 0)}, size=1000)
        await world.one_pass()
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.removed == [3]


async def test_does_not_lower_by_an_old_wish_what_was_raised_since() -> None:
    world = await filled_world(3)
    world.edit(lambda spec: spec.update(resources={"requests": {"cpu": "1"}}))
    async with suspended(world, lowers):
        world.scale(4)
        await world.settle()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert not world.removed


async def test_sends_nothing_back_that_others_have_moved_on() -> None:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    ours = world.in_flight()
    world.scale(3)
    reads = itertools.count(1)
    # The second look of its pass is the one right before it sends them back.
    async with suspended(world, lambda asked: asked.method == "read" and next(reads) == 2):
        world.kafka.complete(*(TopicPartition(*tp) for tp in ours))
        topic, number = ours[0]
        theirs = tuple(reversed(world.assignment()[topic, number]))
        world.kafka.move({topic: {number: (*theirs[:-1], 9)}})
    assert world.in_flight() == [ours[0]], "the foreign move goes on"
    assert 9 in world.assignment()[topic, number]
    assert "SentBack" not in world.recorder.reasons()


def stores_a_plan(asked: Asked) -> bool:
    return (
        asked.method == "apply"
        and asked.args[0]["kind"] == "ConfigMap"
        and "-plan-" in asked.args[0]["metadata"]["name"]
    )


def deletes_a_plan(asked: Asked) -> bool:
    return asked.method == "delete" and asked.args[0] == "ConfigMap"


async def test_it_does_not_spoil_the_plan_by_which_another_one_moves() -> None:
    world, before, first = await half_way()
    stray(world)
    async with suspended(world, stores_a_plan):
        world.kafka.create_topic("later", {0: (3, 1)}, size=10)
        world.kafka.complete_after = None
        await world.until(lambda: found(world, "demo-1").plan_hash != first)
        await world.until(lambda: bool(world.in_flight()))
    second = found(world, "demo-1").plan_hash
    await world.one_pass()
    assert found(world, "demo-1").plan_hash == second
    world.kafka.complete()
    world.kafka.complete_after = 1
    await undone(world, before)


async def test_it_does_not_void_an_approval() -> None:
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"approval": "Required"})
    world.scale(3)
    async with suspended(world, stores_a_plan):
        world.kafka.create_topic("later", {0: (3, 1)}, size=10)
        world.kafka.complete_after = None
        await world.settle()
        name = world.reassignments()[-1].name
        approved = found(world, name).plan_hash
        change(world, name, approvedPlan=approved)
        await world.until(lambda: bool(world.in_flight()))
    world.kafka.complete()
    world.kafka.complete_after = 1
    await world.settle()
    last = world.reassignments()[-1]
    assert last.succeeded
    assert last.plan_hash == approved


async def test_it_does_not_delete_the_plan_by_which_another_one_moves() -> None:
    """It was about to delete the first plan. By now that is the plan again, and carried out."""
    world = await filled_world(4, reassignment=ONE_BY_ONE | {"approval": "Required"})
    before = world.assignment()
    world.scale(3)
    await world.settle()
    first = found(world, "demo-1").plan_hash
    theirs = next(tp for tp in before if 3 in before[tp])
    put(world, theirs, before[theirs][::-1])
    async with suspended(world, deletes_a_plan):
        assert found(world, "demo-1").plan_hash != first
        put(world, theirs, before[theirs])
        await world.settle()
        assert found(world, "demo-1").plan_hash == first
        change(world, "demo-1", approvedPlan=first)
        await world.until(lambda: world.load()[3] <= 4)
        world.kafka.complete_after = None
        await world.until(lambda: bool(world.in_flight()))
    for name in found(world, "demo-1").config_maps:
        assert world.kube.find("ConfigMap", NAMESPACE, name) is not None
    world.kafka.complete()
    world.kafka.complete_after = 1
    await undone(world, before)
