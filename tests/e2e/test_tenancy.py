"""Several clusters under one operator, none in another's way; and the end of a cluster."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from broker_operator.api.reassignment import SWEEP_FINALIZER
from broker_operator.api.spec import API_VERSION
from tests.e2e.brokers import (
    READY_SECONDS,
    SMALL,
    Brokers,
    broker_cluster,
    delete,
    make_zookeeper,
)
from tests.e2e.environment import DEPLOYMENT, OPERATOR_NAMESPACE, PREFIX, eventually
from tests.e2e.test_faults import forget_throttles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.environment import Environment

pytestmark = pytest.mark.e2e

NO_OP_PASSES = 30
ELSEWHERE = f"{PREFIX}-elsewhere"


def test_no_op_passes_write_nothing(brokers: Brokers) -> None:
    env = brokers.env
    env.install("resyncSeconds=1")

    def passes(metrics: dict[str, float]) -> float:
        label = f'name="{brokers.name}"'
        return sum(
            value
            for key, value in metrics.items()
            if key.startswith("broker_operator_reconcile_total{") and label in key
        )

    def writes(metrics: dict[str, float]) -> dict[str, float]:
        return {k: v for k, v in metrics.items() if k.startswith("broker_operator_writes_total")}

    def versions() -> dict[str, str]:
        kinds = "bc,ra,statefulset,service,configmap,serviceaccount,pdb"
        items = env.get(kinds, "-n", brokers.namespace)["items"]
        return {
            f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for item in items
        }

    eventually("the first pass", lambda: passes(env.metrics()) > 2, READY_SECONDS)
    brokers.ready(3)
    first, before = env.metrics(), versions()

    def enough() -> dict[str, float] | None:
        now = env.metrics()
        return now if passes(now) >= passes(first) + NO_OP_PASSES else None

    last = eventually(f"{NO_OP_PASSES} more passes", enough, READY_SECONDS)
    assert writes(last) == writes(first)
    assert versions() == before
    env.install()


def test_clusters_do_not_meet(environment: Environment, shared: Brokers) -> None:
    """One more under another chroot, one more in another namespace, and one that is too many."""
    make_zookeeper(environment, ELSEWHERE)
    small = {"replicas": 1, "config": SMALL | {"min.insync.replicas": "1"}}
    neighbour = Brokers(environment, "neighbour", shared.namespace)
    stranger = Brokers(environment, "stranger", ELSEWHERE)
    thief = Brokers(environment, "thief", ELSEWHERE)
    environment.apply(
        broker_cluster("neighbour", shared.namespace, "zookeeper:2181/neighbour", **small),
        # The same words as the shared cluster's, but another namespace's ZooKeeper.
        broker_cluster("stranger", ELSEWHERE, "zookeeper:2181/shared", **small),
    )
    neighbour.ready(1)
    stranger.ready(1)
    owned = f"zookeeper.{shared.namespace}:2181/shared"
    environment.apply(broker_cluster("thief", ELSEWHERE, owned, **small))
    stalled = thief.until("a refusal", lambda: thief.condition("Stalled"), READY_SECONDS)
    assert stalled["reason"] == "EnsembleInUse"
    assert f"{shared.namespace}/{shared.name}" in stalled["message"]
    assert thief.events("EnsembleInUse", seconds=30)
    names = [item["metadata"]["name"] for item in environment.get("sts", "-n", ELSEWHERE)["items"]]
    assert "thief-broker" not in names
    ids = {b.status()["clusterId"] for b in (shared, neighbour, stranger)}
    assert len(ids) == 3
    shared.ready(3)
    for brokers in (thief, neighbour, stranger):
        delete(brokers)


def test_specs_found_bad_later_are_named_while_others_are_served(
    environment: Environment, shared: Brokers
) -> None:
    """What only the operator can know becomes a condition and an Event; the rest goes on."""
    nowhere = Brokers(environment, "nowhere", shared.namespace)
    imageless = Brokers(environment, "imageless", shared.namespace)
    small = {"replicas": 1, "config": SMALL | {"min.insync.replicas": "1"}}
    environment.apply(
        broker_cluster("nowhere", shared.namespace, "no-such-host:2181/a", **small),
        broker_cluster(
            "imageless", shared.namespace, "zookeeper:2181/b", image="no-such-image:1", **small
        ),
    )
    lost = nowhere.until("a refusal", lambda: nowhere.condition("Stalled"), READY_SECONDS)
    assert lost["reason"] == "ZooKeeperUnreachable"
    assert "no-such-host:2181" in lost["message"]
    assert nowhere.events("ZooKeeperUnreachable", seconds=30)
    unpulled = imageless.until("a refusal", lambda: imageless.condition("Stalled"), READY_SECONDS)
    assert unpulled["reason"] == "BrokersNotReady"
    assert "imageless-broker-0" in unpulled["message"]
    assert "Image" in unpulled["message"]
    assert imageless.events("BrokersNotReady", seconds=30)
    shared.patch({"reassignment": {"history": 6}})

    def served() -> bool:
        item = shared.object()
        return bool(item["status"]["observedGeneration"] == item["metadata"]["generation"])

    shared.until("the healthy cluster to be served", served, 30)
    for brokers in (nowhere, imageless):
        delete(brokers)


def test_one_operator_for_all_of_them_is_small(environment: Environment) -> None:
    """Under 100 MB resident by its own count, after serving everything above."""
    found = environment.metrics()
    assert found["process_resident_memory_bytes"] < 100e6
    assert found["process_open_fds"] < 100


@contextmanager
def no_operator(env: Environment) -> Iterator[None]:
    """Have no operator for a while."""
    where = ("-n", OPERATOR_NAMESPACE, f"deploy/{DEPLOYMENT}")
    label = f"app.kubernetes.io/name={DEPLOYMENT}"

    def gone() -> bool:
        return not env.get("pods", "-n", OPERATOR_NAMESPACE, "-l", label)["items"]

    env.kubectl("scale", *where, "--replicas=0")
    try:
        eventually("the operator to go", gone, READY_SECONDS)
        yield
    finally:
        env.kubectl("scale", *where, "--replicas=1")
        env.kubectl("rollout", "status", *where, "--timeout=120s")


def leave_behind(brokers: Brokers, name: str) -> None:
    """Have a Reassignment whose cluster went without a sweep, as after its finalizer was removed.

    It is deleted, by hand or by the garbage collector, and held by its own finalizer.
    """
    owner = {"apiVersion": API_VERSION, "kind": "BrokerCluster", "name": brokers.name}
    metadata = {
        "name": name,
        "namespace": brokers.namespace,
        "finalizers": [SWEEP_FINALIZER],
        "ownerReferences": [owner | {"uid": str(uuid4()), "controller": True}],
    }
    spec = {"cluster": brokers.name, "evacuate": [2]}
    brokers.env.apply(
        {"apiVersion": API_VERSION, "kind": "Reassignment", "metadata": metadata, "spec": spec}
    )
    record = {"bytesPerSecond": 1024, "brokers": [7], "topics": ["another"]}
    where = ("ra", name, "-n", brokers.namespace)
    patch = json.dumps({"status": {"throttle": record}})
    brokers.env.kubectl("patch", *where, "--subresource=status", "--type=merge", "-p", patch)
    brokers.env.kubectl("delete", *where, "--wait=false")


def delete_unseen(brokers: Brokers, throttles: Callable[[], int]) -> None:
    """Delete a cluster in mid-move while there is no operator; the next one cleans up."""
    env, where = brokers.env, ("-n", brokers.namespace)
    with no_operator(env):
        env.kubectl("delete", f"bc/{brokers.name}", *where, "--wait=false")
        leave_behind(brokers, "left-behind")
        held = {item["metadata"]["name"] for item in env.get("bc,ra", *where)["items"]}
        assert held > {brokers.name, "left-behind"}, "a Reassignment of its own, too"
        assert throttles()

    def all_gone() -> bool:
        return not env.get("bc,ra", *where)["items"]

    eventually("the cluster and its Reassignments to go", all_gone, READY_SECONDS)
    assert throttles() == 0
    told = Brokers(env, "left-behind", brokers.namespace).events("ThrottleLeft", seconds=30)
    assert "rate of broker 7 and" in told[-1]["message"]


def test_deleted_cluster_leaves_its_data_and_comes_back(environment: Environment) -> None:
    """Deleted in mid-move with ZooKeeper gone; made again with the same name; deleted again.

    The second time there is no operator to see it: the next one cleans up.
    """
    namespace = f"{PREFIX}-phoenix"
    make_zookeeper(environment, namespace)
    brokers = Brokers(environment, "phoenix", namespace)
    slow = {"reassignment": {"throttle": "1Mi", "maxMovesPerBroker": 1}}
    # A path of its own for each run on a cluster that is kept: the last one's holds data.
    path = f"phoenix-{time.time():.0f}"
    spec = broker_cluster("phoenix", namespace, f"zookeeper:2181/{path}", **slow)
    environment.apply(spec)
    brokers.ready(3)
    brokers.create_topic("kept", 24)
    brokers.produce("kept", 20000)
    cluster_id = brokers.status()["clusterId"]
    brokers.scale(4)
    brokers.moving()
    environment.kubectl("scale", "-n", namespace, "sts/zookeeper", "--replicas=0")
    progress = brokers.reassignments()[-1]["status"]["progress"]
    assert progress["percent"] < 100, "there must be something left to move"
    started = time.monotonic()
    environment.kubectl("delete", "bc/phoenix", "-n", namespace, "--timeout=60s")
    assert time.monotonic() - started < 60
    label = "app.kubernetes.io/instance=phoenix"

    def gone() -> bool:
        return not environment.get("pods", "-n", namespace, "-l", label)["items"]

    eventually("the pods to go", gone, READY_SECONDS)
    claims = environment.get("pvc", "-n", namespace, "-l", label)["items"]
    assert len(claims) == 4
    left = brokers.events("ThrottleLeft", seconds=READY_SECONDS)
    assert "rate of broker 0, 1, 2, 3 and" in left[-1]["message"]
    environment.kubectl("scale", "-n", namespace, "sts/zookeeper", "--replicas=1")
    spec["spec"]["replicas"] = 4
    environment.apply(spec)
    brokers.ready(4)
    assert brokers.status()["clusterId"] == cluster_id
    assert [row["id"] for row in brokers.status()["brokers"]] == [0, 1, 2, 3]
    assert brokers.count("kept") == 20000
    forget_throttles(brokers, "kept", range(4))
    brokers.produce("kept", 200_000)  # so that one replica takes half a minute
    brokers.patch({"reassignment": {"throttle": "64Ki"}})
    brokers.scale(3)
    shell = ("/opt/kafka/bin/zookeeper-shell", "-server", f"zookeeper:2181/{path}")
    look = "".join(f"get /config/{name}\n" for name in ("brokers/0", "brokers/3", "topics/kept"))

    def throttles() -> int:
        return brokers.run(*shell, stdin=look).count("replication.throttled")

    eventually("the throttle", lambda: throttles() >= 6, READY_SECONDS)
    assert brokers.unfinished(), "in mid-move"
    delete_unseen(brokers, throttles)
    eventually("the pods to go again", gone, READY_SECONDS)
    environment.kubectl("delete", "pvc", "-n", namespace, "-l", label, "--wait=false")
