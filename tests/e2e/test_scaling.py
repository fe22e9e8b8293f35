"""The main job: brokers come and go, and nobody loses a record."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.brokers import MOVE_SECONDS, READY_SECONDS, USUAL, Brokers, finished

if TYPE_CHECKING:
    from tests.e2e.plugin import Plugin
    from tests.traffic.pods import Traffic

pytestmark = pytest.mark.e2e


def number(reassignment: dict[str, Any]) -> int:
    return int(reassignment["metadata"]["name"].rpartition("-")[2])


def newest_number(brokers: Brokers) -> int:
    return max((number(ra) for ra in brokers.reassignments()), default=0)


def scale_and_finish(brokers: Brokers, replicas: int, cause: str) -> dict[str, Any]:
    """Scale, wait for the new Reassignment to end and for all to settle; return it."""
    before = newest_number(brokers)
    brokers.scale(replicas)

    def done() -> dict[str, Any] | None:
        newest = brokers.reassignments()[-1:]
        return newest[0] if newest and number(newest[0]) > before and finished(newest[0]) else None

    found: dict[str, Any] = brokers.until(f"a finished {cause}", done, MOVE_SECONDS)
    brokers.ready(replicas, MOVE_SECONDS)
    assert found["spec"]["cause"] == cause
    assert newest_number(brokers) == before + 1, "one scaling is one Reassignment"
    return found


def assert_fewest_moves(reassignment: dict[str, Any]) -> None:
    plan = reassignment["status"]["plan"]
    assert plan["moves"] == plan["lowerBound"]
    assert plan["replicaSpread"]["after"] <= 1
    assert plan["rackViolations"]["after"] == 0
    assert reassignment["status"]["progress"]["percent"] == 100


def assert_reported(brokers: Brokers, reassignment: dict[str, Any]) -> None:
    """The first ConfigMap of the plan has the report, and it says what the status says."""
    plan = reassignment["status"]["plan"]
    stored = brokers.env.get("configmap", plan["configMaps"][0], "-n", brokers.namespace)
    report = json.loads(stored["data"]["report.json"])
    assert report["hash"] == plan["hash"]
    assert report["replica_spread"] == plan["replicaSpread"]["after"]
    assert report["batches"] == plan["batches"]
    wanted = set(reassignment["spec"]["brokers"])
    assert {b["id"] for b in report["brokers"] if b["replicas_after"]} == wanted


def spread(traffic: Traffic) -> dict[int, int]:
    """Return the replicas on each broker, as the brokers themselves tell it."""
    counted = traffic.describe()["brokers"]
    return {int(broker): row["replicas"] for broker, row in counted.items()}


@pytest.mark.parametrize(("top", "via"), [(4, "ZooKeeper"), (5, "AdminApi")])
def test_scaling_out_and_in_loses_nothing(
    brokers: Brokers, traffic: Traffic, top: int, via: str
) -> None:
    brokers.patch({"reassignment": {"via": via}})
    traffic.start()
    out = scale_and_finish(brokers, top, "ScaleUp")
    assert_fewest_moves(out)
    assert_reported(brokers, out)
    assert brokers.on_broker(top - 1)
    retained = top == 4
    brokers.patch({"storage": {"whenScaledDown": "Retain" if retained else "Delete"}})
    back = scale_and_finish(brokers, 3, "ScaleDown")
    assert_fewest_moves(back)
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []
    assert brokers.throttles() == ""
    left = range(top if retained else 3)

    def volumes() -> bool:
        items = brokers.env.get("pvc", "-n", brokers.namespace)["items"]
        names = {item["metadata"]["name"] for item in items}
        return {n for n in names if "-broker-" in n} == {f"data-shared-broker-{b}" for b in left}

    brokers.until(f"the volumes of {left} to be left", volumes, 60)
    brokers.patch({"storage": {"whenScaledDown": "Retain"}, "reassignment": {"via": "ZooKeeper"}})


def test_drain_that_cannot_end_well_is_refused(brokers: Brokers, traffic: Traffic) -> None:
    before = newest_number(brokers)
    traffic.start()
    brokers.scale(2)
    stalled = brokers.until("a refusal", lambda: brokers.condition("Stalled"), READY_SECONDS)
    assert stalled["reason"] == "ReplicationFactorTooHigh"
    assert "replication factor 3" in stalled["message"]
    assert "only 2 brokers would remain" in stalled["message"]
    assert "keep at least 3 brokers" in stalled["message"]
    assert brokers.events("ReplicationFactorTooHigh", seconds=30)
    assert brokers.replicas() == 3
    loads = spread(traffic)  # by now the consumers have made their own topic
    # All else goes on: clients are served, and the spec is, such as for this label.
    brokers.patch({"pod": {"labels": {"refused": "meanwhile"}}})

    def labelled() -> bool:
        found = brokers.env.get("sts", f"{brokers.name}-broker", "-n", brokers.namespace)
        return "refused" in found["spec"]["template"]["metadata"]["labels"]

    brokers.until("the spec to be served", labelled, 60)
    assert brokers.condition("Stalled")["reason"] == "ReplicationFactorTooHigh"
    brokers.patch({"pod": {"labels": None}})
    brokers.scale(3)
    brokers.ready(3)
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []
    assert spread(traffic) == loads
    assert newest_number(brokers) == before


def test_drain_undone_half_way_keeps_the_broker(
    four: Brokers, traffic: Traffic, plugin: Plugin
) -> None:
    brokers = four
    before = newest_number(brokers)
    brokers.patch({"reassignment": {"throttle": "1Mi", "maxMovesPerBroker": 2}})
    try:
        brokers.scale(3)
        draining = brokers.moving()
        assert number(draining) == before + 1
        why = plugin.says("explain", brokers.name, "--broker", "3")
        assert re.search(r"broker 3 is leaving and holds \d+ replicas .*: it goes once all of", why)
        brokers.scale(4)
        held: list[int] = []

        def sampled() -> bool:
            item = brokers.object()
            if item["status"].get("observedGeneration") == item["metadata"]["generation"]:
                held.append(brokers.on_broker(3) or 0)
            return bool(held)

        def superseded() -> bool:
            sampled()
            items = brokers.reassignments()
            return any(finished(ra) for ra in items if number(ra) == before + 1)

        brokers.until("the drain to be given up", superseded, MOVE_SECONDS)
        # The pass that gives it up writes the cluster's own status last.
        brokers.until("the undo in the status", sampled, READY_SECONDS)
        # What was in flight may land; after that nothing leaves broker 3 any more.
        assert held
        assert min(held) >= held[0] - 2, held
        assert brokers.replicas() == 4
    finally:
        brokers.patch({"reassignment": USUAL})
    brokers.ready(4, MOVE_SECONDS)
    assert brokers.replicas() == 4
    loads = spread(traffic)
    assert max(loads.values()) - min(loads.values()) <= 1


def test_drain_of_what_has_no_live_copy_waits_for_it(four: Brokers, traffic: Traffic) -> None:
    """The only broker that holds a topic is down, and shall leave."""
    brokers = four
    if brokers.env.embedded is None:
        pytest.skip("only on the embedded cluster may every node be closed to new pods")
    before = newest_number(brokers)
    brokers.topics("--create", "--topic", "single", "--replica-assignment", "3,3")
    nodes = [node["metadata"]["name"] for node in brokers.env.get("nodes")["items"]]
    brokers.env.kubectl("cordon", *nodes)
    try:
        pod = f"{brokers.name}-broker-3"
        brokers.env.kubectl("delete", "pod", pod, "-n", brokers.namespace, "--wait=false")

        def down() -> bool:
            return "OfflinePartitions" in brokers.condition("Available").get("reason", "")

        brokers.until("broker 3 to be missed", down, READY_SECONDS)
        brokers.scale(3)

        def refused() -> dict[str, Any] | None:
            stalled = brokers.condition("Stalled")
            return stalled if stalled.get("reason") == "NoLiveReplica" else None

        stalled = brokers.until("a refusal", refused, READY_SECONDS)
        assert "single-0, single-1" in stalled["message"]
        assert "held by broker 3; bring it back" in stalled["message"]
        assert brokers.events("NoLiveReplica", seconds=30)
        assert brokers.replicas() == 4
        assert newest_number(brokers) == before, "nothing is moved that could not be finished"
    finally:
        brokers.env.kubectl("uncordon", *nodes)
    # All else goes on by itself once the copy is back.
    brokers.ready(3, MOVE_SECONDS)
    held = traffic.describe(assignment=True)["assignment"]["single"]
    assert all(3 not in replicas for replicas in held.values()), held
    brokers.topics("--delete", "--topic", "single")


def more_partitions(brokers: Brokers, topic: str, count: int) -> bool:
    """Add partitions, if Kafka lets them be added: not while any of the topic is being moved.

    A move that begins at that very moment makes Kafka 3.9 lose the addition, and the request ends
    after its 30 s: controller (`updateReplicaAssignmentForPartition`) and broker
    (`ZkAdminManager.createPartitions`) both write the whole topic znode, whatever its version.
    """
    try:
        brokers.topics("--alter", "--topic", topic, "--partitions", str(count))
    except AssertionError as error:
        if f"already has {count} partitions" in str(error):
            return True
        if not any(name in str(error) for name in ("ReassignmentInProgress", "TimeoutException")):
            raise
        return False
    return True


def test_topics_made_during_a_drain_end_off_the_broker(four: Brokers, traffic: Traffic) -> None:
    brokers = four
    brokers.patch({"reassignment": {"throttle": "2Mi", "maxMovesPerBroker": 3}})
    try:
        brokers.scale(3)
        brokers.moving()
        brokers.create_topic("late", 8)
        brokers.until("more partitions of it", lambda: more_partitions(brokers, "late", 12), 180)
    finally:
        brokers.patch({"reassignment": USUAL})
    brokers.ready(3, MOVE_SECONDS)
    described = traffic.describe(assignment=True)
    late = described["assignment"]["late"]
    assert len(late) == 12
    assert all(3 not in replicas for replicas in late.values()), json.dumps(late)
    brokers.topics("--delete", "--topic", "late")
