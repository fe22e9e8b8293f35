"""The embedded cluster itself: comes up, is reused, repaired, survives power cuts, and goes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster import binaries, cgroups, images, network
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run
from tests.cluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.environ.get("CLUSTER") == "existing", reason="there is no embedded cluster to test"
    ),
]

REPOSITORY = Path(__file__).parents[2]
SMALL_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 1001,
    "runAsGroup": 1001,
    "fsGroup": 1001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# Writes its name into its volume again and again, and says so.
WRITER = "while true; do date >>/data/$HOSTNAME && echo written; sleep 0.2; done"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes, with an image to run."""
    cluster = Cluster("lifecycle")
    archive = images.build("base")
    cluster.up(2)
    try:
        cluster.load_images([archive])
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def ruin() -> Iterator[Cluster]:
    """A cluster of its own that a test may leave in any state."""
    cluster = Cluster("ruin")
    cluster.down()
    yield cluster
    cluster.down()


@pytest.fixture(scope="module")
def writers(cluster: Cluster) -> Cluster:
    """The cluster with one pod of a plain user per node, each with a volume it writes to."""
    kubectl(cluster, "apply", "-f", "-", stdin=json.dumps(_writers()))
    rollout = ("rollout", "status", "statefulset/writer", "--timeout=90s")
    kubectl(cluster, "-n", "live", *rollout)
    return cluster


def test_nodes_have_zones_and_the_storage_class_is_the_default(cluster: Cluster) -> None:
    nodes = json.loads(kubectl(cluster, "get", "nodes", "-o", "json"))["items"]
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert zones == {"a", "b"}
    classes = json.loads(kubectl(cluster, "get", "storageclass", "-o", "json"))["items"]
    [annotations] = [found["metadata"]["annotations"] for found in classes]
    assert annotations["storageclass.kubernetes.io/is-default-class"] == "true"


def test_a_second_up_reuses_the_cluster(cluster: Cluster) -> None:
    before = _pids(cluster)
    started = time.monotonic()
    cluster.up()
    assert time.monotonic() - started < 15
    assert _pids(cluster) == before
    with pytest.raises(ClusterError, match="up with 2 nodes, not 3"):
        cluster.up(3)
    assert _pids(cluster) == before


def test_a_plain_user_can_write_to_a_volume_that_can_grow(writers: Cluster) -> None:
    claim = ("-n", "live", "pvc", "data-writer-0")
    volume = kubectl(writers, "get", *claim, "-o", "jsonpath={.spec.volumeName}")
    file = writers.layout.volumes / volume / "writer-0"
    wait_for("a line in the volume", lambda: file.exists() and bool(file.read_text()), 20)
    patch = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    kubectl(writers, "patch", *claim, "--patch", json.dumps(patch))
    kubectl(writers, "wait", *claim, "--for=jsonpath={.status.capacity.storage}=2Gi", _wait(20))


def test_services_and_names_work_within_and_between_nodes(writers: Cluster) -> None:
    address = kubectl(
        writers, "-n", "live", "get", "pod", "writer-1", "-o", "jsonpath={.status.podIP}"
    )
    name = "writer-1.writer.live.svc.cluster.local"
    assert address in _in_pod(writers, f"getent hosts {name}")
    for node in ("a", "b"):  # the API server by its service, from each node and from the pod on it
        ask = _kubectl_argv(writers, "get", "--raw=/readyz", "--server=https://100.96.0.1")
        assert "ok" in writers.exec_in_node(node, ask, timeout=20)
    assert "open" in _in_pod(writers, "exec 3<>/dev/tcp/100.96.0.1/443 && echo open")


def test_the_relay_carries_streams_and_outlives_broken_ones(writers: Cluster) -> None:
    follow = _kubectl_argv(writers, "-n", "live", "logs", "-f", "writer-0")
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        lines = [reader.stdout.readline() for _ in range(5)]
        assert set(lines) == {"written\n"}
        reader.kill()  # in the middle of the stream
    payload = os.urandom(8 << 20)
    into = _kubectl_argv(writers, "-n", "live", "exec", "-i", "writer-0", "--", "sha256sum")
    said = subprocess.run(into, input=payload, capture_output=True, check=True, timeout=60).stdout
    assert said.split()[0].decode() == hashlib.sha256(payload).hexdigest()
    out = _in_pod(writers, "head -c 8000000 /dev/zero | tr '\\0' x")
    assert out == "x" * 8_000_000
    wait_for("the API server", writers.control_plane.api().is_ready, 5)


def test_a_node_without_power_is_missed_soon_and_comes_back(writers: Cluster) -> None:
    api = writers.control_plane.api()
    writers.node_down("b")
    writers.node_down("node-b")  # it is off: nothing to do
    with pytest.raises(ClusterError, match="no power"):
        writers.exec_in_node("b", ["true"])
    wait_for("node-b to be missed", lambda: not api.nodes()["node-b"], 30)
    assert api.nodes()["node-a"], "the other node must not suffer"
    writers.node_up("b")
    assert api.nodes() == {"node-a": True, "node-b": True}
    wait = ("wait", "--for=condition=Ready", "pod", "--all", _wait(60))
    kubectl(writers, "-n", "live", *wait)


def test_a_dead_component_is_named_and_repaired(ruin: Cluster) -> None:
    assert _command("up", "--name", ruin.name, "--nodes", "1").returncode == 0
    [server] = [daemon for daemon in ruin.control_plane.daemons() if "apiserver" in daemon.name]
    os.kill(_alive(server.pid), signal.SIGKILL)
    wait_for("its end", lambda: server.pid is None, 10)
    status = _command("status", "--name", ruin.name)
    assert status.returncode == 1
    assert "does not run" in status.stdout
    repair = _command("up", "--name", ruin.name)
    assert repair.returncode == 0, repair.stderr
    assert "kube-apiserver has ended. The end of" in repair.stderr
    assert ruin.control_plane.api().is_ready()


MOMENTS: dict[str, Callable[[Cluster], bool]] = {
    "certificates": lambda cluster: (cluster.layout.pki / "ca.crt").exists(),
    "network": lambda cluster: bool(network.namespaces(cluster.layout)),
    "containerd": lambda cluster: cluster.layout.node(1).socket.exists(),
    "kubelet": lambda cluster: (cluster.layout.logs / "kubelet-a.log").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_up_that_was_killed_is_repaired_by_the_next(ruin: Cluster, moment: str) -> None:
    argv = [sys.executable, "-m", "tests.cluster", "up", "--name", ruin.name, "--nodes", "1"]
    with subprocess.Popen(argv, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as victim:
        wait_for(moment, lambda: MOMENTS[moment](ruin), 60)
        victim.kill()
    assert not ruin.layout.finished.exists(), "killed too late to prove anything"
    repair = _command("up", "--name", ruin.name, "--nodes", "1")
    assert repair.returncode == 0, repair.stderr
    assert "removing what is left" in repair.stderr
    assert ruin.control_plane.api().nodes() == {"node-a": True}


def test_down_leaves_nothing(ruin: Cluster) -> None:
    rules = _rules()
    ruin.up(2)
    ruin.load_images([images.build("base")])
    kubectl(ruin, "apply", "-f", "-", stdin=json.dumps(_writers()))
    kubectl(ruin, "-n", "live", "rollout", "status", "statefulset/writer", "--timeout=90s")
    ruin.node_down("b")
    processes = cgroups.processes(ruin.layout.cgroup)
    assert len(processes) > 10
    ruin.down()
    assert not [pid for pid in processes if _runs(pid)]
    assert not _processes_about(ruin)
    assert not [line for line in _mounts() if _mentions(line, ruin)]
    assert not network.namespaces(ruin.layout)
    assert not cgroups.exists(ruin.layout.cgroup)
    assert not ruin.layout.state.exists()
    assert not ruin.layout.run.exists()
    assert _rules() == rules
    ruin.down()  # nothing to do, and no error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("kubeconfig",), "there is no cluster ruin; `up` makes one"),
        (("status",), "there is no cluster ruin"),
        (("node-down", "a"), "there is no cluster ruin"),
        (("load-image", __file__), "there is no cluster ruin"),
        (("up", "--nodes", "0"), "0 is not in the range"),
    ],
)
def test_a_command_that_fails_says_one_clear_thing(
    ruin: Cluster, words: tuple[str, ...], says: str
) -> None:
    command, *rest = words
    done = _command(command, "--name", ruin.name, *rest)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def kubectl(cluster: Cluster, *args: str, stdin: str | None = None) -> str:
    return run(_kubectl_argv(cluster, *args), stdin=stdin, timeout=120)


def _kubectl_argv(cluster: Cluster, *args: str) -> list[str]:
    return [str(binaries.kubectl()), f"--kubeconfig={cluster.kubeconfig}", *args]


def _command(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.cluster", *words]
    return subprocess.run(
        argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False
    )


def _in_pod(cluster: Cluster, script: str) -> str:
    return kubectl(cluster, "-n", "live", "exec", "writer-0", "--", "bash", "-c", script)


def _wait(seconds: int) -> str:
    return f"--timeout={seconds}s"


def _pids(cluster: Cluster) -> list[int | None]:
    machines = (daemon for machine in cluster.machines() for daemon in machine.daemons())
    return [daemon.pid for daemon in (*cluster.control_plane.daemons(), *machines)]


def _alive(pid: int | None) -> int:
    assert pid is not None
    return pid


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _mentions(text: str, cluster: Cluster) -> bool:
    layout = cluster.layout
    return any(str(word) in text for word in (layout.state, layout.run, f"bo-{cluster.name}"))


def _processes_about(cluster: Cluster) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if _mentions((entry / "cmdline").read_text(errors="replace"), cluster):
                found.append(entry.name)
    return found


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def _rules() -> list[str]:
    """The machine's own packet filter, without counters and comments."""
    lines = run(["iptables-save"]).splitlines()
    return [line.partition(" [")[0] for line in lines if not line.startswith("#")]


def _writers() -> dict[str, object]:
    container = {
        "name": "writer",
        "image": images.REFERENCES["base"],
        "command": ["bash", "-c", WRITER],
        "securityContext": LOCKED_DOWN,
        "resources": {"limits": {"memory": "64Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    labels = {"app": "writer"}
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": SMALL_SECURITY,
        "topologySpreadConstraints": [spread],
        "containers": [container],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": "live", "labels": restricted},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "writer", "namespace": "live"},
                "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 80}]},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "writer", "namespace": "live"},
                "spec": {
                    "replicas": 2,
                    "serviceName": "writer",
                    "podManagementPolicy": "Parallel",
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                    "volumeClaimTemplates": [claim],
                },
            },
        ],
    }
