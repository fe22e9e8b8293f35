"""Scaling out and in, from the spec change to the last record."""

from __future__ import annotations

import pytest

from tests.unit.reconcile.world import World, filled_world


def bounds(world: World) -> int:
    return sum(r.status["plan"]["lowerBound"] for r in world.reassignments())


async def test_a_new_cluster_gets_its_objects_and_its_brokers() -> None:
    world = World(3)
    await world.settle()
    assert world.sizes() == {"demo-broker": 3}
    assert sorted(world.kafka.brokers) == [0, 1, 2]
    kinds = ("Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget")
    assert {k: [b["metadata"]["name"] for b in world.kube.all(k)] for k in kinds} == {
        "Service": ["demo-broker", "demo-broker-headless"],
        "ConfigMap": ["demo-broker"],
        "ServiceAccount": ["demo-broker"],
        "PodDisruptionBudget": ["demo-broker"],
    }
    assert world.status["clusterId"] == "fake-cluster"
    assert world.status["readyReplicas"] == 3
    assert world.status["observedGeneration"] == world.body["metadata"]["generation"]
    assert world.condition("BrokersReady") == ("True", "AllReady")
    assert not world.reassignments()
    assert "Available" in world.recorder.reasons()


@pytest.mark.parametrize("most", [4, 5])
@pytest.mark.parametrize("via", ["ZooKeeper", "AdminApi"])
async def test_scaling_out_and_in_again(most: int, via: str) -> None:
    world = await filled_world(3, reassignment={"via": via, "maxMovesPerBroker": 2})
    world.scale(most)
    await world.settle()
    world.assert_at_rest(*range(most))
    assert len(world.kafka.moved) == bounds(world)
    world.scale(3)
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.removed == list(range(3, most))
    assert len(world.kafka.moved) == bounds(world)
    assert [r.cause for r in world.reassignments()] == ["ScaleUp", "ScaleDown"]
    assert all(r.succeeded and not r.finalizers for r in world.reassignments())


async def test_one_event_for_each_decision() -> None:
    world = await filled_world()
    world.recorder.told.clear()
    world.scale(4)
    await world.settle()
    world.scale(3)
    await world.settle()
    assert world.recorder.reasons() == [
        "AddingBrokers",
        "PlannedReassignment",
        "FinishedReassignment",
        "PlannedReassignment",
        "FinishedReassignment",
        "RemovedBrokers",
    ]


@pytest.mark.parametrize("via", ["ZooKeeper", "AdminApi"])
async def test_nothing_begins_to_move_before_its_throttle_is_set(via: str) -> None:
    world = await filled_world(3, reassignment={"via": via, "throttle": "1Mi"})
    world.kafka.complete_after = None
    world.scale(4)
    for _ in range(20):
        await world.one_pass()
        if world.in_flight():
            break
    topics = {topic for topic, _ in world.in_flight()}
    assert topics
    assert {b for b, configs in world.kafka.broker_configs.items() if configs} == {0, 1, 2, 3}
    assert topics <= {t for t, configs in world.kafka.topic_configs.items() if configs}
    assert [r.throttle is not None for r in world.reassignments()] == [True]
