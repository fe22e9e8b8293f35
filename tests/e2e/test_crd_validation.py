"""A real API server takes good specs, fills in defaults and refuses bad ones with their reason."""

from __future__ import annotations

import json
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.e2e.bad_specs import (
    API_VERSION,
    BAD_AS_A_CHANGE,
    BAD_AT_CREATION,
    GOOD_CLUSTER,
    GOOD_CLUSTER_IN_RACKS,
    GOOD_REASSIGNMENT,
    UNDONE_REQUEST,
    BadSpec,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]
REFERENCE = [
    pytest.param(match[1], id=f"{path.name}-{number}")
    for path in sorted((ROOT / "docs" / "reference").glob("*.md"))
    for number, match in enumerate(re.finditer(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL))
    if API_VERSION in match[1]
]
SAMPLES = [
    pytest.param(path.read_text(), id=path.name)
    for path in sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
    if path.name != "kustomization.yaml"
]
CRDS = ("crd/brokerclusters.broker-operator.dev", "crd/reassignments.broker-operator.dev")


class Kubectl(Protocol):
    def __call__(
        self, *args: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace with one paused cluster of each sort, on an API server that has the CRDs."""
    kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *CRDS)
    name = f"crd-validation-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/warn=restricted")
    for good in (GOOD_CLUSTER, GOOD_CLUSTER_IN_RACKS, GOOD_REASSIGNMENT, UNDONE_REQUEST):
        kubectl("-n", name, "apply", "-f", "-", stdin=json.dumps(good))
    yield name
    # Objects first: an operator cannot write what its finalizer needs in a namespace that ends.
    for kind in ("reassignments", "brokerclusters"):
        kubectl("-n", name, "delete", kind, "--all", "--timeout=120s")
    kubectl("delete", "namespace", name, "--wait=false")


def merged(good: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(good) if isinstance(good, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def refused(
    kubectl: Kubectl, namespace: str, verb: str, manifest: Mapping[str, Any], bad: BadSpec
) -> None:
    answer = kubectl(
        *("-n", namespace, verb, "--dry-run=server", "-f", "-"),
        stdin=json.dumps(manifest),
        check=False,
    )
    assert answer.returncode != 0, f"accepted: {answer.stdout}"
    assert bad.field in answer.stderr
    assert bad.reason in answer.stderr


@pytest.mark.parametrize("bad", BAD_AT_CREATION, ids=lambda bad: bad.name)
def test_bad_spec_is_refused_with_field_and_reason(
    kubectl: Kubectl, namespace: str, bad: BadSpec
) -> None:
    fresh = merged(bad.good, {"metadata": {"name": "fresh"}})
    refused(kubectl, namespace, "create", merged(fresh, bad.patch), bad)


@pytest.mark.parametrize("bad", BAD_AS_A_CHANGE, ids=lambda bad: bad.name)
def test_bad_change_is_refused_with_field_and_reason(
    kubectl: Kubectl, namespace: str, bad: BadSpec
) -> None:
    refused(kubectl, namespace, "apply", merged(bad.good, bad.patch), bad)


GOOD_PATCHES: Mapping[str, Mapping[str, Any]] = {
    "several servers and a path": {
        "zookeeper": {"connect": "zk-0.zk:2181,10.0.0.7:2182,[fd00::7]:2181/kafka/orders"}
    },
    "no path": {"zookeeper": {"connect": "zk_0:1"}},
    "path that begins like ZooKeeper's own": {"zookeeper": {"connect": "zk:65535/zookeeper-a"}},
    "as many racks as brokers": {"racks": [{"name": f"r{i}", "zone": f"z{i}"} for i in range(3)]},
    "a memory limit with just enough beside the heap": {
        "jvm": {"heap": "512Mi"},
        "resources": {"requests": {"cpu": 1, "memory": "662Mi"}, "limits": {"memory": "662Mi"}},
    },
    "throttle off": {"reassignment": {"throttle": "0", "via": "AdminApi"}},
    "smallest throttle": {"reassignment": {"throttle": "64Ki"}},
    "tuning of ZooKeeper's client": {"config": {"zookeeper.session.timeout.ms": "9000"}},
    "a whole affinity": {
        "pod": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name"}]}]
                    }
                }
            },
            "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b"}],
            "labels": {"team": "orders"},
            "annotations": {"app.kubernetes.io/x": "a label's prefix is free in annotations"},
        }
    },
}


@pytest.mark.parametrize("name", GOOD_PATCHES)
def test_good_spec_is_accepted_unchanged(kubectl: Kubectl, namespace: str, name: str) -> None:
    patch = {"metadata": {"name": "fresh"}, "spec": GOOD_PATCHES[name]}
    manifest = json.dumps(merged(GOOD_CLUSTER, patch))
    answer = kubectl(
        *("-n", namespace, "create", "--dry-run=server", "-o", "json", "-f", "-"), stdin=manifest
    )
    stored = json.loads(answer.stdout)
    assert merged(stored, {"spec": GOOD_PATCHES[name]}) == stored


@pytest.mark.parametrize("manifest", [*REFERENCE, *SAMPLES])
def test_what_people_copy_is_accepted(kubectl: Kubectl, namespace: str, manifest: str) -> None:
    named = re.sub(r"(?m)^  name: .*$", "  name: copied", manifest, count=1)
    kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=named)


@pytest.mark.parametrize("overlay", ["manifests", "manifests/zookeeper", "manifests/samples"])
def test_kustomization_builds_what_a_restricted_namespace_takes(
    kubectl: Kubectl, namespace: str, overlay: str
) -> None:
    built = kubectl("kustomize", str(ROOT / overlay)).stdout
    answer = kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"),
        # As in a namespace of our own: what is installed already is of no concern.
        *("-n", namespace),
        stdin=re.sub(r"namespace: broker-operator-system", f"namespace: {namespace}", built),
    )
    assert "PodSecurity" not in answer.stderr


def test_defaults_are_filled_in(kubectl: Kubectl, namespace: str) -> None:
    stored = json.loads(kubectl("-n", namespace, "get", "bc", "orders", "-o", "json").stdout)
    assert stored["spec"] == {
        "replicas": 3,
        "zookeeper": {"connect": "zookeeper.example:2181/orders"},
        "paused": True,
        "version": "3.9.2",
        "image": "",
        "config": {},
        "resources": {},
        "storage": {"size": "10Gi", "className": "", "whenScaledDown": "Retain"},
        "jvm": {"heap": "1Gi"},
        "pod": {"terminationGracePeriodSeconds": 180},
        "reassignment": {
            "via": "ZooKeeper",
            "approval": "Automatic",
            "throttle": "50Mi",
            "adaptive": {"min": "4Mi", "max": "500Mi"},
            "maxMovesPerBroker": 5,
            "history": 5,
        },
    }


@pytest.mark.parametrize(
    ("cluster", "replicas", "reason"),
    [
        pytest.param("orders", 0, "must be at least 1", id="to nothing"),
        pytest.param("racks", 1, "each rack needs at least one", id="below the number of racks"),
    ],
)
def test_kubectl_scale_is_held_to_the_same_rules(
    kubectl: Kubectl, namespace: str, cluster: str, replicas: int, reason: str
) -> None:
    answer = kubectl(
        *("-n", namespace, "scale", f"bc/{cluster}", f"--replicas={replicas}"), check=False
    )
    assert answer.returncode != 0
    assert reason in answer.stderr


def test_kubectl_scale_changes_replicas(kubectl: Kubectl, namespace: str) -> None:
    for replicas in ("4", "3"):
        kubectl("-n", namespace, "scale", "bc/orders", f"--replicas={replicas}")
        asked = kubectl("-n", namespace, "get", "bc/orders", "-o", "jsonpath={.spec.replicas}")
        assert asked.stdout == replicas


CONDITION = {"lastTransitionTime": "2026-01-01T00:00:00Z", "message": "", "status": "True"}
STATUSES: Mapping[str, Mapping[str, Any]] = {
    "bc/orders": {
        "replicas": 4,
        "readyReplicas": 2,
        "selector": "app.kubernetes.io/instance=orders",
        "conditions": [{**CONDITION, "type": "Available", "reason": "AllPartitionsLed"}],
        "brokers": [{"id": 0, "pod": "orders-broker-0", "bytes": 5_000_000_000}],
        "reassignment": {"name": "orders-1", "percent": 42, "eta": "1m40s"},
    },
    "ra/orders-1": {
        "conditions": [{**CONDITION, "type": "Complete", "status": "False", "reason": "Moving"}],
        "plan": {"moves": 60, "bytes": 5_000_000_000, "optimal": True},
        "progress": {"movesDone": 25, "eta": "1m40s"},
        "blockedBy": ["partition orders-7 has no live replica"],
    },
}
SHOWN = {
    "bc/orders": ["orders", "3", "2", "True", "42", "1m40s"],
    "ra/orders-1": ["orders-1", "orders", "ScaleUp", "60", "5000000000", "25", "1m40s", "Moving"],
}


def test_status_is_written_apart_and_shown_in_columns(kubectl: Kubectl, namespace: str) -> None:
    def written_and_shown() -> dict[str, list[str]]:
        rows = {}
        for target, status in STATUSES.items():
            patch = json.dumps({"status": status})
            kubectl(
                *("-n", namespace, "patch", target, "--subresource=status", "--type=merge"),
                *("-p", patch),
            )
            row = kubectl("-n", namespace, "get", target, "--no-headers").stdout.split()
            rows[target] = row[:-1]  # the last is the age
        return rows

    # An operator that shares the API server may put in its own status in between: try again.
    deadline = time.monotonic() + 20
    while (rows := written_and_shown()) != SHOWN and time.monotonic() < deadline:
        pass
    assert rows == SHOWN


def test_autoscalers_find_the_pods(kubectl: Kubectl, namespace: str) -> None:
    status = {"replicas": 2, "selector": "app.kubernetes.io/instance=racks"}
    patch = json.dumps({"status": status})
    answer = kubectl(
        *("-n", namespace, "patch", "bc/racks", "--subresource=status", "--type=merge"),
        *("-p", patch, "-o", "jsonpath={.status.selector}"),
    )
    assert answer.stdout == status["selector"]
    scale = kubectl("-n", namespace, "get", "bc/racks", "--subresource=scale", "-o", "json").stdout
    assert set(json.loads(scale)["status"]) == {"replicas", "selector"}


def test_category_lists_both_kinds(kubectl: Kubectl, namespace: str) -> None:
    names = kubectl("-n", namespace, "get", "broker-operator", "-o", "name").stdout.split()
    assert set(names) == {
        "brokercluster.broker-operator.dev/orders",
        "brokercluster.broker-operator.dev/racks",
        "reassignment.broker-operator.dev/orders-1",
        "reassignment.broker-operator.dev/undone",
    }
