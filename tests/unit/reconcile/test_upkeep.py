"""Rest, drift, volumes, history, racks and the end of a cluster."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.api.reassignment import SWEEP_FINALIZER
from broker_operator.core import naming
from broker_operator.ports import RejectedError, TransientError
from broker_operator.reconcile.scope import Memory
from tests.unit.reconcile.world import (
    CONNECT,
    NAME,
    NAMESPACE,
    World,
    filled_world,
    pod_body,
)

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject
    from tests.fakes.kube import Call

RACKS = [{"name": name, "zone": f"eu-{name}"} for name in "abc"]


async def test_thirty_passes_at_rest_write_nothing_anywhere() -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.settle()
    world.forget_writes()
    told = len(world.recorder.told)
    for _ in range(30):
        await world.one_pass()
    assert world.kube.writes == []
    assert world.kafka.writes == []
    assert len(world.recorder.told) == told
    assert all(r.delay is None and not r.retry for r in world.results[-30:])


@pytest.mark.parametrize("paused", [False, True])
async def test_passes_that_are_held_up_write_nothing_either(*, paused: bool) -> None:
    world = await filled_world(3, paused=False)
    world.kafka.create_topic("wide", {0: (0, 1, 2)}, size=10)
    world.edit(lambda spec: spec.update(paused=paused, replicas=2))
    await world.settle()
    world.forget_writes()
    for _ in range(30):
        await world.one_pass()
    assert world.kube.writes == []
    assert world.kafka.writes == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Service", "demo-broker"),
        ("Service", "demo-broker-headless"),
        ("ConfigMap", "demo-broker"),
        ("ServiceAccount", "demo-broker"),
        ("PodDisruptionBudget", "demo-broker"),
        ("StatefulSet", "demo-broker"),
    ],
)
async def test_a_child_that_was_deleted_is_made_again(kind: str, name: str) -> None:
    world = await filled_world(3)
    world.kube.remove(kind, NAMESPACE, name)
    await world.settle()
    assert world.kube.find(kind, NAMESPACE, name) is not None
    world.assert_at_rest(0, 1, 2)


async def test_a_child_that_was_edited_is_put_right() -> None:
    world = await filled_world(3)
    world.kube.edit(
        "Service",
        NAMESPACE,
        "demo-broker",
        lambda b: b["spec"]["ports"][0].update(targetPort="metrics"),
    )
    await world.settle()
    service = world.kube.find("Service", NAMESPACE, "demo-broker")
    assert service is not None
    assert service["spec"]["ports"][0]["targetPort"] == "kafka"


async def test_fewer_replicas_set_on_the_stateful_set_itself_are_put_back() -> None:
    """Somebody scales the StatefulSet instead of the cluster: its data says how many it needs."""
    world = await filled_world(3)
    world.kube.edit("StatefulSet", NAMESPACE, "demo-broker", lambda b: b["spec"].update(replicas=2))
    world._sizes["demo-broker"] = 2
    await world.settle()
    assert world.sizes() == {"demo-broker": 3}
    world.assert_at_rest(0, 1, 2)


def claims(world: World) -> list[str]:
    return [b["metadata"]["name"] for b in world.kube.all("PersistentVolumeClaim")]


@pytest.mark.parametrize(("policy", "left"), [("Retain", 5), ("Delete", 3)])
async def test_volumes_go_with_their_brokers_only_if_asked(policy: str, left: int) -> None:
    world = await filled_world(5, storage={"whenScaledDown": policy})
    world.scale(3)
    await world.settle()
    assert claims(world) == [f"data-demo-broker-{i}" for i in range(left)]
    assert retention(world) == "Retain"


async def test_a_set_lowered_by_hand_takes_no_volume_along() -> None:
    world = await filled_world(4, storage={"whenScaledDown": "Delete"})
    world.kube.edit("StatefulSet", NAMESPACE, "demo-broker", lambda b: b["spec"].update(replicas=2))
    world._sizes["demo-broker"] = 2
    world.kubelet()
    await world.settle()
    assert claims(world) == [f"data-demo-broker-{i}" for i in range(4)]
    assert sorted(world.kafka.brokers) == [0, 1, 2, 3]


async def test_no_volume_goes_by_any_other_way_than_a_proof() -> None:
    """A pod on its way out is not yet a broker that was proved empty."""
    world = await filled_world(5, storage={"whenScaledDown": "Delete"})
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    world.kafka.ensemble_down = True
    world.kube.edit("StatefulSet", NAMESPACE, "demo-broker", lambda b: b["spec"].update(replicas=4))
    world._sizes["demo-broker"] = 4
    for _ in range(3):
        await world.reconciler.run(NAMESPACE, NAME, world.memory)  # the kubelet has not come round
        assert retention(world) == "Retain"
    world.kafka.ensemble_down = False
    world.kafka.complete_after = 1
    await world.settle()
    assert claims(world) == [f"data-demo-broker-{i}" for i in range(3)]


async def test_a_former_clusters_reassignment_is_not_gone_on_with() -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    owner = [{"kind": "BrokerCluster", "name": NAME, "uid": "another", "controller": True}]
    world.kube.edit(
        "Reassignment",
        NAMESPACE,
        "demo-1",
        lambda b: b["metadata"].update(ownerReferences=owner),
    )
    world.forget_writes()
    await world.one_pass()
    assert not [w for w in world.writes() if "Reassignment" in w or "reassign" in w]


async def test_volumes_kept_earlier_are_not_deleted_later() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.settle()
    world.edit(lambda spec: spec.update(storage={"whenScaledDown": "Delete"}))
    await world.settle()
    assert "data-demo-broker-3" in claims(world)


def retention(world: World) -> str:
    (body,) = world.kube.all("StatefulSet")
    return str(body["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"])


async def test_somebody_elses_object_is_not_taken_over() -> None:
    world = World(3)
    theirs = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 1}]}}
    world.kube.put(theirs | {"metadata": {"name": "demo-broker", "namespace": NAMESPACE}})
    await world.settle()
    found = world.kube.find("Service", NAMESPACE, "demo-broker")
    assert found is not None
    assert found["spec"] == theirs["spec"]
    assert world.condition("Stalled") == ("True", "NameTaken")
    assert "Service demo-broker" in world.message("Stalled")
    world.kube.remove("Service", NAMESPACE, "demo-broker")
    await world.settle()
    assert world.condition("Stalled") is None


async def test_a_child_that_is_refused_keeps_no_move_from_its_end() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    apply = world.kube.apply

    async def picky(body: KubeObject) -> KubeObject:
        if body["kind"] == "StatefulSet" and "bad" in str(body["spec"]["template"]):
            raise RejectedError("nodeSelector: Invalid value")
        return await apply(body)

    world.kube.apply = picky  # type: ignore[method-assign]
    world.edit(lambda spec: spec.update(pod={"nodeSelector": {"x": "bad"}}))
    await world.settle()
    assert world.load()[3] == 0
    assert world.reassignments()[-1].succeeded
    assert not world.throttled()
    assert world.condition("Stalled") == ("True", "Rejected")
    world.edit(lambda spec: spec.update(pod={}))
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_pod_that_is_never_made_is_said_to_be_so() -> None:
    world = await filled_world(3)
    world.refused.add(3)
    world.scale(4)
    for _ in range(4):
        await world.one_pass()
    assert world.condition("Stalled") is None
    world.clock.seconds += 20
    await world.settle()
    assert world.condition("Stalled") == ("True", "BrokersNotReady")
    assert "has not made pod demo-broker-3" in world.message("Stalled")
    told: dict[str | None, float] = {}
    while len(told) < 5:
        told.setdefault(awaited(world), world.clock.seconds)
        world.clock.seconds += 1
        await world.one_pass()
    assert list(told) == [f"3, try {number}" for number in range(1, 6)]
    times = list(told.values())
    waits = [later - earlier for earlier, later in pairwise(times)][1:]
    assert waits == [pytest.approx(40, abs=5), pytest.approx(80, abs=5), pytest.approx(160, abs=5)]
    world.refused.clear()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert awaited(world) is None


@pytest.mark.parametrize("apart", [0, 10, 130])
async def test_two_processes_do_not_write_against_each_other_about_a_pod(apart: int) -> None:
    world = await filled_world(3)
    world.refused.add(3)
    world.scale(4)
    memories = [world.memory, Memory()]
    for step in range(300):
        world.clock.seconds += 1
        for memory in memories[: 1 if step < apart else 2]:
            await world.reconciler.run(NAMESPACE, NAME, memory)
    writes = [call for call in world.kube.writes if call.kind == "StatefulSet"]
    assert len(writes) <= 7, "the first two, and tries after 20, 40, 80 and 160 s"
    assert awaited(world) == "3, try 4"


async def test_a_pod_that_is_not_wanted_any_more_is_not_awaited() -> None:
    world = await filled_world(3)
    world.refused.add(3)
    world.scale(4)
    await world.settle()
    world.clock.seconds += 20
    await world.settle()
    assert awaited(world)
    world.scale(3)
    await world.settle()
    assert awaited(world) is None
    world.forget_writes()
    world.clock.seconds += 60
    await world.settle()
    assert not [call for call in world.kube.writes if call.kind == "StatefulSet"]


def awaited(world: World) -> str | None:
    """Return the pods that the StatefulSet is said to owe."""
    (stateful_set,) = world.kube.all("StatefulSet")
    note: str | None = stateful_set["metadata"]["annotations"].get(naming.AWAITED_ANNOTATION)
    return note


async def test_history_keeps_the_newest() -> None:
    world = await filled_world(3, reassignment={"history": 2})
    for replicas in (4, 3, 4, 3):
        world.scale(replicas)
        await world.settle()
    assert [r.name for r in world.reassignments()] == ["demo-3", "demo-4"]
    maps = [b["metadata"]["name"] for b in world.kube.all("ConfigMap")]
    assert not [name for name in maps if name.startswith(("demo-1-", "demo-2-"))]


async def test_a_pod_that_only_looks_like_a_broker_is_ignored() -> None:
    world = await filled_world(3)
    world.kube.put(pod_body("demo-broker-0-debug"))
    result = await world.reconciler.run(NAMESPACE, NAME, world.memory)
    assert result.delay is None
    assert result.status["readyReplicas"] == 3


# Racks


async def test_each_rack_has_its_stateful_set_and_its_hundred_ids() -> None:
    world = await filled_world(3, racks=RACKS)
    assert world.sizes() == {"demo-broker-a": 1, "demo-broker-b": 1, "demo-broker-c": 1}
    assert {b: r.rack for b, r in world.kafka.brokers.items()} == {0: "a", 100: "b", 200: "c"}
    world.assert_at_rest(0, 100, 200)


async def test_racks_scale_out_and_in() -> None:
    world = await filled_world(3, racks=RACKS)
    world.scale(6)
    await world.settle()
    world.assert_at_rest(0, 1, 100, 101, 200, 201)
    world.scale(4)
    await world.settle()
    world.assert_at_rest(0, 1, 100, 200)
    assert sorted(world.removed) == [101, 201]


async def test_a_rack_taken_out_of_the_spec_is_drained() -> None:
    world = await filled_world(3, racks=RACKS)
    world.edit(lambda spec: spec.update(racks=RACKS[:2]))
    await world.settle()
    assert world.removed == [200]
    assert world.sizes() == {"demo-broker-a": 2, "demo-broker-b": 1, "demo-broker-c": 0}
    assert world.load() == {0: 6, 1: 6, 100: 12}  # one replica of each in either rack
    assert world.status["balancedBrokers"] == [0, 1, 100]


async def test_a_rack_added_to_the_spec_gets_the_next_ids() -> None:
    world = await filled_world(4, racks=RACKS[:2])
    world.edit(lambda spec: spec.update(racks=RACKS))
    await world.settle()
    world.assert_at_rest(0, 1, 100, 200)
    assert world.removed == [101]


# The end


async def moving_world() -> World:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    assert world.throttled()
    world.kube.edit(
        "BrokerCluster", NAMESPACE, NAME, lambda b: b["metadata"].update(finalizers=["kopf"])
    )
    world.kube.remove("BrokerCluster", NAMESPACE, NAME)
    return world


class Died(BaseException):
    """The process has ended at a call."""


async def clean_up(world: World) -> None:
    await world.reconciler.finalize(NAMESPACE, NAME)
    await world.reconciler.release(NAMESPACE, NAME)


async def test_a_pass_over_a_deleted_cluster_does_nothing() -> None:
    world = await moving_world()
    world.forget_writes()
    result = await world.one_pass()
    assert result.delay is None
    assert world.kube.writes == []
    world.kube.edit("BrokerCluster", NAMESPACE, NAME, lambda b: b["metadata"].update(finalizers=[]))
    assert (await world.reconciler.run(NAMESPACE, NAME, world.memory)).status == {}


async def test_a_deleted_cluster_leaves_no_throttle_and_nothing_that_holds_it() -> None:
    world = await moving_world()
    await world.reconciler.finalize(NAMESPACE, NAME)
    assert not world.throttled()
    await world.reconciler.release(NAMESPACE, NAME)
    assert all(SWEEP_FINALIZER not in r.finalizers for r in world.reassignments())
    assert world.clients.released == [(CONNECT, NAMESPACE)]
    assert not [call for call in world.kube.writes if call.kind == "PersistentVolumeClaim"]


@pytest.mark.parametrize("verb", ["apply_status", "set_finalizers"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_cleaning_up_that_was_cut_off_is_ended_by_the_next_process(
    verb: str, when: str
) -> None:
    world = await moving_world()
    watch = world.kube.after

    def die(call: Call) -> None:
        if (call.verb, call.kind) == (verb, "Reassignment"):
            raise Died

    setattr(world.kube, when, die)
    with pytest.raises(Died):
        await clean_up(world)
    world.kube.before, world.kube.after = lambda _: None, watch
    world.restart_operator()
    await clean_up(world)
    assert not world.throttled()
    assert all(not r.finalizers for r in world.reassignments())
    assert "ThrottleLeft" not in world.recorder.reasons()


@pytest.mark.parametrize("fallen", ["ZooKeeper", "Kafka"])
async def test_a_sweep_that_cannot_be_proved_is_not_called_one(fallen: str) -> None:
    world = await moving_world()
    if fallen == "ZooKeeper":
        world.kafka.ensemble_down = True
        await world.reconciler.finalize(NAMESPACE, NAME)
        assert not world.throttled()
        return
    world.kafka.silent = set(world.kafka.brokers)
    with pytest.raises(TransientError):
        await world.reconciler.finalize(NAMESPACE, NAME)
    assert [r.throttle is None for r in world.reassignments()] == [False]
    await world.reconciler.release(NAMESPACE, NAME)
    assert world.recorder.told[-1].reason == "ThrottleLeft"
    assert "rate of broker 0, 1, 2, 3 and {leader" in world.recorder.told[-1].message
    assert all(not r.finalizers for r in world.reassignments())


@pytest.mark.parametrize("why", ["migration", "another cluster"])
async def test_a_deleted_cluster_that_must_not_be_touched_is_left_and_told(why: str) -> None:
    world = await moving_world()
    if why == "migration":
        world.kafka.migrating = True
    else:
        world.kafka.cluster_id = "another"
    await world.reconciler.finalize(NAMESPACE, NAME)
    await world.reconciler.release(NAMESPACE, NAME)
    assert world.throttled()
    assert world.recorder.told[-1].reason == "ThrottleLeft"
    assert "rate of broker 0, 1, 2, 3 and {leader" in world.recorder.told[-1].message
    assert all(not r.finalizers for r in world.reassignments())


async def test_a_cluster_that_is_paused_and_then_deleted_is_swept() -> None:
    """To delete is what its user decided last."""
    world = await moving_world()
    world.edit(lambda spec: spec.update(paused=True))
    await world.reconciler.finalize(NAMESPACE, NAME)
    assert not world.throttled()


async def test_finalize_is_quiet_about_a_cluster_that_is_gone_or_makes_no_sense() -> None:
    world = World(3)
    await world.reconciler.finalize(NAMESPACE, "nobody")
    await world.reconciler.release(NAMESPACE, "nobody")
    world.edit(lambda spec: spec.update(version="4.0.0"))
    await world.reconciler.finalize(NAMESPACE, NAME)
    assert world.writes() == []


async def test_a_cluster_made_again_under_its_name_serves_its_old_data() -> None:
    world = await filled_world(4)
    data = world.assignment()
    body = world.body
    world.kube.remove("BrokerCluster", NAMESPACE, NAME)
    world._sizes.clear()
    world.kubelet()
    assert not world.kafka.brokers
    world.restart_operator()
    fresh: dict[str, Any] = {k: body[k] for k in ("apiVersion", "kind", "spec")}
    world.kube.put(fresh | {"metadata": {"name": NAME, "namespace": NAMESPACE}})
    world.scale(3)  # fewer than before: what holds data comes back first, and is drained
    await world.settle()
    assert world.assignment().keys() == data.keys()
    assert world.removed == [3]
    world.assert_at_rest(0, 1, 2)
    assert world.status["clusterId"] == "fake-cluster"
