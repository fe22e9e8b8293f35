"""A broker that is wanted goes away in mid-move: waited for, given up in the end, taken back."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.api.reassignment import State
from broker_operator.ports import TransientError
from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.unit.reconcile.mortal import Fate, Killed, bind
from tests.unit.reconcile.world import NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


async def draining(broker: int, brokers: int = 4) -> World:
    """Return a world of two replicas each that drains its last broker, and loses another."""
    world = await filled_world(brokers, reassignment=settings("ZooKeeper"))
    world.kafka.complete_after = None
    world.scale(brokers - 1)
    await world.until(lambda: bool(world.in_flight()))
    lose(world, broker)
    world.kafka.complete_after = 1
    return world


async def test_a_broker_is_emptied_onto_others_if_one_never_returns() -> None:
    world = await draining(0)
    await wait_for(world, DESIRED_SECONDS - 10)
    assert world.load()[3], "it may come back"
    await wait_for(world, 100)
    await world.settle()
    assert world.recorder.reasons().count("LedAround") == 1
    assert world.removed == [3]
    assert [(r.name, r.succeeded, r.plan_avoids) for r in world.reassignments()] == [
        ("demo-1", True, frozenset({0}))
    ]
    assert world.status["balancedBrokers"] == [1, 2]
    assert world.condition("Stalled") == ("True", "BrokersNotReady")
    assert not any(world.kafka.broker_configs.get(b) for b in (1, 2)), "0 cannot be told yet"
    del world.broken[0]
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_an_undo_goes_back_to_before_all_of_it() -> None:
    world = await filled_world(4, reassignment=settings("ZooKeeper"))
    before = world.assignment()
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    lose(world, 0)
    world.kafka.complete_after = 1
    await wait_for(world, DESIRED_SECONDS - 10)
    await world.until(lambda: "LedAround" in world.recorder.reasons())
    assert world.assignment() != before, "what needs no broker 0 has gone already"
    world.kafka.complete_after = None
    await world.until(lambda: bool(world.in_flight()))
    world.kube.edit("Reassignment", NAMESPACE, "demo-1", lambda b: b["spec"].update(undo=True))
    world.kafka.complete_after = 1
    del world.broken[0]
    await world.settle()
    assert world.assignment() == before
    assert world.removed == []


async def test_two_brokers_that_never_return_one_after_the_other() -> None:
    world = await draining(0, brokers=6)
    await wait_for(world, DESIRED_SECONDS - 10)
    await world.until(lambda: "LedAround" in world.recorder.reasons())
    world.kafka.complete_after = None
    await world.until(lambda: bool(world.in_flight()))
    (flying, *_) = (part for tp, part in world.partitions() if tp in world.in_flight())
    (second,) = flying.state.adding
    lose(world, second)
    world.kafka.complete_after = 1
    await wait_for(world, DESIRED_SECONDS + 100)
    await world.settle()
    assert world.removed == [5]
    assert world.reassignments()[0].plan_avoids == {0, second}
    world.broken.clear()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3, 4)


async def test_its_rack_is_not_missed_when_it_returns_half_way() -> None:
    """With it there is a third rack, so that two replicas in one rack would break a promise."""
    racks = [{"name": name, "nodeSelector": {"rack": name}} for name in "abc"]
    world = World(6, racks=racks, reassignment=settings("ZooKeeper"))
    await world.settle()
    spread = {n: (n % 2, 100 + n // 2 % 2, 200 + n % 2) for n in range(8)}
    world.kafka.create_topic("orders", spread, size=1000)
    await world.settle()
    world.kafka.complete_after = None
    world.scale(5)
    await world.until(lambda: bool(world.in_flight()))
    lose(world, 200)
    world.kafka.complete_after = 1
    await wait_for(world, DESIRED_SECONDS - 10)
    await world.until(lambda: "LedAround" in world.recorder.reasons())
    del world.broken[200]
    for _ in range(10):
        await world.one_pass()
        assert world.condition("Stalled") != ("True", "PromiseBroken")
    await world.settle()
    assert world.load() == {0: 4, 1: 4, 100: 4, 101: 4, 200: 8}
    assert world.condition("Stalled") is None


async def test_what_is_made_on_a_leaving_broker_meanwhile_is_led_off_it_too() -> None:
    world = await draining(0)
    await wait_for(world, DESIRED_SECONDS - 10)
    world.kafka.create_topic("new", {0: (3, 1)}, size=1000)
    await wait_for(world, 100)
    await world.settle()
    assert world.removed == [3]


async def test_what_was_overtaken_is_not_led_around() -> None:
    world = await draining(0, brokers=6)
    await wait_for(world, DESIRED_SECONDS - 10)
    world.scale(4)
    await wait_for(world, 100)
    await world.settle()
    assert "LedAround" not in world.recorder.reasons()
    world.broken.clear()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


@pytest.mark.parametrize("after", [False, True])
async def test_whoever_dies_while_it_is_led_around_the_next_one_goes_on(*, after: bool) -> None:
    found = await draining(0)
    await wait_for(found, DESIRED_SECONDS - 10)
    before = deepcopy(found)
    while "LedAround" not in found.recorder.reasons():
        before = deepcopy(found)
        await found.one_pass()
    fate = Fate()
    bind(counted := deepcopy(before), fate)
    await counted.one_pass()
    for call in range(1, fate.calls + 1):
        world = deepcopy(before)
        bind(world, Fate(call, after=after))
        with suppress(Killed):
            await world.one_pass()
        world.restart_operator()
        world.clock.seconds += 1
        await wait_for(world, DESIRED_SECONDS + 100)
        await world.settle()
        assert world.removed == [3], call


async def test_its_stand_ins_wait_for_approval_like_every_plan() -> None:
    world = await filled_world(4, reassignment={**settings("ZooKeeper"), "approval": "Required"})
    world.kafka.complete_after = None
    world.scale(3)

    def approve() -> None:
        (plan,) = world.reassignments()
        approved = {"approvedPlan": plan.plan_hash}
        edit = world.kube.edit
        edit("Reassignment", NAMESPACE, plan.name, lambda body: body["spec"].update(approved))

    await world.until(lambda: bool(world.reassignments() and world.reassignments()[0].plan_hash))
    approve()
    await world.until(lambda: bool(world.in_flight()))
    lose(world, 0)
    world.kafka.complete_after = 1
    await wait_for(world, DESIRED_SECONDS + 100)
    held = world.load()[3]
    assert held
    assert "broker 0 has been away for more than 10 min" in str(world.reassignments()[0].status)
    assert world.reassignments()[0].state is State.AWAITING_APPROVAL
    approve()
    await world.settle()
    assert world.removed == [3]


async def test_what_nobody_else_can_take_waits_for_it() -> None:
    """Three replicas need all three brokers that are to stay; what needs no other goes on."""
    world = World(4, reassignment=settings("ZooKeeper"))
    await world.settle()
    threes = {n: (n % 4, (n + 1) % 4, (n + 2) % 4) for n in range(8)}
    world.kafka.create_topic("orders", threes, size=1000)
    await world.settle()
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    lose(world, 0)
    world.kafka.complete_after = 1
    await wait_for(world, DESIRED_SECONDS + 100)
    await world.settle()
    blocked = str(world.reassignments()[0].status["blockedBy"])
    assert "stay where they are, for broker 0" in blocked
    assert "no other broker can stand in: " in blocked
    assert "has replication factor 3, but only 2 brokers are left" in blocked
    assert "LedAround" not in world.recorder.reasons()
    assert world.load()[3]
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


def paused(world: World) -> None:
    world.edit(lambda spec: spec.update(paused=True))


def migrating(world: World) -> None:
    world.kafka.migrating = True


def wrongly_written(world: World) -> None:
    world.edit(lambda spec: spec.update(version="three"))


def out_of_reach(world: World) -> None:
    async def fail(*_: object) -> None:
        raise TransientError("no route to the API server")

    world.kube.list = fail  # type: ignore[assignment, method-assign] # a test's outage


@pytest.mark.parametrize("unseen", [paused, migrating, wrongly_written, out_of_reach])
async def test_time_in_which_nobody_looks_does_not_count(unseen: Callable[[World], None]) -> None:
    """It was back in between, for all that is known, and is only restarting now."""
    world = await mid_move()
    lose(world, 3)
    await wait_for(world, 60)
    with put_right(world):
        unseen(world)
        world.clock.seconds += DESIRED_SECONDS
        with suppress(TransientError):
            await world.one_pass()
    await wait_for(world, 60)
    assert len(world.in_flight()) == 2
    assert "SentBack" not in world.recorder.reasons()
    await wait_for(world, DESIRED_SECONDS)
    assert not world.in_flight()


@contextmanager
def put_right(world: World) -> Iterator[None]:
    """Put everything right again afterwards."""
    spec = {"paused": False, "version": "3.9.2"} | deepcopy(world.body["spec"])
    yield
    world.edit(lambda now: now.update(spec))
    world.kafka.migrating = False
    vars(world.kube).pop("list", None)


async def test_a_broker_whose_pod_is_asked_for_again_and_again_is_given_up_all_the_same() -> None:
    world = await mid_move()
    world.refused = {3}
    world.kube.remove("Pod", NAMESPACE, "demo-broker-3")
    world.kafka.stop_broker(3)
    end = world.clock.seconds + DESIRED_SECONDS + 30
    tries = 0
    while world.clock.seconds < end:
        await world.one_pass()
        tries += world.condition("Reconciling") == ("True", "ApplyingBrokers")
    assert tries > 2
    assert "SentBack" in world.recorder.reasons()


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
