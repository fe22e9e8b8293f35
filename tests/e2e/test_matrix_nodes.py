"""Nodes that lose their power in mid-move: the target's, a source's, the operator's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.brokers import MOVE_SECONDS, READY_SECONDS, SLOWEST, USUAL, Brokers
from tests.e2e.environment import DEPLOYMENT, OPERATOR_NAMESPACE
from tests.e2e.mischief import delete_pod, operator_pods, pod_of, power_cut
from tests.e2e.test_scaling import newest_number, scale_and_finish

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.e2e.environment import Environment
    from tests.traffic.pods import Traffic

pytestmark = pytest.mark.e2e

POWER_LOSS_SECONDS = 60.0
"""Two brokers may be on one node; a dead controller among them is missed after its session."""
NEWCOMER = 3


@contextmanager
def closed(env: Environment, *nodes: str) -> Iterator[None]:
    """Let these nodes take no new pods for a while."""
    env.kubectl("cordon", *nodes)
    try:
        yield
    finally:
        env.kubectl("uncordon", *nodes)


def node_of(brokers: Brokers, name: str) -> str:
    """Return the node of a pod that there must be."""
    pod = pod_of(brokers.env, brokers.namespace, name)
    assert pod is not None, name
    return str(pod["spec"]["nodeName"])


def put_operator_on(env: Environment, nodes: list[str], node: str) -> None:
    """Have the operator run on a node."""
    if [pod["spec"]["nodeName"] for pod in operator_pods(env)] == [node]:
        return
    with closed(env, *(other for other in nodes if other != node)):
        for pod in operator_pods(env):
            delete_pod(env, OPERATOR_NAMESPACE, pod["metadata"]["name"])
        where = (f"deploy/{DEPLOYMENT}", "-n", OPERATOR_NAMESPACE)
        env.kubectl("rollout", "status", *where, "--timeout=120s")
        assert [pod["spec"]["nodeName"] for pod in operator_pods(env)] == [node]


def test_power_is_lost_on_both_sides_of_a_move(
    brokers: Brokers, traffic: Traffic, rng: random.Random
) -> None:
    """The target's node and a source's lose it, one after the other; one has the operator, too.

    ZooKeeper, of which there is but one here, and the traffic are elsewhere.
    """
    env, cluster = brokers.env, brokers.env.embedded
    if cluster is None:
        pytest.skip("power can only be cut on the embedded cluster's nodes")
    nodes = [node["metadata"]["name"] for node in env.get("nodes")["items"]]
    safe = node_of(brokers, "zookeeper-0")
    env.kubectl("delete", "pod", brokers.tools, "-n", brokers.namespace, "--ignore-not-found")
    with closed(env, *(node for node in nodes if node != safe)):
        assert brokers.throttles() == ""
        traffic.start()
    before = newest_number(brokers)
    brokers.patch({"reassignment": SLOWEST})
    try:
        with closed(env, safe):
            brokers.scale(4)
            brokers.moving()
            for side, with_operator in drawn(rng):
                node, broker = victim(brokers, side, safe)
                others = [n for n in nodes if n not in {safe, node}]
                put_operator_on(env, [node, *others], node if with_operator else others[0])
                assert brokers.unfinished(), "it is in mid-move"
                lose_power(brokers, cluster, node, broker)
    finally:
        brokers.patch({"reassignment": USUAL})
    brokers.ready(4, MOVE_SECONDS)
    assert newest_number(brokers) == before + 1, "the same move has ended"
    assert brokers.on_broker(NEWCOMER)
    scale_and_finish(brokers, 3, "ScaleDown")
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []
    assert brokers.throttles() == ""


def lose_power(brokers: Brokers, cluster: Cluster, node: str, broker: int) -> None:
    """Cut a node's power until the status says so; all else is served, and nothing is drained."""
    with power_cut(cluster, node):
        brokers.until(f"the loss of {broker}", lambda: missed(brokers, broker), READY_SECONDS)
        brokers.until("new leaders", lambda: served(brokers), POWER_LOSS_SECONDS)
        assert brokers.replicas() == 4
        assert all(pod["spec"]["nodeName"] != node for pod in operator_pods(brokers.env))
    brokers.until("its return", lambda: ready(brokers, 4), READY_SECONDS)
    # Else the next power cut may take the only copy in sync: Kafka would wait for that very broker.
    brokers.until("every replica to be in sync", lambda: in_sync(brokers), READY_SECONDS)


def drawn(rng: random.Random) -> list[tuple[str, bool]]:
    """Return in which order the sides go, and with which of them the operator goes."""
    sides, with_operator = ["target", "source"], [True, False]
    rng.shuffle(sides)
    rng.shuffle(with_operator)
    return list(zip(sides, with_operator, strict=True))


def victim(brokers: Brokers, side: str, safe: str) -> tuple[str, int]:
    """Return the node and the id of a broker on that side; not on the safe node.

    The source is one that is not beside the target, if there is such.
    """
    places = {b: node_of(brokers, f"{brokers.name}-broker-{b}") for b in range(4)}
    target = places.pop(NEWCOMER)
    if side == "target":
        return target, NEWCOMER
    sources = sorted((node == target, b, node) for b, node in places.items() if node != safe)
    _, broker, node = sources[0]
    return node, broker


def missed(brokers: Brokers, broker: int) -> bool:
    """Whether the status says that the move waits for this broker."""
    status = brokers.status()
    ready = next(c for c in status["conditions"] if c["type"] == "BrokersReady")
    said = status.get("reassignment", {}).get("blockedBy", [])
    waits = any(ready["message"] in sentence for sentence in said)
    names = ready["message"].rpartition("waiting for ")[2]
    return ready["status"] == "False" and waits and str(broker) in names


def served(brokers: Brokers) -> bool:
    """Whether every partition has a leader."""
    return brokers.condition("Available").get("status") == "True"


def in_sync(brokers: Brokers) -> bool:
    """Whether every replica is in sync that is not being added."""
    return not brokers.topics("--describe", "--under-replicated-partitions").strip()


def ready(brokers: Brokers, count: int) -> bool:
    """Whether so many brokers are ready, whatever moves."""
    status = brokers.status()
    return (
        status.get("readyReplicas") == count
        and brokers.condition("BrokersReady")["status"] == "True"
    )
