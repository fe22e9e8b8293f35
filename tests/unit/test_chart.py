"""The Helm chart and the manifests install the same operator, with the same rights and CRDs."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from broker_operator.adapters.kube_wire import RESOURCES
from broker_operator.api.spec import DEFAULT_KAFKA_VERSION
from tests.cluster import binaries

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "broker-operator"
MANIFESTS = ROOT / "manifests"
NAMESPACE = "broker-operator-system"

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = yaml.safe_load((CHART / "values.schema.json").read_text())
CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "Namespace", "CustomResourceDefinition"}


def load(*path: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load(MANIFESTS.joinpath(*path).read_text())
    return body


@pytest.mark.parametrize("name", ["brokerclusters.yaml", "reassignments.yaml"])
def test_crds_of_the_chart_are_the_crds(name: str) -> None:
    copy, original = CHART / "crds" / name, ROOT / "crds" / name
    assert copy.read_bytes() == original.read_bytes(), f"run: cp {original} {copy}"


def test_chart_has_the_version_of_the_package() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == package["version"]
    (container,) = load("base", "deployment.yaml")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"broker-operator/operator:{package['version']}"


def test_zookeeper_runs_from_the_default_broker_image() -> None:
    (container,) = load("zookeeper", "stateful_set.yaml")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{VALUES['kafkaImage']}:{DEFAULT_KAFKA_VERSION}"


def test_chart_and_manifests_grant_the_same() -> None:
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    match = re.search(r'define "broker-operator.rules" -}}\n(.*?){{- end', helpers, re.DOTALL)
    assert match is not None
    assert yaml.safe_load(match[1]) == load("rbac", "cluster_role.yaml")["rules"]


def test_rights_cover_every_kind_that_the_operator_knows() -> None:
    known = {(r.api_version.rpartition("/")[0], r.plural) for r in RESOURCES.values()}
    granted = {
        (group, resource)
        for rule in load("rbac", "cluster_role.yaml")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if "/" not in resource
    }
    assert granted == known


def test_no_right_is_unbounded() -> None:
    for rule in load("rbac", "cluster_role.yaml")["rules"]:
        granted = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in granted
        assert "secrets" not in granted
        assert not {"deletecollection", "escalate", "bind", "impersonate"} & set(granted)


def test_schema_takes_the_default_values_and_knows_each() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param({"replicas": 2}, "'replicas' was unexpected", id="unknown key"),
        pytest.param({"image": {"name": "x"}}, "'name' was unexpected", id="unknown inner key"),
        pytest.param({"watchNamespaces": "orders"}, "is not of type 'array'", id="no list"),
        pytest.param({"watchNamespaces": ["A_b"]}, "does not match", id="no namespace"),
        pytest.param({"watchNamespaces": ["a", "a"]}, "non-unique", id="twice the same"),
        pytest.param(
            {"kafkaImage": "x/kafka:3.9.2"}, "should not be valid", id="tag in kafkaImage"
        ),
        pytest.param({"logFormat": "xml"}, "is not one of", id="unknown log format"),
        pytest.param({"resyncSeconds": 0}, "less than the minimum", id="busy loop"),
        pytest.param({"nodeLossSeconds": -1}, "less than the minimum", id="negative time"),
        pytest.param({"extraEnv": [{"value": "x"}]}, "'name' is a required", id="nameless env"),
    ],
)
def test_schema_refuses(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=complaint):
        jsonschema.validate(values, SCHEMA)


def test_readme_of_the_chart_lists_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    assert [key for key in VALUES if f"`{key}" not in readme] == []


@pytest.fixture(scope="session")
def helm() -> Path:
    return binaries.helm()


def run_helm(helm: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm, *args], capture_output=True, text=True, timeout=60, check=False)


def render(helm: Path, *flags: str) -> list[dict[str, Any]]:
    """Render the chart as `helm install` would on the Kubernetes that it is tested with."""
    result = run_helm(
        *(helm, "template", "broker-operator", str(CHART)),
        *("--namespace", NAMESPACE, "--kube-version", "1.34.0", *flags),
    )
    assert result.returncode == 0, result.stderr
    return [body for body in yaml.safe_load_all(result.stdout) if body]


def only(bodies: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [body for body in bodies if body["kind"] == kind]
    return found


def operator_container(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = only(bodies, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.apiserver
def test_helm_lint_is_silent(helm: Path) -> None:
    result = run_helm(helm, "lint", "--strict", "--kube-version", "1.34.0", str(CHART))
    assert result.returncode == 0, result.stdout
    assert "WARNING" not in result.stdout


@pytest.mark.apiserver
def test_helm_names_the_value_that_it_refuses(helm: Path) -> None:
    result = run_helm(
        helm, "template", str(CHART), "--kube-version", "1.34.0", "--set", "watchNamespace=a"
    )
    assert result.returncode != 0
    assert "'watchNamespace' not allowed" in result.stderr


@pytest.mark.apiserver
def test_chart_and_manifests_run_the_same_operator(helm: Path) -> None:
    bodies = render(helm)
    for kind, file in (("Deployment", "deployment.yaml"), ("Service", "service.yaml")):
        chart, manifest = only(bodies, kind), load("base", file)
        assert chart["metadata"]["name"] == manifest["metadata"]["name"]
        chart, manifest = chart["spec"], manifest["spec"]
        for spec in (chart, manifest):
            # Labels differ: Helm's carry the release.
            spec.pop("selector")
            spec.get("template", {}).pop("metadata", None)
        assert chart == manifest


@pytest.mark.apiserver
def test_selectors_of_the_chart_find_the_operator_and_not_its_test(helm: Path) -> None:
    bodies = render(helm)
    deployment = only(bodies, "Deployment")["spec"]
    operator = deployment["template"]["metadata"]["labels"].items()
    test = only(bodies, "Pod")["metadata"]["labels"].items()
    for selector in (
        only(bodies, "Service")["spec"]["selector"].items(),
        deployment["selector"]["matchLabels"].items(),
    ):
        assert selector <= operator
        assert not selector <= test


@pytest.mark.apiserver
def test_confined_install_has_nothing_cluster_wide(helm: Path) -> None:
    bodies = render(helm, "--set", "watchNamespaces={orders,billing}")
    assert not CLUSTER_SCOPED & {body["kind"] for body in bodies}
    for kind in ("Role", "RoleBinding"):
        namespaces = [b["metadata"]["namespace"] for b in bodies if b["kind"] == kind]
        assert namespaces == ["orders", "billing"]
    rules = load("rbac", "cluster_role.yaml")["rules"]
    assert all(body["rules"] == rules for body in bodies if body["kind"] == "Role")
    env = {entry["name"]: entry["value"] for entry in operator_container(bodies)["env"]}
    assert env["BROKER_OPERATOR_WATCH_NAMESPACES"] == "orders,billing"


@pytest.mark.apiserver
def test_bindings_name_the_account_that_the_pod_uses(helm: Path) -> None:
    for flags in ((), ("--set", "watchNamespaces={a}"), ("--set", "serviceAccount.name=robot")):
        bodies = render(helm, *flags)
        account = only(bodies, "ServiceAccount")["metadata"]
        pod = only(bodies, "Deployment")["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == account["name"]
        (subject,) = [s for body in bodies for s in body.get("subjects", [])]
        assert (subject["name"], subject["namespace"]) == (account["name"], NAMESPACE)


@pytest.mark.apiserver
def test_values_reach_the_pod(helm: Path, tmp_path: Path) -> None:
    values = {
        "image": {"repository": "example/operator", "tag": "9"},
        "imagePullSecrets": [{"name": "pull"}],
        "command": ["python3"],
        "args": ["-c", "pass"],
        "extraEnv": [{"name": "X", "value": "seen"}],
        "extraVolumes": [{"name": "v", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "nodeSelector": {"e": "f"},
        "nodeLossSeconds": 7,
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAffinity": {}},
        "priorityClassName": "high",
        "metrics": {"serviceMonitor": {"enabled": True, "labels": {"g": "h"}}},
    }
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    bodies = render(helm, "--values", str(file))
    template = only(bodies, "Deployment")["spec"]["template"]
    container = operator_container(bodies)
    assert container["image"] == "example/operator:9"
    assert (container["command"], container["args"]) == (values["command"], values["args"])
    assert container["env"][-1] == {"name": "X", "value": "seen"}
    assert container["volumeMounts"][-1] == {"name": "v", "mountPath": "/v"}
    assert template["spec"]["volumes"][-1] == {"name": "v", "emptyDir": {}}
    for key in ("imagePullSecrets", "nodeSelector", "affinity", "priorityClassName"):
        assert template["spec"][key] == values[key]
    *lost, own = template["spec"]["tolerations"]
    assert own == {"operator": "Exists"}
    assert [(t["key"].partition("/")[2], t["tolerationSeconds"]) for t in lost] == [
        ("not-ready", 7),
        ("unreachable", 7),
    ]
    assert template["metadata"]["annotations"] == {"a": "b"}
    assert template["metadata"]["labels"]["c"] == "d"
    assert only(bodies, "ServiceMonitor")["metadata"]["labels"]["g"] == "h"
