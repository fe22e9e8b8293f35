"""What dies in the middle of a move comes back to a move that goes on."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.brokers import MOVE_SECONDS, READY_SECONDS, USUAL, Brokers, finished
from tests.e2e.environment import DEPLOYMENT, OPERATOR_NAMESPACE, eventually
from tests.e2e.test_scaling import (
    assert_fewest_moves,
    newest_number,
    scale_and_finish,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.e2e.environment import Environment
    from tests.traffic.pods import Traffic

pytestmark = pytest.mark.e2e

MOMENTS = ("before-create", "after-create", "mid-move", "before-sweep", "before-removal")
FAULTS = Path(__file__).parent / "faults" / "operator_that_dies.py"
OUTAGE_SECONDS = 30.0
"""No longer may it be that nothing is acknowledged: a session of 9 s, elections, a busy machine."""
POWER_LOSS_SECONDS = 60.0
"""The same where nobody hangs up: brokers that wait for a dead controller's answer give up after
Kafka's request timeout of 30 s, and only then can shrink their ISRs."""
SLOW = {"throttle": "1Mi", "maxMovesPerBroker": 3}


@pytest.fixture
def mortal(brokers: Brokers) -> Iterator[Brokers]:
    """The shared cluster, served by an operator that is killed at each of MOMENTS."""
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "faults", "namespace": OPERATOR_NAMESPACE},
        "data": {FAULTS.name: FAULTS.read_text()},
    }
    brokers.env.apply(config_map)
    brokers.env.install(
        "command={python3}",
        f"args={{/faults/{FAULTS.name}}}",
        "extraEnv[0].name=MOMENTS",
        f"extraEnv[0].value={' '.join(MOMENTS)}",
        "extraVolumes[0].name=faults",
        "extraVolumes[0].configMap.name=faults",
        "extraVolumes[1].name=state",
        "extraVolumes[1].emptyDir.sizeLimit=1Mi",
        "extraVolumeMounts[0].name=faults",
        "extraVolumeMounts[0].mountPath=/faults",
        "extraVolumeMounts[1].name=state",
        "extraVolumeMounts[1].mountPath=/faults-state",
    )
    yield brokers
    brokers.env.install()


def test_operator_killed_at_any_moment_finishes(mortal: Brokers, traffic: Traffic) -> None:
    traffic.start()
    out = scale_and_finish(mortal, 4, "ScaleUp")
    back = scale_and_finish(mortal, 3, "ScaleDown")
    outcome, verdict = traffic.stop(), traffic.verify()
    log = mortal.env.operator_log(lines=-1)
    for moment in MOMENTS:
        assert f"DYING {moment}" in log
    assert log.count("ENDED by signal 9") == len(MOMENTS)
    # No move was made twice: what was planned is what was needed, and each of it was sent once.
    assert_fewest_moves(out)
    assert_fewest_moves(back)
    submitted = sum(int(n) for n in re.findall(r"SUBMITTED (\d+) partitions", log))
    assert submitted == sum(touched(mortal, reassignment) for reassignment in (out, back))
    assert mortal.throttles() == ""
    assert outcome.faults(verdict) == []


def touched(brokers: Brokers, reassignment: dict[str, Any]) -> int:
    """Return how many partitions have another replica list in the plan's target."""
    lists: dict[str, dict[tuple[str, int], list[int]]] = {"origin": {}, "target": {}, "first": {}}
    for config_map in reassignment["status"]["plan"]["configMaps"]:
        data = brokers.env.get("configmap", config_map, "-n", brokers.namespace)["binaryData"]
        for key, value in data.items():
            plan = json.loads(gzip.decompress(base64.b64decode(value)))
            known = lists[key.partition(".")[0]]
            known |= {(p["topic"], p["partition"]): p["replicas"] for p in plan["partitions"]}
    assert lists["origin"].keys() == lists["target"].keys()
    return sum(lists["origin"][tp] != replicas for tp, replicas in lists["target"].items())


def test_pods_deleted_in_mid_move(brokers: Brokers, traffic: Traffic) -> None:
    """A broker's on the way out; the operator's and ZooKeeper's on the way in."""
    traffic.start()
    scale_and_delete(brokers, 4, f"{brokers.name}-broker-1")
    scale_and_delete(brokers, 3, "operator", "zookeeper-0")
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []
    assert outcome.ack_gap_max_s < OUTAGE_SECONDS


def scale_and_delete(brokers: Brokers, replicas: int, *victims: str) -> None:
    """Scale, slowly until these pods are deleted; return when all has come to its end."""
    brokers.patch({"reassignment": SLOW})
    try:
        before = newest_number(brokers)
        brokers.scale(replicas)
        brokers.moving()
        for victim in victims:
            if victim == "operator":
                where = ("-n", OPERATOR_NAMESPACE, "-l", f"app.kubernetes.io/name={DEPLOYMENT}")
                brokers.env.kubectl("delete", "pod", *where, "--wait=false")
            else:
                force = ("--grace-period=0", "--force")
                brokers.env.kubectl("delete", "pod", victim, "-n", brokers.namespace, *force)
        assert brokers.unfinished(), "in mid-move"
    finally:
        brokers.patch({"reassignment": USUAL})
    brokers.ready(replicas, MOVE_SECONDS)
    assert newest_number(brokers) == before + 1, "the same one went on"


def test_foreign_reassignment_is_waited_for(brokers: Brokers, traffic: Traffic) -> None:
    """Kafka's own tool moves a partition, slowly; meanwhile the cluster is scaled."""
    brokers.topics("--create", "--topic", "foreign", "--replica-assignment", "0:1")
    brokers.produce("foreign", 25000)
    wanted = [{"topic": "foreign", "partition": 0, "replicas": [2, 1]}]
    tool = "/opt/kafka/bin/kafka-reassign-partitions"

    def throttled() -> str:
        """All of it: a broker learns of it a moment after the tool was answered."""
        shown = brokers.throttles()
        rates = [line for line in shown.splitlines() if "rate=10000 " in line]
        return shown if len(rates) == 6 and shown.count("throttled.replicas=0:") == 4 else ""

    try:
        # In force before anything moves: the reassigning tool does not wait for that, and 5 MB may
        # be there first. They are not before that is wanted, though a broker has to start.
        set_throttles(brokers, "foreign", 10_000)
        throttles = eventually("the foreign throttle", throttled, 60)
        brokers.run(
            *("sh", "-c"),
            f"cat >/tmp/foreign.json && {tool} --bootstrap-server {brokers.bootstrap}"
            " --reassignment-json-file /tmp/foreign.json --execute",
            stdin=json.dumps({"version": 1, "partitions": wanted}),
        )
        before = newest_number(brokers)
        brokers.scale(4)

        def named() -> bool:
            condition = brokers.condition("Reconciling")
            return condition.get("reason") == "ForeignReassignment" and (
                "foreign-0" in condition["message"]
            )

        brokers.until("the foreign move to be named in status", named, READY_SECONDS)
        assert newest_number(brokers) == before, "nothing is planned meanwhile"
        assert brokers.throttles() == throttles
        # Now it may end, and that may be within a second.
        set_throttles(brokers, "foreign", 500_000)
        throttles = throttles.replace("rate=10000", "rate=500000")

        def ended() -> bool:
            listed = brokers.run(tool, "--bootstrap-server", brokers.bootstrap, "--list")
            return "No partition reassignments found" in listed

        eventually("the foreign move to end", ended, MOVE_SECONDS, every=2)
        brokers.ready(4, MOVE_SECONDS)
        held = traffic.describe(assignment=True)["assignment"]["foreign"]["0"]
        assert 0 not in held, f"what the other tool moved stays moved: {held}"
        assert brokers.throttles() == throttles, "ours is swept, and theirs stays"
        assert brokers.events("ForeignThrottle", seconds=30)
    finally:
        forget_throttles(brokers, "foreign", range(3))
        brokers.topics("--delete", "--topic", "foreign")
    scale_and_finish(brokers, 3, "ScaleDown")


def set_throttles(brokers: Brokers, topic: str, rate: int) -> None:
    """Throttle a partition 0 that goes from brokers 0 and 1 to 2 and 1, by Kafka's own tool."""
    tool = ("/opt/kafka/bin/kafka-configs", "--bootstrap-server", brokers.bootstrap, "--alter")
    rates = ",".join(f"{side}.replication.throttled.rate={rate}" for side in ("leader", "follower"))
    for broker in ("0", "1", "2"):
        where = ("--entity-type", "brokers", "--entity-name", broker)
        brokers.run(*tool, *where, "--add-config", rates)
    replicas = "replication.throttled.replicas"
    lists = f"leader.{replicas}=[0:0,0:1],follower.{replicas}=0:2"
    where = ("--entity-type", "topics", "--entity-name", topic)
    brokers.run(*tool, *where, "--add-config", lists)


def forget_throttles(brokers: Brokers, topic: str, ids: Iterable[int]) -> None:
    """Take off what Kafka's own tool has set, as its user would."""
    rates = "leader.replication.throttled.rate,follower.replication.throttled.rate"
    lists = "leader.replication.throttled.replicas,follower.replication.throttled.replicas"
    tool = ("/opt/kafka/bin/kafka-configs", "--bootstrap-server", brokers.bootstrap, "--alter")
    for broker in ids:
        where = ("--entity-type", "brokers", "--entity-name", str(broker))
        brokers.run(*tool, *where, "--delete-config", rates)
    where = ("--entity-type", "topics", "--entity-name", topic)
    brokers.run(*tool, *where, "--delete-config", lists)
    # A broker learns of it a moment after the tool was answered.
    eventually("the throttles to go", lambda: not brokers.throttles(), READY_SECONDS)


def test_node_power_loss_drains_nothing(brokers: Brokers, traffic: Traffic) -> None:
    if brokers.env.embedded is None:
        pytest.skip("power can only be cut on the embedded cluster's nodes")
    cluster = brokers.env.embedded
    node, broker = a_node_with_a_broker(brokers)
    loads, before = spread(traffic), newest_number(brokers)
    # All else leaves the node first: this is about the broker.
    brokers.env.kubectl("cordon", node)
    try:
        move_others_off(brokers, node)
        traffic.start()
        cluster.node_down(node)
        try:

            def noticed() -> bool:
                return brokers.condition("BrokersReady").get("status") == "False"

            brokers.until("the loss to be noticed", noticed, READY_SECONDS)

            def served() -> bool:
                return brokers.condition("Available").get("status") == "True"

            brokers.until("every partition to have a new leader", served, 30)
            assert brokers.replicas() == 3
        finally:
            cluster.node_up(node)
    finally:
        brokers.env.kubectl("uncordon", node)
    brokers.ready(3, MOVE_SECONDS)
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []
    assert outcome.ack_gap_max_s < POWER_LOSS_SECONDS
    assert spread(traffic) == loads, f"{broker} holds what it held"
    assert newest_number(brokers) == before


def a_node_with_a_broker(brokers: Brokers) -> tuple[str, str]:
    """Return the name of a node, and of a broker's pod on it."""
    placed = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in placed_pods(brokers.env)}
    broker = f"{brokers.name}-broker-2"
    return placed[broker], broker


def move_others_off(brokers: Brokers, node: str) -> None:
    """Have everything but brokers run on other nodes than this one, which takes no new pods."""
    env = brokers.env
    for pod in placed_pods(env):
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if pod["spec"]["nodeName"] == node and "-broker-" not in name:
            env.kubectl("delete", "pod", name, "-n", namespace, "--timeout=90s")
    rollout = ("rollout", "status", "--timeout=120s")
    env.kubectl(*rollout, f"deploy/{DEPLOYMENT}", "-n", OPERATOR_NAMESPACE)
    env.kubectl(*rollout, "statefulset/zookeeper", "-n", brokers.namespace)
    brokers.ready(3)


def placed_pods(env: Environment) -> list[dict[str, Any]]:
    """Return the pods of all namespaces that have a node."""
    pods: list[dict[str, Any]] = env.get("pods", "-A")["items"]
    return [pod for pod in pods if "nodeName" in pod["spec"]]


def test_every_reassignment_has_ended(brokers: Brokers) -> None:
    assert all(finished(item) for item in brokers.reassignments())
