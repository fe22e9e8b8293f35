"""Undoing what cannot be undone at once, or not at all: it is said, and loses no broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.api.reassignment import UNDOES_UID_ANNOTATION, Cause, State
from broker_operator.core.render.reassignment import read_plan
from tests.unit.reconcile.test_absence import lose, wait_for
from tests.unit.reconcile.test_control import ask, change, found, told
from tests.unit.reconcile.test_leftovers import dies_at
from tests.unit.reconcile.world import NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.kube import Call

GIB = 1024**3
SLOW = {"throttle": "50Mi", "maxMovesPerBroker": 1}


async def emptied_world() -> World:
    """Return a world that has just drained broker 3 and has not removed it yet."""
    world = await filled_world(4, reassignment=SLOW)
    world.scale(3)
    await world.until(lambda: bool(world.reassignments()) and found(world, "demo-1").succeeded)
    assert not world.load()[3]
    assert not world.removed
    return world


async def taking_back() -> tuple[World, dict[tuple[str, int], Any]]:
    """Return a world in which an undone drain is on its way back to broker 3, and the origin."""
    world = await filled_world(4, reassignment=SLOW)
    before = world.assignment()
    world.scale(3)
    await world.until(lambda: world.load()[3] < 3)
    world.kafka.complete()
    await world.until(lambda: not world.in_flight())
    change(world, "demo-1", undo=True)
    await world.until(lambda: bool(world.reassignments()[1:]))
    world.kafka.complete_after = None
    await world.until(lambda: any(3 in part.state.adding for _, part in world.partitions()))
    return world, before


def said(world: World) -> str:
    """What holds the reassignment under way up, in the cluster's status and in its own."""
    blocked: list[str] = world.status["reassignment"]["blockedBy"]
    assert found(world, world.status["reassignment"]["name"]).status["blockedBy"] == blocked
    return "\n".join(blocked)


async def test_an_undo_towards_a_leaving_broker_that_dies_is_stalled_until_it_is_back() -> None:
    world, before = await taking_back()
    flying = world.in_flight()
    lose(world, 3)
    await wait_for(world, 50)
    assert world.in_flight() == flying, "it may come back"
    await wait_for(world, 40)
    assert not world.in_flight()
    assert world.recorder.reasons().count("SentBack") == 1
    assert world.condition("Stalled") == ("True", "TargetBrokerDown")
    assert "broker 3, which is not wanted any more, has been away for more than 1 min" in said(
        world
    )
    assert all(f"{topic}-{number}" in said(world) for topic, number in flying)
    assert not any(world.kafka.broker_configs.get(b) for b in (0, 1, 2)), "nothing is in flight"
    await world.settle()
    world.forget_writes()
    await wait_for(world, 60)
    assert world.writes() == []
    assert world.removed == []
    del world.broken[3]
    world.kafka.complete_after = 1
    await world.settle()
    assert found(world, "demo-2").succeeded
    assert world.assignment() == before
    assert not world.throttled()


async def test_an_undo_whose_broker_died_can_be_given_up_for_the_drain() -> None:
    world, _ = await taking_back()
    ask(world, "mine", topics=["orders"])
    lose(world, 3)
    await wait_for(world, 90)
    assert "; to let it go, delete Reassignments demo-2 and demo-1" in said(world)
    for name in ("demo-2", "demo-1"):
        world.kube.remove("Reassignment", NAMESPACE, name)
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert found(world, "mine").succeeded
    assert world.condition("Stalled") is None


async def test_an_undo_says_at_once_which_broker_it_waits_for() -> None:
    world, before = await taking_back()
    world.kafka.complete()
    lose(world, 3)
    await wait_for(world, 20)
    waiting = [tp for tp, replicas in world.assignment().items() if replicas != before[tp]]
    assert f"{len(waiting)} partitions (" in said(world)
    assert "wait for broker 3, which is not registered" in said(world)
    assert world.condition("Stalled") is None
    assert world.condition("Reconciling") == ("True", "BrokersNotReady")


async def test_an_undo_towards_a_broker_that_was_removed_by_hand_is_stalled() -> None:
    world = await emptied_world()
    change(world, "demo-1", undo=True)
    await world.until(lambda: bool(world.reassignments()[1:]))
    world.kube.edit(
        "StatefulSet", NAMESPACE, "demo-broker", lambda body: body["spec"].update(replicas=3)
    )
    world.kubelet()
    await wait_for(world, 90)
    assert world.condition("Stalled") == ("True", "TargetBrokerDown")
    assert "6 partitions (" in said(world)
    world.scale(4)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


def pausing(world: World) -> None:
    change(world, "demo-2", paused=True)


def resuming(world: World) -> None:
    change(world, "demo-2", paused=False)


def losing_another(world: World) -> None:
    lose(world, 1)


def finding_another(world: World) -> None:
    del world.broken[1]


HOLDS: dict[str, tuple[Callable[[World], None], Callable[[World], None]]] = {
    "paused": (pausing, resuming),
    "another broker restarts": (losing_another, finding_another),
}


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
@pytest.mark.parametrize("hold", HOLDS)
async def test_an_empty_broker_that_an_undo_needs_stays_however_long_that_is_held_up(
    hold: str, policy: str
) -> None:
    world = await filled_world(4, reassignment=SLOW, storage={"whenScaledDown": policy})
    before = world.assignment()
    world.scale(3)
    await world.until(lambda: bool(world.reassignments()) and found(world, "demo-1").succeeded)
    change(world, "demo-1", undo=True)
    await world.until(lambda: bool(world.reassignments()[1:]))
    begin, end = HOLDS[hold]
    begin(world)
    await wait_for(world, 120)
    assert world.removed == []
    assert not world.load()[3]
    assert "broker 3 is empty, but demo-2 takes moves back to it" in said(world)
    end(world)
    await world.settle()
    assert found(world, "demo-2").succeeded
    assert world.assignment() == before
    assert world.removed == []


async def test_an_empty_broker_stays_for_an_undo_that_cannot_be_planned_yet() -> None:
    world = await emptied_world()
    before = world.assignment()
    world.kafka.complete_after = None
    elsewhere = next(tp for tp, replicas in before.items() if replicas == (0, 1))
    world.kafka.move({elsewhere[0]: {elsewhere[1]: (0, 2)}})
    change(world, "demo-1", undo=True)
    await wait_for(world, 60)
    parts = [world.kube.find("ConfigMap", NAMESPACE, n) for n in found(world, "demo-1").config_maps]
    topic, number = next(
        (topic, number)
        for topic, its in read_plan([part for part in parts if part]).starts.items()
        for number in its
    )
    world.kafka.topics[topic][number].size = 9 * GIB
    world.kafka.complete()
    world.kafka.complete_after = 1
    await wait_for(world, 60)
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    assert world.removed == []
    assert any("broker 3 is empty, but undoing demo-1" in line for line in world.memory.said)
    world.kafka.topics[topic][number].size = 1000
    await world.settle()
    assert found(world, "demo-2").succeeded
    assert world.load()[3] == 6
    assert world.assignment()[elsewhere] == (0, 2), "what others moved stays"


@pytest.mark.parametrize("whose", ["demo-1", "demo-2"])
async def test_an_empty_broker_goes_once_its_undo_is_given_up(whose: str) -> None:
    world = await emptied_world()
    after = world.assignment()
    change(world, "demo-1", undo=True)
    await world.until(lambda: bool(world.reassignments()[1:]))
    change(world, "demo-2", paused=True)
    await wait_for(world, 30)
    assert world.removed == []
    if whose == "demo-2":
        change(world, "demo-2", undo=True)
    else:
        world.kube.remove("Reassignment", NAMESPACE, "demo-2")
    await world.settle()
    assert world.removed == [3]
    assert world.assignment() == after


async def test_a_broker_goes_although_an_undo_is_asked_for_that_can_never_be() -> None:
    """Of two brokers that it needs, the other one has gone already."""
    world = await filled_world(5, reassignment=SLOW)
    world.kafka.strays[3] = {"orders": {7: 1000}}
    world.scale(3)
    await world.until(lambda: world.removed == [4])
    change(world, "demo-1", undo=True)
    await wait_for(world, 10)
    assert world.condition("Stalled") == ("True", "BrokerGone")
    await wait_for(world, 90)
    assert world.removed == [4, 3]


async def test_a_topic_whose_deletion_hangs_is_named_with_the_broker_that_it_hangs_on() -> None:
    world = await filled_world(4, reassignment=SLOW)
    world.scale(3)
    await world.until(lambda: 0 < world.load()[3] < 3)
    topic = next(topic for (topic, _), replicas in world.assignment().items() if 3 in replicas)
    world.kafka.deleting.add(topic)
    lose(world, 3)
    await world.settle()
    assert f"({topic}-" in said(world)
    assert "not moved any more, for their topics are being deleted, which ends once broker 3" in (
        said(world)
    )
    assert world.condition("Stalled") is None
    assert not any(world.kafka.broker_configs.get(b) for b in (0, 1, 2))
    world.kafka.deleting.clear()
    world.kafka.delete_topic(topic)
    await world.settle()
    assert world.removed == [3]


@pytest.mark.parametrize("by_name", [False, True], ids=["by uid", "by name, as it once was"])
async def test_a_name_that_was_undone_before_can_be_undone_again(*, by_name: bool) -> None:
    world = await filled_world(4, reassignment=SLOW)
    before = world.assignment()
    ask(world, "mine", evacuate=[3])
    await world.until(lambda: world.load()[3] < 5)
    change(world, "mine", undo=True)
    await world.settle()
    assert world.assignment() == before
    if by_name:
        world.kube.edit(
            "Reassignment",
            NAMESPACE,
            "demo-1",
            lambda body: body["metadata"]["annotations"].pop(UNDOES_UID_ANNOTATION),
        )
    world.kube.remove("Reassignment", NAMESPACE, "mine")
    await world.settle()
    ask(world, "mine", evacuate=[3])
    await world.until(lambda: world.load()[3] < 5)
    world.kafka.complete_after = None
    await world.until(lambda: bool(world.in_flight()))
    change(world, "mine", undo=True)
    for _ in range(5):
        await world.one_pass()
    assert world.throttled(), "what flies back is held back still"
    world.kafka.complete()
    world.kafka.complete_after = 1
    await world.settle()
    assert world.assignment() == before
    assert found(world, "mine").state is State.UNDONE
    assert told(world, "mine") == "taken back by demo-2"
    assert not world.throttled()


# Killed in between.


def stores_its_plan(call: Call) -> bool:
    return call.verb == "apply" and "demo-2" in call.name


def records_its_plan(call: Call) -> bool:
    return call.verb == "apply_status" and call.name == "demo-2"


@pytest.mark.parametrize("by", ["undo", "replicas"])
@pytest.mark.parametrize("here", [stores_its_plan, records_its_plan])
async def test_the_old_one_ends_once_the_plan_that_takes_it_back_is_stored(
    here: Callable[[Call], bool], by: str
) -> None:
    world = await filled_world(3, reassignment=SLOW)
    before = world.assignment()
    world.scale(4)
    await world.until(lambda: world.load()[3] > 1)
    if by == "undo":
        change(world, "demo-1", undo=True)
    else:
        world.scale(3)
    await dies_at(world, here)
    while not found(world, "demo-2").plan_hash:
        assert not found(world, "demo-1").finished
        await world.one_pass()
    await world.settle()
    assert world.assignment() == before
    assert found(world, "demo-2").succeeded
    assert found(world, "demo-1").state is (State.UNDONE if by == "undo" else State.SUPERSEDED)
    assert len(world.reassignments()) == 2
    assert not world.throttled()


@pytest.mark.parametrize("name", ["demo-1", "mine"])
@pytest.mark.parametrize("done", [False, True], ids=["half done", "done"])
async def test_an_undo_that_is_refused_has_ended_nothing(name: str, *, done: bool) -> None:
    world = await filled_world(4, reassignment=SLOW)
    before = world.assignment()
    if name == "mine":
        ask(world, name, evacuate=[3])
        await world.until(lambda: found(world, name).succeeded if done else world.load()[3] < 4)
    else:
        world.scale(3)
        await world.until(lambda: world.load()[3] < (1 if done else 4))
        if done:
            await world.until(lambda: found(world, name).succeeded)
    change(world, name, undo=True)
    await dies_at(world, lambda call: call.verb == "apply" and "-plan-" in call.name)
    undo = world.reassignments()[-1]
    assert undo.undoes == name
    sizes = {tp: part.size for tp, part in world.partitions()}
    for tp, part in world.partitions():
        if before[tp] != part.state.replicas:
            part.size = 9 * GIB
    await wait_for(world, 30)
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    assert found(world, name).state is not State.UNDONE
    assert world.removed == []
    for tp, part in world.partitions():
        part.size = sizes[tp]
    await world.settle()
    assert found(world, name).state is State.UNDONE
    assert told(world, name) == f"taken back by {undo.name}"
    assert world.assignment() == before


async def test_what_replaces_the_old_one_may_have_nothing_to_do_any_more() -> None:
    world = await filled_world(3, reassignment=SLOW)
    world.scale(4)
    await world.until(lambda: world.load()[3] > 1)
    world.scale(5)
    await dies_at(world, stores_its_plan)
    for topic in list(world.kafka.topics):
        world.kafka.delete_topic(topic)
    await world.settle()
    assert [r.state for r in world.reassignments()] == [State.SUPERSEDED, State.SUCCEEDED]
    assert world.condition("Stalled") is None


# What has ended half-way.


async def begun_and_refused() -> tuple[World, dict[tuple[str, int], Any]]:
    """Return a world in which a request has begun that cannot go on: a topic must stay."""
    world = await filled_world(4, reassignment=SLOW)
    before = world.assignment()
    ask(world, "mine", evacuate=[3])
    await world.until(lambda: world.load()[3] < 4)
    world.kafka.create_topic("late", {0: (0, 1, 2, 3)}, size=10)
    ask(world, "next", evacuate=[2], topics=["payments"])
    await world.settle()
    return world, before


async def test_a_request_that_has_begun_waits_until_it_can_go_on() -> None:
    world, _ = await begun_and_refused()
    mine = found(world, "mine")
    assert mine.state is State.STALLED
    assert world.condition("Stalled") == ("True", "ReplicationFactorTooHigh")
    assert "mine cannot go on: topic late has replication factor 4" in said(world)
    assert 'kubectl patch ra mine -n team --type merge -p \'{"spec":{"undo":true}}\'' in said(world)
    assert not world.throttled()
    assert not world.in_flight()
    assert 0 < world.load()[3] < 6
    assert world.status["reassignment"]["queued"] == ["next"]
    world.kafka.delete_topic("late")
    await world.until(lambda: found(world, "mine").succeeded)
    assert world.load()[3] == 0
    await world.settle()
    assert found(world, "next").succeeded


async def test_a_request_that_has_begun_and_cannot_go_on_can_be_undone() -> None:
    world, before = await begun_and_refused()
    change(world, "mine", undo=True)
    await world.until(lambda: found(world, "mine").state is State.UNDONE)
    undo = found(world, "demo-1")
    assert (undo.cause, undo.undoes) == (Cause.UNDO, "mine")
    await world.until(lambda: found(world, "demo-1").succeeded)
    now = {tp: replicas for tp, replicas in world.assignment().items() if tp in before}
    assert now == before
    await world.settle()
    assert found(world, "next").succeeded


async def test_a_request_that_has_begun_and_cannot_go_on_can_be_deleted() -> None:
    world, _ = await begun_and_refused()
    world.kube.remove("Reassignment", NAMESPACE, "mine")
    await world.settle()
    assert found(world, "next").succeeded
    assert world.condition("Stalled") is None


async def test_what_the_spec_asks_for_goes_before_a_request_that_cannot_go_on() -> None:
    world, _ = await begun_and_refused()
    world.scale(5)
    await world.until(lambda: any(r.name == "demo-1" for r in world.reassignments()))
    assert world.status["reassignment"]["name"] == "mine"
    await world.settle()
    assert all(found(world, name).succeeded for name in ("demo-1", "mine", "next"))
    assert found(world, "demo-1").ended < found(world, "mine").ended


async def test_what_neither_the_spec_nor_a_request_can_have_is_told_of_both() -> None:
    world, _ = await begun_and_refused()
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "ReplicationFactorTooHigh")
    assert "but only 3 brokers would remain" in said(world)
    assert "; and mine cannot go on: " in said(world)
    world.kafka.delete_topic("late")
    await world.settle()
    assert world.removed == [3]
    assert found(world, "next").succeeded


@pytest.mark.parametrize("way", ["undo", "delete"])
async def test_a_request_that_leads_to_a_broker_that_went_is_not_planned_for_ever(way: str) -> None:
    world = await filled_world(4, reassignment=SLOW)
    ask(world, "first", evacuate=[3])
    await world.settle()
    before = world.assignment()
    ask(world, "mine", replace={"broker": 1, "by": 3})
    await world.until(lambda: world.load()[3] > 1)
    world.scale(3)
    await world.settle()
    assert world.removed == [3]
    assert world.condition("Stalled") == ("True", "BrokerGone")
    assert "mine cannot go on: it leads to broker 3, which is not wanted any more" in said(world)
    if way == "undo":
        change(world, "mine", undo=True)
    else:
        world.kube.remove("Reassignment", NAMESPACE, "mine")
    await world.settle()
    assert world.condition("Stalled") is None
    assert not world.load()[3]
    assert len(world.assignment()) == len(before)


@pytest.mark.parametrize("state", [State.SUPERSEDED, State.REFUSED])
async def test_what_has_ended_half_way_says_why_it_cannot_be_undone(state: State) -> None:
    world = await filled_world(3, reassignment=SLOW)
    world.scale(4)
    await world.until(lambda: world.load()[3] > 1)
    world.scale(5)
    await world.settle()

    def end(body: dict[str, Any]) -> None:
        """Older operators have ended so what had begun."""
        for condition in body["status"]["conditions"]:
            if condition["type"] == "Complete":
                condition["reason"] = str(state)

    world.kube.edit("Reassignment", NAMESPACE, "demo-1", end)
    after = world.assignment()
    change(world, "demo-1", undo=True)
    await world.settle()
    assert world.assignment() == after
    (why,) = found(world, "demo-1").status["blockedBy"]
    assert f"cannot be undone, for it has ended half-way, as {state}" in why
    world.forget_writes()
    await world.settle()
    assert world.writes() == []
