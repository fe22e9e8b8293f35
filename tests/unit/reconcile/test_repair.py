"""A controller that does not act: freed of what is ours, everything else named and left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.core.model import PartitionState, SpoiltTopic
from broker_operator.core.stuck import DEAD_END_SECONDS, UNHEARD_SECONDS
from broker_operator.ports import RejectedError
from tests.unit.reconcile.world import filled_world

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment, Ensemble
    from tests.unit.reconcile.world import World

NUDGE = "AlterPartitionReassignments"
CREATE = "create /admin/reassign_partitions"


async def unheard_world() -> World:
    """Return a world in which a drain's first batch lies before a controller that is deaf."""
    world = await filled_world(4)
    world.kafka.deaf = True
    world.scale(3)
    await world.until(lambda: world.kafka.request is not None)
    world.forget_writes()
    return world


async def wait_out(world: World, seconds: float) -> None:
    """Make passes for some seconds."""
    end = world.clock.seconds + seconds
    while world.clock.seconds < end:
        await world.one_pass()


async def test_a_request_of_ours_that_is_not_heard_is_dropped_and_made_again() -> None:
    world = await unheard_world()
    before = world.assignment()
    await wait_out(world, UNHEARD_SECONDS - 3)
    assert world.kafka.writes == []
    await world.until(lambda: bool(world.kafka.writes))
    assert world.kafka.writes == [NUDGE]
    assert world.assignment() == before, "a nudge moves nothing"
    assert world.condition("Reconciling") == ("True", "UnheardRequest")
    assert world.recorder.reasons().count("UnheardRequest") == 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.kafka.writes.count(NUDGE) == 1
    assert world.kafka.writes.count(CREATE) >= 1
    assert all(r.moves == r.status["plan"]["lowerBound"] for r in world.reassignments())


async def test_a_topic_deleted_meanwhile_does_not_keep_the_request_there() -> None:
    world = await unheard_world()
    assert isinstance(world.kafka.request, dict)
    gone = min(world.kafka.request)
    world.kafka.delete_topic(gone)
    await world.until(lambda: NUDGE in world.kafka.writes)
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_nudge_that_is_refused_is_told() -> None:
    world = await unheard_world()

    async def refuse(batch: Assignment) -> None:
        raise RejectedError(f"{min(batch)}: not authorized")

    world.kafka.admin.reassign = refuse  # type: ignore[method-assign]
    await wait_out(world, UNHEARD_SECONDS + 3)
    assert world.condition("Stalled") == ("True", "Rejected")
    assert "not authorized" in world.message("Stalled")


async def test_a_controller_that_has_just_begun_is_not_nudged() -> None:
    """It begins between the pass's look and the one right before the nudge."""
    world = await unheard_world()
    request, read, last = world.kafka.request, world.kafka.coordination.read, -1.0
    assert isinstance(request, dict)

    async def begin_on_the_second_look() -> Ensemble:
        nonlocal last
        if last == world.clock.seconds and world.kafka.deaf:
            world.kafka.deaf = False
            world.kafka.ask_for(request)
        last = world.clock.seconds
        return await read()

    world.kafka.coordination.read = begin_on_the_second_look  # type: ignore[method-assign]
    await world.until(lambda: not world.kafka.deaf)
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert NUDGE not in world.kafka.writes


async def test_an_operator_that_restarts_waits_anew() -> None:
    world = await unheard_world()
    await wait_out(world, UNHEARD_SECONDS - 5)
    world.restart_operator()
    await wait_out(world, UNHEARD_SECONDS - 5)
    assert NUDGE not in world.kafka.writes
    await world.until(lambda: NUDGE in world.kafka.writes)
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_request_of_others_that_is_not_heard_is_named_and_left() -> None:
    world = await filled_world(4)
    theirs = {"orders": {0: (2, 3)}}
    world.kafka.deaf = True
    world.kafka.ask_for(theirs)
    world.scale(3)
    await wait_out(world, UNHEARD_SECONDS + 5)
    assert world.kafka.request == theirs
    assert world.condition("Stalled") == ("True", "StuckReassignment")
    assert not world.removed
    assert not world.kafka.moved
    world.kafka.move({"orders": {0: world.kafka.topics["orders"][0].state.replicas}})
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_others_moves_to_a_broker_that_never_was_are_named_and_left() -> None:
    world = await filled_world(4)
    state = world.kafka.topics["orders"][0].state
    world.kafka.move({"orders": {0: (77, state.replicas[1])}})
    moved = world.kafka.topics["orders"][0].state
    world.scale(3)
    await wait_out(world, DEAD_END_SECONDS - 5)
    assert world.condition("Stalled") is None
    await wait_out(world, 10)
    assert world.condition("Stalled") == ("True", "StuckReassignment")
    assert "broker 77" in world.message("Stalled")
    assert world.kafka.topics["orders"][0].state == moved
    world.kafka.move({"orders": {0: state.replicas}})
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_it_is_told_of_a_cluster_at_rest_too() -> None:
    world = await filled_world(3)
    world.kafka.request = "not JSON"
    world.forget_writes()
    await world.settle()
    assert world.condition("Stalled") == ("True", "StuckReassignment")
    assert world.writes() == []
    world.kafka.request = None
    await world.settle()
    world.assert_at_rest(0, 1, 2)


POISON = SpoiltTopic("/brokers/topics/orders: ['1', 0] is not a list of broker ids", {0: (0, 1)})


@pytest.mark.parametrize("moment", ["at rest", "before", "in mid-move"])
async def test_a_poisoned_topic_stops_all_moves_and_removals(moment: str) -> None:
    world = await filled_world(4)
    if moment == "in mid-move":
        world.kafka.complete_after = None
        world.scale(3)
        await world.until(lambda: bool(world.in_flight()))
        world.kafka.complete()
        world.kafka.complete_after = 1
    plans = [r.plan_hash for r in world.reassignments()]
    moved = list(world.kafka.moved)
    world.kafka.unreadable["orders"] = POISON
    if moment == "before":
        world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "PoisonedTopic")
    assert POISON.reason in world.message("Stalled")
    assert world.kafka.moved == moved
    assert [r.plan_hash for r in world.reassignments()] == plans
    assert not world.removed
    assert world.message("Available") == "all 12 partitions have a leader"
    del world.kafka.unreadable["orders"]
    await world.settle()
    world.assert_at_rest(*range(4 if moment == "at rest" else 3))


async def test_an_empty_leaving_broker_stays_while_a_topic_cannot_be_read() -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.until(lambda: 3 in world.kafka.brokers)
    world.kafka.unreadable["orders"] = POISON
    world.scale(3)
    await world.settle()
    assert not world.removed
    del world.kafka.unreadable["orders"]
    await world.settle()
    assert world.removed == [3]


async def test_a_partition_that_is_to_lose_all_its_replicas_is_not_ours() -> None:
    world = await filled_world(4)
    partition = world.kafka.topics["orders"][0]
    held = partition.state.replicas
    partition.state = PartitionState(held, (), held)
    world.kafka.complete_after = None
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "PoisonedTopic")
    assert not world.kafka.moved
    partition.state = PartitionState(held)
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)


@pytest.mark.parametrize("via", ["ZooKeeper", "AdminApi"])
async def test_a_migration_that_begins_at_the_last_moment_is_seen(via: str) -> None:
    """It begins between the pass's look and the submission."""
    world = await filled_world(4, reassignment={"via": via, "throttle": "0"})
    world.scale(3)
    await world.until(lambda: bool(world.reassignments()))
    before, read = world.assignment(), world.kafka.coordination.read

    async def begin_after() -> Ensemble:
        result = await read()
        world.kafka.migrating = True
        return result

    world.kafka.coordination.read = begin_after  # type: ignore[method-assign]
    world.forget_writes()
    await world.settle()
    assert world.kafka.writes == []
    assert world.assignment() == before
    assert world.condition("Stalled") == ("True", "MigrationInProgress")
