"""What may not be done is not done, is said, and ends when its reason does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.core.model import FOLLOWER_RATE, LEADER_RATE, RegisteredBroker, TopicPartition
from tests.unit.reconcile.world import (
    CONNECT,
    NAMESPACE,
    World,
    claim_body,
    cluster_body,
    filled_world,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker_operator.core.model import KubeObject


async def test_a_replication_factor_above_the_remaining_brokers_is_refused() -> None:
    world = await filled_world(3)
    world.kafka.create_topic("wide", {0: (0, 1, 2)}, size=10)
    before = world.assignment()
    world.scale(2)
    await world.settle()
    assert world.condition("Stalled") == ("True", "ReplicationFactorTooHigh")
    assert "topic wide has replication factor 3" in world.message("Stalled")
    assert world.assignment() == before
    assert world.sizes() == {"demo-broker": 3}
    assert world.condition("Available") == ("True", "AllPartitionsLed")
    assert world.recorder.reasons().count("ReplicationFactorTooHigh") == 1
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") is None
    assert not world.removed
    assert world.assignment() == before


async def test_a_drain_under_way_that_becomes_impossible_is_refused_and_resumes() -> None:
    world = await filled_world(4)
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    world.kafka.create_topic("wide", {0: (0, 1, 2, 3)}, size=10)
    world.kafka.complete_after = 1
    await world.settle()
    assert world.condition("Stalled") == ("True", "ReplicationFactorTooHigh")
    assert not world.throttled()
    assert not world.removed
    world.kafka.delete_topic("wide")
    await world.settle()
    assert world.removed == [3]
    world.assert_at_rest(0, 1, 2)


async def test_a_partition_without_a_live_replica_is_refused_until_it_has_one() -> None:
    world = await filled_world(4)
    world.kafka.create_topic("single", {0: (3,)}, size=10)
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NoLiveReplica")
    assert "single-0" in world.message("Stalled")
    assert world.condition("Available") == ("False", "OfflinePartitions")
    assert not world.removed
    del world.broken[3]
    await world.settle()
    assert world.removed == [3]
    world.assert_at_rest(0, 1, 2)


async def test_an_offline_partition_that_must_move_is_refused() -> None:
    world = await filled_world(4)
    (topic, number), part = next(it for it in world.partitions() if 3 in it[1].state.replicas)
    part.leader, part.isr = None, [3]
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "OfflinePartitions")
    assert world.message("Stalled") == (
        f"1 partitions that must move have no leader ({topic}-{number}); bring back broker 3, "
        "which is in their ISR, or delete their topics"
    )
    assert not world.removed
    part.leader, part.isr = part.state.replicas[0], [*part.state.replicas]
    await world.settle()
    assert world.removed == [3]


async def test_a_foreign_reassignment_is_waited_for_and_named() -> None:
    world = await filled_world(4)
    world.kafka.complete_after = None
    world.kafka.ask_for({"orders": {0: (2, 3)}})
    request, moved = world.kafka.request, list(world.kafka.moved)
    world.scale(3)
    await world.settle()
    assert world.kafka.request == request
    assert world.kafka.moved == moved
    assert world.condition("Reconciling") == ("True", "ForeignReassignment")
    assert world.message("Reconciling") == (
        "1 partitions are moved by another tool (orders-0); waiting for it to end. Only who "
        "started it should call it off: kafka-reassign-partitions --cancel with the JSON that "
        "it was given"
    )
    assert world.condition("Stalled") is None
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_foreign_reassignment_begun_in_mid_move_is_named_and_left_alone() -> None:
    world = await filled_world(4, reassignment={"maxMovesPerBroker": 1})
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    ours = world.in_flight()
    world.kafka.complete(*(TopicPartition(*tp) for tp in ours))
    theirs = next(tp for tp, r in world.assignment().items() if r == (0, 1))
    world.kafka.move({theirs[0]: {theirs[1]: (0, 2)}})
    moved = list(world.kafka.moved)
    await world.settle()
    assert world.kafka.moved == moved
    blocked = world.status["reassignment"]["blockedBy"]
    assert any(f"{theirs[0]}-{theirs[1]}" in sentence for sentence in blocked)
    assert world.reassignments()[-1].status["blockedBy"] == blocked
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]


async def test_a_request_that_nobody_can_read_blocks_moves_and_removals() -> None:
    world = await filled_world(4)
    world.kafka.request = "not JSON"
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "StuckReassignment")
    assert not world.removed
    assert not world.kafka.moved
    world.kafka.request = None
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_foreign_throttles_stay_and_are_reported() -> None:
    world = await filled_world(3)
    theirs = {LEADER_RATE: "77", FOLLOWER_RATE: "77"}
    lists = {"leader.replication.throttled.replicas": "*"}
    world.kafka.broker_configs[1] = dict(theirs)
    world.kafka.topic_configs["orders"] = dict(lists)
    world.scale(4)
    await world.settle()
    left = {b: c for b, c in world.kafka.broker_configs.items() if c}
    assert left == {1: theirs}
    assert {t: c for t, c in world.kafka.topic_configs.items() if c} == {"orders": lists}
    told = [t for t in world.recorder.told if t.reason == "ForeignThrottle"]
    assert len(told) == 1
    assert told[0].warning
    assert "broker 1, orders" in told[0].message


async def test_a_throttle_that_somebody_changes_in_mid_move_stays_and_is_reported() -> None:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.kafka.broker_configs[2][LEADER_RATE] = "77"
    world.kafka.complete_after = 1
    await world.settle()
    left = {b: c for b, c in world.kafka.broker_configs.items() if c}
    assert left == {2: {LEADER_RATE: "77"}}, "theirs, and not our half of it"
    assert "broker 2" in next(
        t.message for t in world.recorder.told if t.reason == "ForeignThrottle"
    )


def wrong_cluster(world: World) -> None:
    world.kafka.cluster_id = "another"


def lost_cluster(world: World) -> None:
    world.kafka.cluster_id = None


def migration(world: World) -> None:
    world.kafka.migrating = True


def older_rival(world: World) -> None:
    put_older(world, cluster_body(3), NAMESPACE)


def older_rival_elsewhere(world: World) -> None:
    """Another spelling of the connect string: told by the cluster id."""
    rival = cluster_body(3, zookeeper={"connect": "10.0.0.1:2181/demo"})
    put_older(world, rival | {"status": {"clusterId": "fake-cluster"}}, "elsewhere")


def put_older(world: World, rival: KubeObject, namespace: str) -> None:
    rival["metadata"] = {"name": "older", "namespace": namespace}
    world.clock.seconds -= 500
    world.kube.put(rival)
    world.clock.seconds += 500


def foreign_broker(world: World) -> None:
    world.kafka.start_broker(7)
    world.kafka.brokers[7] = RegisteredBroker(7, None, ("kafka-7.other",))


def pause(world: World) -> None:
    world.edit(lambda spec: spec.update(paused=True))


GUARDS: dict[str, tuple[Callable[[World], None], str, str]] = {
    "wrong cluster": (
        wrong_cluster,
        "WrongCluster",
        (
            "/cluster/id in ZooKeeper is another, but status.clusterId is fake-cluster: "
            f"spec.zookeeper.connect '{CONNECT}' leads to another cluster, or ZooKeeper has lost "
            "its data. Nothing is touched until it shows fake-cluster again: lead the name back, or"
        ),
    ),
    "lost cluster": (lost_cluster, "WrongCluster", "/cluster/id in ZooKeeper does not exist, but"),
    "migration": (migration, "MigrationInProgress", "finish or roll back the migration first"),
    "rival": (
        older_rival,
        "EnsembleInUse",
        (
            f"spec.zookeeper.connect '{CONNECT}' belongs to BrokerCluster team/older, which is "
            "older; delete this BrokerCluster and make it with another chroot"
        ),
    ),
    "rival under another name": (older_rival_elsewhere, "EnsembleInUse", "elsewhere/older, which"),
    "foreign broker": (
        foreign_broker,
        "EnsembleInUse",
        (
            "1 brokers that are not this BrokerCluster's are registered in spec.zookeeper.connect "
            f"'{CONNECT}': broker 7 at kafka-7.other; stop them, or delete this BrokerCluster and"
        ),
    ),
    "paused": (pause, "Paused", ""),
}


@pytest.mark.parametrize("guard", GUARDS)
async def test_while_a_guard_objects_nothing_but_the_status_is_written(guard: str) -> None:
    world = await filled_world(4)
    spoil, reason, words = GUARDS[guard]
    spoil(world)
    world.scale(3)
    world.kube.remove("Service", NAMESPACE, "demo-broker")
    world.forget_writes()
    await world.settle()
    assert world.writes() == []
    assert world.status["observedGeneration"] == world.body["metadata"]["generation"]
    if reason == "Paused":
        assert world.condition("Paused") == ("True", "Paused")
        assert world.condition("Stalled") is None
    else:
        assert world.condition("Stalled") == ("True", reason)
        assert words in world.message("Stalled")
        assert world.recorder.reasons().count(reason) == 1


async def test_what_was_paused_goes_on() -> None:
    world = await filled_world(4)
    pause(world)
    world.scale(3)
    await world.settle()
    world.edit(lambda spec: spec.update(paused=False))
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.condition("Paused") == ("False", "NotPaused")


@pytest.mark.parametrize("guard", ["foreign broker", "rival", "migration"])
async def test_a_new_cluster_in_an_occupied_place_makes_nothing(guard: str) -> None:
    world = World(3)
    GUARDS[guard][0](world)
    await world.settle()
    assert world.writes() == []
    assert world.condition("Stalled") == ("True", GUARDS[guard][1])
    assert "clusterId" not in world.status


async def test_a_new_cluster_waits_for_zookeeper() -> None:
    world = World(3)
    world.kafka.ensemble_down = True
    await world.settle()
    assert world.writes() == []
    assert world.condition("Stalled") == ("True", "ZooKeeperUnreachable")
    assert CONNECT in world.message("Stalled")
    world.kafka.ensemble_down = False
    await world.settle()
    assert world.condition("Stalled") is None
    assert sorted(world.kafka.brokers) == [0, 1, 2]


async def test_brokers_stay_ready_while_zookeeper_cannot_be_asked() -> None:
    """Kafka serves without it for a while, and the pods say that they do."""
    world = await filled_world(3)
    world.kafka.ensemble_down = True
    await world.settle()
    assert world.status["readyReplicas"] == 3
    assert world.condition("BrokersReady") == ("True", "AllReady")
    assert world.condition("Available") == ("Unknown", "ZooKeeperUnreachable")
    assert world.condition("Reconciling") == ("True", "ZooKeeperUnreachable")
    assert {row["state"] for row in world.status["brokers"]} == {"Unknown"}
    world.kafka.ensemble_down = False
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_empty_brokers_are_not_brought_to_data() -> None:
    """Kafka would elect them: their ids are those that its metadata has in sync."""
    world = World(3)
    world.kafka.create_topic("orders", {0: (0, 1, 2)}, size=10)
    await world.settle()
    assert world.writes() == []
    assert world.condition("Stalled") == ("True", "EnsembleInUse")
    assert "no volume" in world.message("Stalled")
    for broker in range(3):
        world.kube.put(claim_body(f"data-demo-broker-{broker}"))
    await world.settle()
    assert sorted(world.kafka.brokers) == [0, 1, 2]
    assert world.condition("Stalled") is None


async def test_a_foreign_move_to_a_broker_that_never_was_makes_none() -> None:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.kafka.ask_for({"orders": {0: (57, 0)}})
    for _ in range(5):
        await world.one_pass()
    assert world.sizes() == {"demo-broker": 3}
    assert world.condition("Reconciling") == ("True", "ForeignReassignment")


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_logs_that_no_metadata_names_hold_a_broker_for_a_while(policy: str) -> None:
    """It was down when the controller told it to delete them, and nobody tells it again."""
    world = await filled_world(4, storage={"whenScaledDown": policy})
    world.kafka.strays[3] = {"orders": {0: 1000}}
    world.scale(3)
    await world.until(lambda: not world.load()[3])
    for _ in range(10):
        await world.one_pass()
    assert world.condition("Reconciling") == ("True", "BrokersNotEmpty")
    assert "still has 1 partitions on disk" in world.message("Reconciling")
    world.clock.seconds += 60
    await world.settle()
    if policy == "Retain":
        assert world.removed == [3]
        return
    assert world.removed == []
    assert world.condition("Stalled") == ("True", "BrokersNotEmpty")
    assert "Retain" in world.message("Stalled")
    world.kafka.strays.clear()
    await world.settle()
    assert world.removed == [3]


async def test_a_volume_that_nobody_has_looked_into_is_not_deleted() -> None:
    world = await filled_world(4, storage={"whenScaledDown": "Delete"})
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    world.scale(3)
    await world.settle()
    assert world.removed == []
    assert world.condition("Stalled") == ("True", "BrokersNotEmpty")
    assert "broker 3 is down" in world.message("Stalled")
    world.edit(lambda spec: spec["storage"].update(whenScaledDown="Retain"))
    await world.settle()
    assert world.removed == [3]
    assert world.kube.find("PersistentVolumeClaim", NAMESPACE, "data-demo-broker-3") is not None


async def test_a_drain_that_the_other_disks_cannot_take_is_refused() -> None:
    world = await filled_world(4)
    before = world.assignment()
    world.kafka.total = dict.fromkeys(range(3), 20_000)
    world.kafka.usable = {0: 3_500, 1: 10_000, 2: 10_000}
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    assert "broker 0 would be " in world.message("Stalled")
    assert "(holds 16.1 KiB, 10.3 KiB of that not its own logs, receives " in (
        world.message("Stalled")
    )
    assert "the limit is 85 %: add brokers, enlarge" in world.message("Stalled")
    assert world.assignment() == before
    world.kafka.usable[0] = 20_000
    await world.settle()
    world.assert_at_rest(0, 1, 2)


def no_ensemble(world: World) -> None:
    world.kafka.ensemble_down = True


def no_kafka(world: World) -> None:
    world.kafka.silent = set(world.kafka.brokers)


def no_log_dirs(world: World) -> None:
    world.kafka.silent = {3}


OUTAGES: dict[str, Callable[[World], None]] = {
    "ZooKeeper": no_ensemble,
    "Kafka": no_kafka,
    "the leaving broker": no_log_dirs,
}


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("moment", ["before", "in mid-move", "when empty"])
async def test_what_is_unknown_is_never_taken_for_empty(outage: str, moment: str) -> None:
    world = await filled_world(4)
    world.kafka.complete_after = None if moment == "in mid-move" else 1
    if moment != "before":
        world.scale(3)
        reached = (lambda: not world.load()[3]) if moment == "when empty" else world.in_flight
        await world.until(lambda: bool(reached()))
    OUTAGES[outage](world)
    world.scale(3)
    world.kafka.complete_after = 1
    world.forget_writes()
    await world.settle()
    assert not world.removed
    if outage != "the leaving broker":
        # What was proved empty is no longer marked so: nobody may rely on it.
        allowed = ["apply StatefulSet"] if moment == "when empty" else []
        assert [w for w in world.writes() if "Reassignment" not in w] == allowed
        available = world.condition("Available")
        assert available is not None
        assert available[0] == "Unknown"
    world.kafka.ensemble_down = False
    world.kafka.silent.clear()
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.removed == [3]


async def test_a_second_look_right_before_the_removal_may_still_stop_it() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.until(lambda: world.condition("Reconciling") == ("True", "ProvingEmpty"))
    world.clock.seconds += 10
    reads = 0
    coordination = world.kafka.coordination

    class Surprising:
        async def read(self) -> Any:
            nonlocal reads
            reads += 1
            if reads == 2:
                world.kafka.create_topic("late", {0: (3, 0)}, size=10)
            return await coordination.read()

    world.kafka.coordination = Surprising()  # type: ignore[assignment] # reads only
    await world.one_pass()
    assert reads == 2
    assert not world.removed
    world.kafka.coordination = coordination
    await world.settle()
    assert world.removed == [3]
    world.kafka.delete_topic("late")


async def test_proofs_of_emptiness_are_apart_by_the_time_that_was_asked_for() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.until(lambda: bool(world.memory.proofs))
    first = world.memory.proofs[3]
    await world.until(lambda: bool(world.removed))
    assert world.clock.seconds - first >= world.reconciler.settings.proof_seconds


async def test_a_proof_is_void_once_the_broker_held_something_again() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.until(lambda: bool(world.memory.proofs))
    first = world.memory.proofs[3]
    world.kafka.create_topic("late", {0: (3, 0)}, size=10)
    await world.until(lambda: bool(world.in_flight()))
    await world.until(lambda: not world.load()[3] and 3 in world.memory.proofs)
    await world.until(lambda: world.condition("Reconciling") == ("True", "ProvingEmpty"))
    assert world.memory.proofs[3] > first


async def test_a_proof_is_void_after_a_time_in_which_nobody_looked() -> None:
    """The broker may have held something in between."""
    world = await filled_world(4)
    world.scale(3)
    await world.until(lambda: world.condition("Reconciling") == ("True", "ProvingEmpty"))
    world.edit(lambda spec: spec.update(paused=True))
    await world.one_pass()
    world.clock.seconds += 60
    world.edit(lambda spec: spec.update(paused=False))
    await world.one_pass()
    assert world.condition("Reconciling") == ("True", "ProvingEmpty")
    assert not world.removed
    await world.settle()
    assert world.removed == [3]


async def test_logs_that_no_metadata_names_hold_a_broker_anew_if_nobody_has_looked() -> None:
    world = await filled_world(4)
    world.kafka.strays[3] = {"orders": {0: 1000}}
    world.scale(3)
    await world.until(lambda: not world.load()[3] and bool(world.memory.strays))
    world.edit(lambda spec: spec.update(paused=True))
    await world.one_pass()
    world.clock.seconds += 60
    world.edit(lambda spec: spec.update(paused=False))
    for _ in range(10):
        await world.one_pass()
    assert world.condition("Reconciling") == ("True", "BrokersNotEmpty")
    assert not world.removed
    world.clock.seconds += 60
    await world.settle()
    assert world.removed == [3]


@pytest.mark.parametrize("refusal", ["refused", "raced"])
async def test_a_batch_that_the_controller_cannot_take_is_tried_again(refusal: str) -> None:
    """A broker may go, or a topic, between the look at the world and the batch."""
    world = await filled_world(3, reassignment={"via": "AdminApi"} if refusal == "refused" else {})
    world.scale(4)
    await world.until(lambda: any(r.throttle is not None for r in world.reassignments()))
    admin = world.kafka.admin
    taken: list[Any] = []
    set_throttle = admin.set_throttle

    async def steal(throttle: Any) -> None:
        await set_throttle(throttle)
        if not taken:
            taken.append(world.kafka.topics.pop("orders"))

    admin.set_throttle = steal  # type: ignore[method-assign]
    world.memory.throttled = None
    await world.one_pass()
    assert taken
    world.kafka.topics["orders"] = taken[0]
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_spec_that_cannot_be_served_is_refused_once_and_leaves_the_rest() -> None:
    world = await filled_world(3)
    world.forget_writes()
    served = world.status
    world.edit(lambda spec: spec.update(version="4.0.0", replicas=0))
    await world.settle()
    assert world.writes() == []
    assert world.condition("Stalled") == ("True", "InvalidSpec")
    assert "spec.version" in world.message("Stalled")
    assert "spec.replicas" in world.message("Stalled")
    assert world.status["brokers"] == served["brokers"]
    assert world.recorder.reasons().count("InvalidSpec") == 1
    world.edit(lambda spec: spec.update(version="3.9.2", replicas=3))
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_what_flies_under_a_lost_plan_may_be_ours() -> None:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    for body in world.kube.all("ConfigMap"):
        if "-plan-" in body["metadata"]["name"]:
            world.kube.remove("ConfigMap", NAMESPACE, body["metadata"]["name"])
    for _ in range(2):
        await world.one_pass()
    assert "by another tool, or under the plan of demo-1, which is lost (" in world.message(
        "Reconciling"
    )
