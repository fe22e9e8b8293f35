"""A broker that is wanted goes away in mid-move: waited for, given up in the end, taken back."""

from __future__ import annotations

from typing import Any

import pytest

from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.unit.reconcile.world import NAMESPACE, World, filled_world


def settings(via: str) -> dict[str, Any]:
    return {"via": via, "throttle": "50Mi", "maxMovesPerBroker": 2}


async def mid_move(via: str = "ZooKeeper") -> World:
    """Return a world that scales from 3 brokers to 4, two moves a batch, none of which ends."""
    return await begin_move(await filled_world(3, reassignment=settings(via)))


async def begin_move(world: World) -> World:
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: len(world.in_flight()) == 2)
    return world


def lose(world: World, broker: int) -> None:
    world.broken[broker] = "CrashLoopBackOff"
    world.kubelet()


async def wait_for(world: World, seconds: float) -> None:
    """Let so much time pass, some passes at its beginning and at its end."""
    end = world.clock.seconds + seconds
    for _ in range(3):
        await world.one_pass()
    world.clock.seconds = max(world.clock.seconds, end - 8)
    while world.clock.seconds < end:
        await world.one_pass()


@pytest.mark.parametrize("via", ["ZooKeeper", "AdminApi"])
async def test_its_moves_are_sent_back_in_time_and_made_when_it_returns(via: str) -> None:
    world = await filled_world(3, reassignment=settings(via))
    before = world.assignment()
    await begin_move(world)
    lose(world, 3)
    await wait_for(world, DESIRED_SECONDS - 10)
    assert len(world.in_flight()) == 2, "it may come back"
    assert "SentBack" not in world.recorder.reasons()
    await wait_for(world, 30)
    assert not world.in_flight()
    assert world.assignment() == before, "in the old order, too"
    assert world.recorder.reasons().count("SentBack") == 1
    assert world.condition("Stalled") == ("True", "BrokersNotReady")
    blocked = world.reassignments()[0].status["blockedBy"]
    assert any("broker 3 has been away for more than 10 min" in why for why in blocked), blocked
    world.forget_writes()
    await wait_for(world, 60)
    assert world.kafka.writes == [], "nothing is left that could be done"
    del world.broken[3]
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert [r.name for r in world.reassignments()] == ["demo-1"]


async def test_what_does_not_need_it_goes_on_without_it() -> None:
    # A drain of broker 3: what goes to broker 0 waits for it, the rest does not.
    world = await filled_world(4, reassignment={"throttle": "50Mi", "maxMovesPerBroker": 1})
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    lose(world, 0)
    world.kafka.complete_after = 1
    await wait_for(world, DESIRED_SECONDS - 10)
    held = world.load()[3]
    await wait_for(world, 100)
    assert 0 < world.load()[3] < held
    assert not world.in_flight()
    assert world.removed == []
    del world.broken[0]
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_nothing_is_begun_while_it_is_away() -> None:
    world = await filled_world(3, reassignment={"approval": "Required"})
    world.scale(4)
    await world.until(lambda: bool(world.reassignments() and world.reassignments()[0].plan_hash))
    lose(world, 3)
    await wait_for(world, DESIRED_SECONDS + 10)
    plan = world.reassignments()[0]
    world.kube.edit(
        "Reassignment",
        NAMESPACE,
        plan.name,
        lambda b: b["spec"].update(approvedPlan=plan.plan_hash),
    )
    await wait_for(world, 30)
    assert not world.reassignments()[0].started
    assert not world.kafka.moved
    del world.broken[3]
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_broker_that_is_only_missing_from_zookeeper_is_not_given_up() -> None:
    world = await mid_move()
    gone = world.kafka.brokers.pop(3)  # its pod is ready: ZooKeeper has lost it, not the cluster
    for _ in range(20):
        world.clock.seconds += DESIRED_SECONDS
        await world.reconciler.run("team", "demo", world.memory)
    assert len(world.in_flight()) == 2
    assert "SentBack" not in world.recorder.reasons()
    world.kafka.brokers[3] = gone
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_time_in_which_zookeeper_tells_nothing_does_not_count() -> None:
    world = await mid_move()
    lose(world, 3)
    await wait_for(world, 60)
    world.kafka.ensemble_down = True
    await wait_for(world, DESIRED_SECONDS)
    world.kafka.ensemble_down = False
    await wait_for(world, 60)
    assert len(world.in_flight()) == 2
    await wait_for(world, DESIRED_SECONDS)
    assert not world.in_flight()


async def test_a_move_does_not_turn_back_to_fewer_replicas_in_sync_than_producers_rely_on() -> None:
    world = await mid_move()
    for tp in world.in_flight():
        world.kafka.topic_configs.setdefault(tp[0], {})["min.insync.replicas"] = "2"
    flying = {tp: part for tp, part in world.partitions() if tp in world.in_flight()}
    lose(world, 3)
    for part in flying.values():  # one of the origin is late, another of the target in sync
        assert part.leader is not None
        part.isr = [part.leader, 9]
    await wait_for(world, DESIRED_SECONDS + 30)
    assert len(world.in_flight()) == 2
    assert "nor can they go back" in str(world.reassignments()[0].status["blockedBy"])
    for part in flying.values():
        part.isr = list(part.state.origin)
    await wait_for(world, 30)
    assert not world.in_flight()
