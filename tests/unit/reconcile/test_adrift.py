"""A Reassignment whose BrokerCluster is not there says so and waits for it, or is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.api.reassignment import SWEEP_FINALIZER, State
from broker_operator.ports import ConflictError
from tests.unit.reconcile.test_control import ask, change, found, told
from tests.unit.reconcile.world import NAMESPACE, World, cluster_body, filled_world

if TYPE_CHECKING:
    from tests.fakes.kube import Call


async def look(world: World) -> None:
    await world.reconciler.adrift(NAMESPACE)


async def test_a_misspelt_cluster_is_told_with_those_that_there_are() -> None:
    world = await filled_world(3)
    ask(world, "mine", cluster="dmeo", evacuate=[2])
    await look(world)
    assert found(world, "mine").state is State.NO_CLUSTER
    assert told(world, "mine") == (
        "spec.cluster is 'dmeo', but namespace team has no such BrokerCluster (there is demo); "
        "make it, or delete this Reassignment and make one that names another"
    )
    body = found(world, "mine").body
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"]
    assert [t.warning for t in world.recorder.told if t.reason == "NoBrokerCluster"] == [True]
    world.forget_writes()
    await look(world)
    await world.settle()
    assert world.writes() == [], "it is said once"


async def test_it_goes_on_once_the_cluster_is_there() -> None:
    world = await filled_world(3)
    body = world.kube.find("BrokerCluster", NAMESPACE, "demo")
    assert body is not None
    world.kube.remove("BrokerCluster", NAMESPACE, "demo")
    ask(world, "mine", evacuate=[2])
    await look(world)
    assert found(world, "mine").state is State.NO_CLUSTER
    assert "(there is none at all)" in told(world, "mine")
    world.kube.put(cluster_body(3))
    await world.settle()
    assert found(world, "mine").succeeded
    assert not world.load()[2]


async def test_one_of_a_cluster_that_goes_away_is_adrift() -> None:
    world = await filled_world(3)
    world.edit(lambda spec: spec.update(paused=True))
    await world.settle()
    ask(world, "mine")
    await world.settle()
    await look(world)
    assert found(world, "mine").state is State.QUEUED, "it has a cluster, if a paused one"
    await world.kube.delete("BrokerCluster", NAMESPACE, "demo")
    await look(world)
    assert found(world, "mine").state is State.NO_CLUSTER


async def test_what_is_served_or_over_is_left_alone() -> None:
    world = await filled_world(3)
    ask(world, "done")
    ask(world, "refused", evacuate=[7])
    await world.settle()
    ask(world, "theirs")
    world.forget_writes()
    await look(world)
    assert world.writes() == []


async def test_one_that_is_taken_in_at_that_moment_is_not_overwritten() -> None:
    world = await filled_world(3)
    ask(world, "mine", cluster="dmeo")

    def take_in(call: Call) -> None:
        if call.verb == "apply_status":
            world.kube.before = lambda _: None
            change(world, "mine", paused=True)

    world.kube.before = take_in
    with pytest.raises(ConflictError):
        await look(world)
    assert not found(world, "mine").status
    await look(world)
    assert found(world, "mine").state is State.NO_CLUSTER


async def orphan() -> World:
    """Return a world whose cluster went in mid-move, and nobody cleaned up."""
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    assert world.throttled()
    await world.kube.delete("BrokerCluster", NAMESPACE, "demo")
    assert found(world, "demo-1").deleting, "by the garbage collector"
    assert found(world, "demo-1").finalizers == (SWEEP_FINALIZER,)
    return world


@pytest.mark.parametrize("anew", [True, False], ids=["made again", "gone"])
async def test_one_that_its_cluster_has_left_is_let_go_and_its_throttle_told(*, anew: bool) -> None:
    world = await orphan()
    if anew:
        world.kube.put(cluster_body(4))
    await look(world)
    assert not world.reassignments()
    (left,) = [t for t in world.recorder.told if t.reason == "ThrottleLeft"]
    assert left.warning
    assert "rate of broker 0, 1, 2, 3 and {leader" in left.message
    world.forget_writes()
    await look(world)
    assert world.writes() == []


async def test_one_that_has_set_no_throttle_is_let_go_without_a_word() -> None:
    world = await filled_world(3, reassignment={"approval": "Required"})
    world.scale(4)
    await world.settle()
    assert found(world, "demo-1").state is State.AWAITING_APPROVAL
    await world.kube.delete("BrokerCluster", NAMESPACE, "demo")
    await look(world)
    assert not world.reassignments()
    assert "ThrottleLeft" not in world.recorder.reasons()


@pytest.mark.parametrize("ending", [True, False], ids=["being deleted", "live"])
async def test_one_whose_cluster_is_there_is_left_to_it(*, ending: bool) -> None:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    await world.kube.delete("Reassignment", NAMESPACE, "demo-1")
    if ending:
        hold = {"finalizers": ["ours"]}
        world.kube.edit("BrokerCluster", NAMESPACE, "demo", lambda b: b["metadata"].update(hold))
        await world.kube.delete("BrokerCluster", NAMESPACE, "demo")
    world.forget_writes()
    await look(world)
    assert world.writes() == []
    assert found(world, "demo-1").finalizers == (SWEEP_FINALIZER,)


async def test_one_that_was_left_without_an_owner_is_let_go_when_it_is_deleted() -> None:
    """`kubectl delete bc --cascade=orphan`, with nobody there to clean up."""
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.kube.edit(
        "Reassignment", NAMESPACE, "demo-1", lambda b: b["metadata"].pop("ownerReferences")
    )
    await world.kube.delete("Reassignment", NAMESPACE, "demo-1")
    await look(world)
    assert found(world, "demo-1").deleting, "there is a cluster of that name"
    await world.kube.delete("BrokerCluster", NAMESPACE, "demo")
    await look(world)
    assert not world.reassignments()
