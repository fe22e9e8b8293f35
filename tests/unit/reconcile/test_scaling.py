"""Scaling out and in, from the spec change to the last record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.unit.reconcile.world import NAMESPACE, World, filled_world


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


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that refuses what the API server would silently drop."""
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {k: strict(v) for k, v in schema["properties"].items()}
        found["additionalProperties"] = False
    if "items" in schema:
        found["items"] = strict(schema["items"])
    return found


@pytest.mark.parametrize(("throttle", "seconds"), [("1Ki", 6), ("0", None)])
async def test_the_status_of_a_reassignment_shows_its_report(
    throttle: str, seconds: int | None
) -> None:
    world = await filled_world(3, reassignment={"throttle": throttle, "maxMovesPerBroker": 2})
    world.scale(4)
    await world.settle()
    (made,) = world.reassignments()
    plan = made.status["plan"]
    stored = world.kube.find("ConfigMap", NAMESPACE, plan["configMaps"][0])
    assert stored is not None
    report = json.loads(stored["data"]["report.json"])
    assert plan["replicaSpread"] == {"before": 8, "after": 0}
    assert plan["leaderSpread"] == {"before": 4, "after": 0}
    assert plan["topicSpread"] == {"before": 4, "after": 0}
    assert plan["rackViolations"] == {"before": 0, "after": 0}
    assert plan["byteBound"] == plan["bytes"] == report["bytes"] == 6000
    assert plan["batches"] == report["batches"] == 3
    assert plan["partitionsWithoutSize"] == 0
    assert (report["moves"], report["hash"]) == (plan["moves"], plan["hash"])
    assert {b["id"]: b["replicas_after"] for b in report["brokers"]} == world.load()
    times = (plan.get("predictedSeconds"), plan.get("idealSeconds"))
    assert times == (seconds, seconds)
    assert report["throttle"] == (1024 if seconds else None)
    assert report["removed"] == []


async def test_the_report_names_the_brokers_that_go() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.settle()
    plan = world.reassignments()[-1].status["plan"]
    stored = world.kube.find("ConfigMap", NAMESPACE, plan["configMaps"][0])
    assert stored is not None
    report = json.loads(stored["data"]["report.json"])
    assert report["removed"] == [3]
    assert [b["id"] for b in report["brokers"] if not b["target"]] == [3]


@pytest.mark.parametrize("kind", ["BrokerCluster", "Reassignment"])
async def test_every_status_is_what_the_schema_says(kind: str) -> None:
    text = (Path(__file__).parents[3] / "crds" / f"{kind.lower()}s.yaml").read_text()
    (version,) = yaml.safe_load(text)["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"]["properties"]["status"])
    world = await filled_world(3, reassignment={"throttle": "1Mi", "maxMovesPerBroker": 1})
    for replicas in (5, 3):
        world.scale(replicas)
        for _ in range(60):
            await world.one_pass()
            for body in world.kube.all(kind):
                jsonschema.validate(body.get("status", {}), schema)
    world.assert_at_rest(0, 1, 2)


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
