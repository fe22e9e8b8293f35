"""Pods that a mistake in the spec keeps from starting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.ports import RejectedError
from tests.unit.reconcile.world import NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from tests.fakes.kube import Call

IMAGE = "kafka:with-a-typo"
PULLING = "ImagePullBackOff"


async def stuck_world() -> World:
    """Return a world where broker 3 shall join and its image cannot be had."""
    world = await filled_world(3)
    world.broken[3] = PULLING
    world.edit(lambda spec: spec.update(image=IMAGE, replicas=4))
    await world.settle()
    assert world.condition("Stalled") == ("True", "BrokersNotReady")
    assert world.condition("Available") == ("True", "AllPartitionsLed")
    assert "demo-broker-3: ImagePullBackOff" in world.message("Stalled")
    world.forget_writes()
    return world


async def test_a_pod_is_made_anew_when_the_mistake_is_put_right() -> None:
    world = await stuck_world()
    former = world.kube.find("Pod", NAMESPACE, "demo-broker-3")
    world.edit(lambda spec: spec.pop("image"))
    await world.until(lambda: "delete Pod" in world.writes())
    del world.broken[3]
    await world.settle()
    assert former is not None
    now = world.kube.find("Pod", NAMESPACE, "demo-broker-3")
    assert now is not None
    assert now["metadata"]["uid"] != former["metadata"]["uid"]
    assert world.writes().count("delete Pod") == 1, "the others run, and are left alone"
    assert "ReplacedPods" in world.recorder.reasons()
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_pod_that_would_be_made_the_same_again_is_left_alone() -> None:
    world = await stuck_world()
    for _ in range(10):
        await world.one_pass()
    assert "delete Pod" not in world.writes()


@pytest.mark.parametrize("doubt", ["registered", "no answer"])
async def test_a_pod_whose_broker_may_run_is_left_alone(doubt: str) -> None:
    world = await filled_world(3)
    world.edit(lambda spec: spec.update(jvm={"heap": "2Gi"}))
    await world.settle()

    world.kube.edit("Pod", NAMESPACE, "demo-broker-2", waiting)
    world.kafka.ensemble_down = doubt == "no answer"
    world.forget_writes()
    for _ in range(5):
        await world.one_pass()
    assert "delete Pod" not in world.writes()


def waiting(body: dict[str, object]) -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    conditions = [{"type": "Ready", "status": "False"}]
    containers = [{"name": "kafka", "state": state}]
    body["status"] = {"conditions": conditions, "containerStatuses": containers}


async def test_who_may_not_delete_pods_says_so_and_holds_up_nothing() -> None:
    world = await stuck_world()

    def forbid(call: Call) -> None:
        if call.verb == "delete" and call.kind == "Pod":
            raise RejectedError("cannot delete Pod: forbidden (HTTP 403)")

    world.kube.before = forbid
    world.edit(lambda spec: spec.pop("image"))
    await world.until(lambda: "forbidden" in str(world.status["conditions"]))
    assert "forbidden" in world.message("Stalled")
    assert "demo-broker-3: ImagePullBackOff" in world.message("BrokersReady")
    world.scale(3)
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_broker_that_never_came_goes_when_the_cluster_is_scaled_back() -> None:
    world = await stuck_world()
    world.scale(3)
    await world.settle()
    assert world.removed == [3]
    assert world.reassignments() == []
    assert world.condition("Stalled") is None
