"""What people and the API server do to a move by mistake, while two operators serve it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import mischief
from tests.e2e.brokers import (
    MOVE_SECONDS,
    READY_SECONDS,
    SLOWEST,
    USUAL,
    Brokers,
    broker_cluster,
    finished,
)
from tests.e2e.environment import DEPLOYMENT, OPERATOR_NAMESPACE
from tests.e2e.test_scaling import number

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tests.e2e.environment import Environment
    from tests.traffic.pods import Traffic

pytestmark = pytest.mark.e2e

FROZEN_SECONDS = 60.0
PATIENCE = 60
"""Failed probes in a row, at one in ten seconds."""
OUTAGE_SECONDS = 30.0
RETURN_SECONDS = 300.0
"""Kubernetes' own controllers ask an API server that was away ever less often."""
GRACE_SECONDS = 60.0
"""`terminationGracePeriodSeconds` of a broker's pod."""
ASKED_AGAIN_SECONDS = 60.0
"""Kubernetes is made to try again 20, 40 and 80 s after a pod was first missed."""
SOON = 120.0
"""Seconds in which what was spoiled is put right, on a busy machine."""


@contextmanager
def two_operators(env: Environment) -> Iterator[None]:
    """Let two operators serve all clusters for a while, which nobody should ask for.

    One that stands still for `FROZEN_SECONDS` is to wake and go on: no kubelet ends it meanwhile.
    """
    where = (f"deploy/{DEPLOYMENT}", "-n", OPERATOR_NAMESPACE)
    probe = "/spec/template/spec/containers/0/livenessProbe/failureThreshold"
    (usual,) = env.get(*where)["spec"]["template"]["spec"]["containers"]
    failures = usual["livenessProbe"]["failureThreshold"]

    def bear(failures: int, replicas: int) -> None:
        patch = [
            {"op": "replace", "path": probe, "value": failures},
            {"op": "replace", "path": "/spec/replicas", "value": replicas},
        ]
        env.kubectl("patch", *where, "--type=json", "-p", json.dumps(patch))
        env.kubectl("rollout", "status", *where, "--timeout=120s")

    bear(PATIENCE, 2)
    try:
        yield
    finally:
        bear(failures, 1)


def restarts(env: Environment) -> dict[str, int]:
    """Return how often each operator's container was started again."""
    return {
        pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"])
        for pod in mischief.operator_pods(env)
    }


def test_a_move_outlives_mistakes_under_two_operators_of_which_one_stands_still(
    brokers: Brokers, traffic: Traffic, rng: random.Random
) -> None:
    env, cluster = brokers.env, brokers.env.embedded
    if cluster is None:
        pytest.skip("processes can only be stopped on the embedded cluster's nodes")
    traffic.start(outage=True)
    brokers.patch({"reassignment": SLOWEST})
    try:
        with two_operators(env):
            brokers.scale(4)
            brokers.moving()
            resumes, started = time.monotonic() + FROZEN_SECONDS, restarts(env)
            with mischief.frozen(cluster, rng.choice(mischief.operator_pods(env))):
                for mistake in rng.sample(MISTAKES, k=len(MISTAKES)):
                    assert brokers.unfinished(), f"still in mid-move for {mistake.__name__}"
                    mistake(brokers)
                evict_two(brokers, rng)
                time.sleep(max(0.0, resumes - time.monotonic()))
            lower(brokers)
            assert restarts(env) == started, "the one that stood still has gone on"
            brokers.patch({"reassignment": USUAL})
            brokers.ready(4, MOVE_SECONDS)
            assert brokers.on_broker(3)
            assert brokers.throttles() == ""

            brokers.patch({"reassignment": SLOWEST})
            brokers.scale(3)
            brokers.moving()
            delete_set_and_pods(brokers)
            assert brokers.unfinished(), "the drain goes on"
            claim = delete_claim(brokers)
            outage(brokers)
            brokers.patch({"reassignment": USUAL})
            brokers.ready(3, MOVE_SECONDS)
            brokers.until(
                "the end of the claim", lambda: not find(brokers, "pvc", claim), RETURN_SECONDS
            )
    finally:
        brokers.patch({"reassignment": USUAL})
    assert brokers.throttles() == ""
    assert all(finished(reassignment) for reassignment in brokers.reassignments())
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []


# --- mistakes that are put right within seconds, and restart no broker


def edit_template(brokers: Brokers) -> None:
    """Edit the pod template of the StatefulSet: it is put back, and no broker restarts."""
    before = pods(brokers)
    mischief.edit_template(
        brokers.env, brokers.namespace, stateful_set(brokers), "KAFKA_HEAP", "1m"
    )

    def back() -> bool:
        (container,) = live(brokers)["spec"]["template"]["spec"]["containers"]
        return {"name": "KAFKA_HEAP", "value": "192m"} in container["env"]

    brokers.until("the template to be put back", back, SOON)
    assert pods(brokers) == before


def orphan(brokers: Brokers) -> None:
    """Delete the StatefulSet without its pods: a new one takes them over as they are."""
    before, uid = pods(brokers), live(brokers)["metadata"]["uid"]
    mischief.delete_stateful_set(brokers.env, brokers.namespace, stateful_set(brokers), orphan=True)
    brokers.until("a new StatefulSet", lambda: remade(brokers, uid), SOON)
    brokers.until("its brokers", lambda: all_ready(brokers), READY_SECONDS)
    assert pods(brokers) == before


def wipe_status(brokers: Brokers) -> None:
    """Take the status off the BrokerCluster: it is found anew."""
    mischief.wipe_status(brokers.env, brokers.namespace, "bc", brokers.name)
    keys = ("conditions", "brokers", "clusterId", "reassignment")
    brokers.until("a status", lambda: all(key in brokers.status() for key in keys), SOON)


def wipe_reassignment(brokers: Brokers) -> None:
    """Take the status off the Reassignment: it is planned anew, and its throttle still known."""
    moving = brokers.moving()
    name = moving["metadata"]["name"]
    mischief.wipe_status(brokers.env, brokers.namespace, "ra", name)
    planned_anew(brokers, moving)


def delete_plan(brokers: Brokers) -> None:
    """Delete the plan: another is made for the same Reassignment."""
    moving = brokers.moving()
    mischief.delete_plan(brokers.env, moving)
    planned_anew(brokers, moving)


def spoil_plan(brokers: Brokers) -> None:
    """Edit the plan into nonsense: another is made for the same Reassignment."""
    moving = brokers.moving()
    mischief.spoil_plan(brokers.env, moving)
    planned_anew(brokers, moving)


def delete_reassignment(brokers: Brokers) -> None:
    """Delete the Reassignment: its throttle is swept, and the next one goes on."""
    before = brokers.moving()
    mischief.delete_reassignment(brokers.env, brokers.namespace, before["metadata"]["name"])

    def succeeded() -> bool:
        now = brokers.unfinished()
        return bool(now and number(now) > number(before) and "startedAt" in now.get("status", {}))

    brokers.until("another Reassignment", succeeded, READY_SECONDS)


MISTAKES: list[Callable[[Brokers], None]] = [
    edit_template,
    orphan,
    wipe_status,
    wipe_reassignment,
    delete_plan,
    spoil_plan,
    delete_reassignment,
]


def planned_anew(brokers: Brokers, before: dict[str, Any]) -> None:
    """Wait until a Reassignment has a plan again that is not the one it had."""

    def planned() -> bool:
        name = before["metadata"]["name"]
        status = brokers.env.get("ra", name, "-n", brokers.namespace).get("status", {})
        maps = status.get("plan", {}).get("configMaps", [])
        return bool(maps) and maps_hold(brokers, maps) and brokers.condition("Stalled") == {}

    brokers.until("a plan again", planned, READY_SECONDS)


def maps_hold(brokers: Brokers, names: list[str]) -> bool:
    """Whether these ConfigMaps are there and hold what is compressed."""
    found = [find(brokers, "configmap", name) for name in names]
    gzip = "H4sI"
    return all(
        item and all(text.startswith(gzip) for text in item.get("binaryData", {}).values())
        for item in found
    )


# --- mistakes that cost a broker its process for a while


def evict_two(brokers: Brokers, rng: random.Random) -> None:
    """Evict a broker, and another at once, which the PodDisruptionBudget does not allow."""
    name = f"{brokers.name}-broker"

    def allowed() -> bool:
        budget = brokers.env.get("pdb", name, "-n", brokers.namespace)
        return bool(budget["status"]["disruptionsAllowed"] == 1)

    brokers.until("an eviction to be allowed", allowed, READY_SECONDS)
    first, second = rng.sample(range(4), k=2)
    assert mischief.evict(brokers.env, brokers.namespace, f"{name}-{first}")
    assert not mischief.evict(brokers.env, brokers.namespace, f"{name}-{second}")
    returned(brokers)


def lower(brokers: Brokers) -> None:
    """Lower the StatefulSet by hand below what holds data: its brokers come back."""
    mischief.scale_stateful_set(brokers.env, brokers.namespace, stateful_set(brokers), 2)
    brokers.until("four brokers to be asked for", lambda: brokers.replicas() == 4, SOON)
    returned(brokers)


def delete_set_and_pods(brokers: Brokers) -> None:
    """Delete the StatefulSet with its pods in mid-drain: all come back, the leaving one, too."""
    uid, before = live(brokers)["metadata"]["uid"], set(pods(brokers).values())
    mischief.delete_stateful_set(
        brokers.env, brokers.namespace, stateful_set(brokers), orphan=False
    )
    brokers.until("a new StatefulSet", lambda: remade(brokers, uid), SOON)
    assert brokers.replicas() == 4, "broker 3 holds data still"
    # Without a controller to ask, a broker's own shutdown may take its pod's whole grace period.
    ended = GRACE_SECONDS + SOON
    brokers.until("the old pods' end", lambda: before.isdisjoint(pods(brokers).values()), ended)
    brokers.until("new pods", lambda: len(pods(brokers)) == 4, ASKED_AGAIN_SECONDS)
    brokers.until("all brokers to be back", lambda: all_ready(brokers), READY_SECONDS)


def delete_claim(brokers: Brokers) -> str:
    """Delete the claim of the broker that leaves: it stays while the broker has data."""
    claim = f"data-{brokers.name}-broker-3"
    mischief.delete_claim(brokers.env, brokers.namespace, claim)
    found = find(brokers, "pvc", claim)
    assert found
    assert "deletionTimestamp" in found["metadata"]
    assert brokers.on_broker(3)
    return claim


def outage(brokers: Brokers) -> None:
    """Let the API server be silent, and start again with no memory of what was watched."""
    env = brokers.env
    assert env.embedded is not None
    path = "/apis/broker-operator.dev/v1alpha1/brokerclusters"
    seen = json.loads(env.kubectl("get", "--raw", path).stdout)["metadata"]["resourceVersion"]
    with mischief.api_outage(env.embedded):
        time.sleep(OUTAGE_SECONDS)
    watch = f"{path}?watch=1&resourceVersion={seen}&timeoutSeconds=2"
    told = env.kubectl("get", "--raw", watch, check=False)
    assert "too old resource version" in told.stdout + told.stderr, "watches have expired"
    # Only a watch tells of a cluster that is new: this one may not be served.
    late = Brokers(env, "late", brokers.namespace)
    env.apply(broker_cluster("late", brokers.namespace, "zookeeper:2181/shared"))

    def refused() -> bool:
        return late.condition("Stalled").get("reason") == "EnsembleInUse"

    late.until("a cluster made since to be seen", refused, READY_SECONDS)
    env.kubectl("delete", "bc", "late", "-n", brokers.namespace, f"--timeout={SOON:.0f}s")


# --- what there is


def stateful_set(brokers: Brokers) -> str:
    """Return the name of the StatefulSet."""
    return f"{brokers.name}-broker"


def live(brokers: Brokers) -> dict[str, Any]:
    """Return the StatefulSet."""
    return brokers.env.get("statefulset", stateful_set(brokers), "-n", brokers.namespace)


def find(brokers: Brokers, kind: str, name: str) -> dict[str, Any] | None:
    """Return an object, None if there is none."""
    where = (kind, name, "-n", brokers.namespace, "--ignore-not-found", "-o", "json")
    text = brokers.env.kubectl("get", *where).stdout
    return json.loads(text) if text else None


def remade(brokers: Brokers, uid: str) -> bool:
    """Whether there is a StatefulSet, and another than this."""
    found = find(brokers, "statefulset", stateful_set(brokers))
    return bool(found and found["metadata"]["uid"] != uid)


def pods(brokers: Brokers) -> dict[str, str]:
    """Return the brokers' pods: name -> uid."""
    label = f"app.kubernetes.io/instance={brokers.name},app.kubernetes.io/component=broker"
    items = brokers.env.get("pods", "-n", brokers.namespace, "-l", label)["items"]
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}


def all_ready(brokers: Brokers) -> bool:
    """Whether four brokers exist and are ready, whatever moves."""
    status = brokers.status()
    return bool(status.get("replicas") == 4 == status.get("readyReplicas"))


def returned(brokers: Brokers) -> None:
    """Wait until somebody is missed, then until all four are back."""

    def missed() -> bool:
        return bool(brokers.status().get("readyReplicas", 4) < 4)

    brokers.until("a broker to be missed", missed, SOON)
    brokers.until("all brokers to be back", lambda: all_ready(brokers), READY_SECONDS)
