"""What goes wrong in a Kubernetes, made to go wrong: functions that each cause one fault.

Those that take an `Environment` work on any cluster; those that take a `Cluster` need the embedded
one, since they cut power or stop processes.
"""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.environment import DEPLOYMENT, OPERATOR_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.e2e.environment import Environment

Pod = dict[str, Any]
TOO_MANY_REQUESTS = "(TooManyRequests)"
"""How kubectl names the refusal of an eviction that a PodDisruptionBudget does not allow."""


# --- nodes and processes of the embedded cluster


@contextmanager
def power_cut(cluster: Cluster, node: str) -> Iterator[None]:
    """Let a node be without power for a while; in the end it is Ready again."""
    cluster.node_down(node)
    try:
        yield
    finally:
        cluster.node_up(node)


@contextmanager
def frozen(cluster: Cluster, pod: Pod) -> Iterator[None]:
    """Stop a pod's processes for a while; they go on where they were, if nobody has ended them.

    Raises:
        AssertionError: It has no process.
    """
    place = (pod["spec"]["nodeName"], pod["metadata"]["uid"])
    assert cluster.signal_pod(*place, signal.SIGSTOP), f"{pod['metadata']['name']} does not run"
    try:
        yield
    finally:
        cluster.signal_pod(*place, signal.SIGCONT)


def kill_processes(cluster: Cluster, pod: Pod) -> None:
    """Kill a pod's processes with SIGKILL; the kubelet starts its containers again.

    Raises:
        AssertionError: It has none.
    """
    place = (pod["spec"]["nodeName"], pod["metadata"]["uid"])
    assert cluster.signal_pod(*place, signal.SIGKILL), f"{pod['metadata']['name']} does not run"


@contextmanager
def api_outage(cluster: Cluster) -> Iterator[None]:
    """Let the API server answer nothing for a while, then kill it and start a new one.

    Requests in flight hang, and end with its connections. kubectl is of no use meanwhile.
    """
    cluster.freeze_api()
    try:
        yield
    finally:
        cluster.restart_api()


# --- pods


def pod_of(env: Environment, namespace: str, name: str) -> Pod | None:
    """Return a pod, None if there is none."""
    found = env.kubectl("get", "pod", name, "-n", namespace, "--ignore-not-found", "-o", "json")
    return json.loads(found.stdout) if found.stdout else None


def operator_pods(env: Environment) -> list[Pod]:
    """Return the operator's pods that are not being deleted."""
    label = f"app.kubernetes.io/name={DEPLOYMENT}"
    items = env.get("pods", "-n", OPERATOR_NAMESPACE, "-l", label)["items"]
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def delete_pod(env: Environment, namespace: str, name: str, *, force: bool = False) -> None:
    """Delete a pod; with `force`, without waiting for its kubelet."""
    how = ("--grace-period=0", "--force") if force else ("--wait=false",)
    env.kubectl("delete", "pod", name, "-n", namespace, *how)


def evict(env: Environment, namespace: str, name: str) -> bool:
    """Ask for a pod's eviction, as `kubectl drain` does; False if a PDB does not allow it now.

    Raises:
        AssertionError: It was refused for another reason.
    """
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    done = env.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction), check=False)
    if not done.returncode:
        return True
    assert TOO_MANY_REQUESTS in done.stderr, done.stderr
    return False


# --- objects


def scale_stateful_set(env: Environment, namespace: str, name: str, replicas: int) -> None:
    """Set a StatefulSet's replicas by hand."""
    env.kubectl("scale", f"statefulset/{name}", "-n", namespace, f"--replicas={replicas}")


def edit_template(env: Environment, namespace: str, name: str, variable: str, value: str) -> None:
    """Set an environment variable in a StatefulSet's pod template by hand."""
    where = (f"statefulset/{name}", "-n", namespace)
    env.kubectl("set", "env", *where, "--containers=kafka", f"{variable}={value}")


def delete_stateful_set(env: Environment, namespace: str, name: str, *, orphan: bool) -> None:
    """Delete a StatefulSet, with its pods or (`orphan`) without."""
    cascade = "--cascade=orphan" if orphan else "--cascade=background"
    env.kubectl("delete", "statefulset", name, "-n", namespace, cascade, "--wait=false")


def delete_claim(env: Environment, namespace: str, name: str) -> None:
    """Delete a PersistentVolumeClaim; it stays for as long as a pod uses it."""
    env.kubectl("delete", "pvc", name, "-n", namespace, "--wait=false")


def wipe_status(env: Environment, namespace: str, kind: str, name: str) -> None:
    """Take the whole status off a BrokerCluster (`bc`) or a Reassignment (`ra`)."""
    where = (kind, name, "-n", namespace, "--subresource=status", "--type=merge")
    env.kubectl("patch", *where, "-p", json.dumps({"status": None}))


def delete_reassignment(env: Environment, namespace: str, name: str) -> None:
    """Delete a Reassignment; it stays until its throttle is swept."""
    env.kubectl("delete", "ra", name, "-n", namespace, "--wait=false")


def delete_plan(env: Environment, reassignment: dict[str, Any]) -> None:
    """Delete the ConfigMaps with a Reassignment's plan."""
    names = reassignment["status"]["plan"]["configMaps"]
    env.kubectl("delete", "configmap", *names, "-n", reassignment["metadata"]["namespace"])


def spoil_plan(env: Environment, reassignment: dict[str, Any]) -> None:
    """Put nonsense into the first ConfigMap of a Reassignment's plan."""
    first = reassignment["status"]["plan"]["configMaps"][0]
    data = env.get("configmap", first, "-n", reassignment["metadata"]["namespace"])["binaryData"]
    nonsense = json.dumps({"binaryData": dict.fromkeys(data, "bm9uc2Vuc2U=")})
    where = (first, "-n", reassignment["metadata"]["namespace"], "--type=merge")
    env.kubectl("patch", "configmap", *where, "-p", nonsense)
