"""A Reassignment that is planned anew on its way: what an undo leads back to, and what starts."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING

import pytest

from broker_operator.api.reassignment import Cause, State
from broker_operator.core.model import PartitionState
from broker_operator.core.planner import to_json
from broker_operator.core.render.reassignment import ORIGIN, TARGET, read_plan
from broker_operator.ports import TransientError
from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.unit.reconcile.test_absence import lose, wait_for
from tests.unit.reconcile.test_control import ask, change, found, told
from tests.unit.reconcile.world import NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from broker_operator.core.facts import StoredPlan
    from broker_operator.core.model import KubeObject, Replicas
    from tests.fakes.kube import Call

ONE_BY_ONE = {"maxMovesPerBroker": 1}

Rows = dict[tuple[str, int], "Replicas"]


async def half_way(**settings: object) -> tuple[World, Rows, str]:
    """Return a drain that has moved something by its first plan, where all was, and that plan."""
    world = await filled_world(4, reassignment=ONE_BY_ONE | settings)
    before = world.assignment()
    world.scale(3)
    if settings:
        await world.settle()
        change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.until(lambda: 0 < len(moved(world, before)) < len(before) // 2)
    world.kafka.complete()
    await world.until(lambda: not world.in_flight())
    return world, before, found(world, "demo-1").plan_hash


def moved(world: World, before: Rows) -> list[tuple[str, int]]:
    now = world.assignment()
    return [tp for tp, row in before.items() if tp in now and now[tp] != row]


def put(world: World, tp: tuple[str, int], replicas: Replicas) -> None:
    """Let somebody else give a partition other replicas."""
    part = world.kafka.topics[tp[0]][tp[1]]
    part.state, part.isr = PartitionState(replicas), list(replicas)


async def undone(world: World, rows: Rows) -> None:
    """Undo the first Reassignment, and see that these partitions are where that shall lead."""
    change(world, "demo-1", undo=True)
    await world.settle()
    assert found(world, "demo-1").state is State.UNDONE
    now = world.assignment()
    assert {tp: now[tp] for tp in rows} == rows


def stored_plan(world: World, name: str) -> StoredPlan:
    """Return the plan that a Reassignment has."""
    parts = [world.kube.find("ConfigMap", NAMESPACE, m) for m in found(world, name).config_maps]
    return read_plan([part for part in parts if part is not None])


def stray(world: World) -> None:
    """Make a topic on the broker that leaves: the plan does not know it."""
    world.kafka.create_topic("late", {0: (3, 0)}, size=10)


async def test_an_undo_leads_to_where_everything_was_before_the_first_plan() -> None:
    world, before, first = await half_way()
    stray(world)
    world.kafka.complete_after = None
    await world.until(lambda: found(world, "demo-1").plan_hash != first)
    world.kafka.complete_after = 1
    await undone(world, before)


async def test_so_does_replicas_set_back() -> None:
    world, before, first = await half_way()
    stray(world)
    await world.until(lambda: found(world, "demo-1").plan_hash != first)
    world.scale(4)
    await world.settle()
    assert world.reassignments()[-1].cause is Cause.UNDO
    now = world.assignment()
    assert {tp: now[tp] for tp in before} == before


async def test_after_two_plans_more_it_still_does() -> None:
    world, before, first = await half_way()
    stray(world)
    await world.until(lambda: found(world, "demo-1").plan_hash != first)
    second = found(world, "demo-1").plan_hash
    world.kafka.create_topic("later", {0: (3, 1)}, size=10)
    await world.until(lambda: found(world, "demo-1").plan_hash != second)
    await undone(world, before)


async def test_what_somebody_else_has_changed_meanwhile_stays_as_they_want_it() -> None:
    world, before, first = await half_way()
    theirs = next(tp for tp in before if tp not in moved(world, before) and 3 not in before[tp])
    wanted = (*before[theirs], *({0, 1, 2} - set(before[theirs])))
    put(world, theirs, wanted)
    await world.until(lambda: found(world, "demo-1").plan_hash != first)
    await undone(world, before | {theirs: wanted})


@pytest.mark.parametrize("part", [ORIGIN, TARGET])
async def test_no_part_of_a_plan_can_be_edited_into_another(part: str) -> None:
    world, _, first = await half_way()

    def edit(body: KubeObject) -> None:
        if part in body["binaryData"]:
            lists = {topic: dict.fromkeys(range(6), (0,)) for topic in ("orders", "payments")}
            packed = gzip.compress(to_json(lists).encode())
            body["binaryData"][part] = base64.b64encode(packed).decode()

    for name in found(world, "demo-1").config_maps:
        world.kube.edit("ConfigMap", NAMESPACE, name, edit)
    await world.settle()
    ended = found(world, "demo-1")
    assert ended.succeeded
    assert ended.plan_hash != first, "planned anew"
    assert world.removed == [3]
    assert all(len(row) == 2 for row in world.assignment().values())


async def test_a_later_plan_waits_for_approval_and_is_void_like_the_first() -> None:
    world, before, first = await half_way(approval="Required")
    stray(world)
    await world.settle()
    second = found(world, "demo-1")
    assert second.plan_hash != first
    assert second.state is State.AWAITING_APPROVAL
    assert not second.plan_begun
    now = world.assignment()
    theirs = next(tp for tp in before if 3 in now[tp])
    put(world, theirs, now[theirs][::-1])
    change(world, "demo-1", approvedPlan=second.plan_hash)
    await world.settle()
    third = found(world, "demo-1")
    assert third.plan_hash != second.plan_hash
    assert third.state is State.AWAITING_APPROVAL
    assert "not where the plan found them" in told(world, "demo-1", "Approved")
    assert world.load()[3]
    change(world, "demo-1", approvedPlan=third.plan_hash)
    await world.settle()
    assert found(world, "demo-1").succeeded
    assert found(world, "demo-1").started == second.started
    assert world.removed == [3]


async def test_a_plan_that_could_not_be_recorded_has_not_spoilt_the_one_before() -> None:
    world, before, first = await half_way()
    maps = found(world, "demo-1").config_maps
    kept = [world.kube.find("ConfigMap", NAMESPACE, name) for name in maps]
    refused: list[Call] = []

    def refuse(call: Call) -> None:
        planned = any(c.verb == "apply" and c.kind == "ConfigMap" for c in world.kube.calls)
        if call.verb == "apply_status" and call.kind == "Reassignment" and planned:
            refused.append(call)
            raise TransientError("the API server has gone")

    stray(world)
    world.forget_writes()
    world.kube.before = refuse
    for _ in range(5):
        await world.one_pass()
    assert refused
    assert found(world, "demo-1").plan_hash == first
    assert [world.kube.find("ConfigMap", NAMESPACE, name) for name in maps] == kept
    world.kube.before = lambda _: None
    world.restart_operator()
    await undone(world, before)


async def test_the_throttle_of_a_later_plan_is_found_when_the_status_is_wiped() -> None:
    world, _, first = await half_way()
    stray(world)
    world.kafka.complete_after = None
    await world.until(lambda: found(world, "demo-1").plan_hash != first)
    await world.until(lambda: bool(world.in_flight()))
    assert world.throttled()
    world.kube.edit("Reassignment", NAMESPACE, "demo-1", lambda body: body.pop("status"))
    world.kafka.complete()
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert not world.throttled()
    assert "ForeignThrottle" not in world.recorder.reasons()


@pytest.mark.parametrize("what", ["deleted", "reordered"])
async def test_a_plan_around_a_lost_broker_is_approved_as_it_is_once_it_waits(what: str) -> None:
    """While that broker is away no other plan can be made, so it must not be void."""
    pairs = {n: (n % 4, (n + 1 + n // 4) % 4) for n in range(12)}
    world = World(4, reassignment=ONE_BY_ONE | {"approval": "Required"})
    await world.settle()
    world.kafka.create_topic("orders", pairs, size=10)
    world.kafka.create_topic("zoo", {0: (3, 0), 1: (3, 2)}, size=10)
    await world.settle()
    world.scale(3)
    await world.settle()
    change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.until(lambda: 0 < world.load()[3] < 6)
    world.kafka.complete()
    lost = 1
    lose(world, lost)
    await wait_for(world, DESIRED_SECONDS + 100)
    around = found(world, "demo-1")
    assert around.plan_avoids == {lost}
    assert around.state is State.AWAITING_APPROVAL
    assert any(3 in world.assignment()["zoo", n] for n in (0, 1))
    if what == "deleted":
        world.kafka.delete_topic("zoo")
    else:
        put(world, ("zoo", 0), world.assignment()["zoo", 0][::-1])
    change(world, "demo-1", approvedPlan=around.plan_hash)
    await world.until(lambda: not world.load()[3])
    assert found(world, "demo-1").plan_hash == around.plan_hash
    await world.until(lambda: world.removed == [3])


async def test_once_that_broker_is_back_it_is_void_like_every_other() -> None:
    world = World(5, reassignment=ONE_BY_ONE | {"approval": "Required"})
    await world.settle()
    world.kafka.create_topic("orders", {0: (4, 0), 1: (4, 2), 2: (4, 3)}, size=1000)
    world.kafka.create_topic("other", {0: (0, 2), 1: (2, 3), 2: (3, 0)}, size=1000)
    await world.settle()
    world.kafka.complete_after = None
    world.scale(4)
    await world.settle()
    change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.until(lambda: bool(world.in_flight()))
    lose(world, 1)
    await wait_for(world, DESIRED_SECONDS + 100)
    world.kafka.complete_after = 1
    await wait_for(world, 60)
    around = found(world, "demo-1")
    assert around.plan_avoids == {1}
    assert around.state is State.AWAITING_APPROVAL
    del world.broken[1]
    world.kubelet()
    await wait_for(world, 60)
    put(world, ("orders", 0), (1, 0))  # as its user wants it
    change(world, "demo-1", approvedPlan=around.plan_hash)
    await world.settle()
    last = found(world, "demo-1")
    assert last.state is State.AWAITING_APPROVAL
    assert last.plan_hash != around.plan_hash
    assert world.assignment()["orders", 0] == (1, 0)


async def test_so_is_a_plan_without_a_broker_that_has_never_come() -> None:
    world = await filled_world(3, reassignment=ONE_BY_ONE | {"approval": "Required"})
    ask(world, "mine", evacuate=[2])
    await world.settle()
    first = found(world, "mine").plan_hash
    change(world, "mine", approvedPlan=first)
    world.kafka.complete_after = None
    await world.until(lambda: bool(world.in_flight()))
    world.broken[3] = "ImagePullBackOff"
    world.scale(4)
    await world.one_pass()
    world.kafka.create_topic("late", {0: (2, 0)}, size=10)
    world.kafka.complete()
    world.kafka.complete_after = 1
    await wait_for(world, DESIRED_SECONDS + 100)
    second = found(world, "mine")
    assert second.plan_hash != first
    assert second.state is State.AWAITING_APPROVAL
    assert second.plan_avoids == {3}
    now = world.assignment()
    theirs = next(tp for tp in now if tp[0] == "orders" and 2 in now[tp])
    put(world, theirs, now[theirs][::-1])
    change(world, "mine", approvedPlan=second.plan_hash)
    await wait_for(world, 60)
    assert found(world, "mine").plan_hash != second.plan_hash
    assert found(world, "mine").state is State.AWAITING_APPROVAL
