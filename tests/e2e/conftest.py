from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster import binaries
from tests.e2e.brokers import MOVE_SECONDS, Brokers, broker_cluster, make_zookeeper
from tests.e2e.environment import PREFIX, Environment, embedded
from tests.e2e.plugin import Plugin
from tests.traffic.pods import Traffic, TrafficOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import CompletedProcess

NAMESPACE = f"{PREFIX}-shared"


@pytest.fixture(scope="session")
def bare_environment() -> Iterator[Environment]:
    """A Kubernetes without the operator; the embedded one goes when the tests are over.

    On one that was given, what the tests made goes. KEEP=1 leaves it all, for looking around and
    for the next run.
    """
    if os.environ.get("CLUSTER") == "existing":
        given = Environment(kubeconfig=None, embedded=None)
        given.refuse_foreign_operator()
        try:
            yield given
        finally:
            if not os.environ.get("KEEP"):
                given.clean(PREFIX)
        return
    with embedded("e2e") as made:
        yield made


@pytest.fixture(scope="session")
def environment(bare_environment: Environment) -> Environment:
    """A Kubernetes with the operator."""
    bare_environment.install()
    return bare_environment


@pytest.fixture(scope="session")
def kubectl(bare_environment: Environment) -> Callable[..., CompletedProcess[str]]:
    """Kubectl for the cluster, with the CRDs in it."""
    bare_environment.kubectl("apply", "--server-side", "--force-conflicts", "-k", "crds")
    return bare_environment.kubectl


@pytest.fixture(scope="session")
def shared(environment: Environment) -> Brokers:
    """A cluster of three brokers, for tests to take as `brokers` or `four`."""
    make_zookeeper(environment, NAMESPACE)
    environment.apply(broker_cluster("shared", NAMESPACE, "zookeeper:2181/shared"))
    brokers = Brokers(environment, "shared", NAMESPACE)
    brokers.ready(3)
    return brokers


@pytest.fixture
def brokers(shared: Brokers) -> Iterator[Brokers]:
    """The shared cluster with three settled brokers, before and after."""
    settle(shared, 3)
    yield shared
    settle(shared, 3)


@pytest.fixture
def four(shared: Brokers) -> Brokers:
    """The same with four, which may be as many or three afterwards: the next test sees to it."""
    settle(shared, 4)
    return shared


def settle(brokers: Brokers, count: int) -> None:
    """Have so many brokers, at rest."""
    if brokers.object()["spec"]["replicas"] != count:
        brokers.scale(count)
    brokers.ready(count, MOVE_SECONDS)


@pytest.fixture
def plugin(shared: Brokers, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """The plugin, where kubectl looks for it: on the PATH."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return Plugin(shared)


@pytest.fixture(scope="session")
def filled(shared: Brokers) -> Iterator[Traffic]:
    """Checked topics with bytes in them, on the shared cluster."""
    made = Traffic(
        shared.env.kubectl,
        shared.env.kubeconfig,
        shared.namespace,
        shared.bootstrap,
        options=TrafficOptions(rate=200, program=str(binaries.kubectl())),
    )
    made.fill(topics=6, partitions=10, megabytes=60)
    yield made
    made.close()


@pytest.fixture
def traffic(filled: Traffic) -> Iterator[Traffic]:
    """The same, with no producer or consumer at work: a test starts and stops the flow."""
    yield filled
    filled.abandon()
