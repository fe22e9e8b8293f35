"""Every way to install the operator gives one that serves clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.brokers import Brokers, broker_cluster, delete
from tests.e2e.environment import DEPLOYMENT, OPERATOR_NAMESPACE, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.environment import Environment

pytestmark = pytest.mark.e2e

RELEASE = ("broker-operator", "--namespace", OPERATOR_NAMESPACE)


@pytest.fixture
def other_install(shared: Brokers) -> Iterator[Environment]:
    """The environment, for a test that installs the operator in its own way."""
    yield shared.env
    shared.env.install()
    shared.ready(3)


def serve_one_more(shared: Brokers, name: str) -> None:
    """Have a cluster of one broker made from nothing, and deleted."""
    brokers = Brokers(shared.env, name, shared.namespace)
    connect = f"zookeeper:2181/{name}"
    shared.env.apply(broker_cluster(name, shared.namespace, connect, replicas=1, config={}))
    brokers.ready(1)
    delete(brokers)


def test_helm_test_passes(shared: Brokers) -> None:
    said = shared.env.helm("test", *RELEASE, "--timeout", "90s").stdout
    assert "Phase:          Succeeded" in said


def test_rights_in_the_named_namespaces_are_enough(
    other_install: Environment, shared: Brokers
) -> None:
    other_install.install(f"watchNamespaces={{{shared.namespace}}}")
    roles = other_install.get("clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/instance")
    names = {item["metadata"]["name"] for item in roles["items"]}
    assert not {name for name in names if DEPLOYMENT in name}, "nothing cluster-wide is granted"
    serve_one_more(shared, "fenced")


def test_kustomize_installs_it_too(other_install: Environment, shared: Brokers) -> None:
    """As in the README; on a cluster where Helm had it before."""
    env = other_install
    env.helm("uninstall", *RELEASE, "--wait")
    try:
        env.apply_folder("manifests")
        rollout = ("rollout", "status", f"deploy/{DEPLOYMENT}", "-n", OPERATOR_NAMESPACE)
        env.kubectl(*rollout, "--timeout=120s")
        serve_one_more(shared, "plain")
    finally:
        # Not the CRDs, with which every cluster would go.
        for part in ("base/deployment", "base/service"):
            file = str(REPOSITORY / "manifests" / f"{part}.yaml")
            env.kubectl("delete", "-n", OPERATOR_NAMESPACE, "-f", file, "--ignore-not-found")
        for part in ("service_account", "cluster_role", "cluster_role_binding"):
            file = str(REPOSITORY / "manifests" / "rbac" / f"{part}.yaml")
            env.kubectl("delete", "-n", OPERATOR_NAMESPACE, "-f", file, "--ignore-not-found")
