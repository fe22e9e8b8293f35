"""The Kubernetes that the tests run on, embedded or given, with the operator installed in it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.cluster import binaries, images
from tests.cluster.cluster import Cluster
from tests.cluster.registry import pulled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "helm" / "broker-operator"
OPERATOR_NAMESPACE = "broker-operator-system"
DEPLOYMENT = "broker-operator"
PREFIX = "broker-operator-e2e"
"""Begins the names of the tests' namespaces."""
COMMAND_SECONDS = 180.0

T = TypeVar("T")


class DeadlineError(AssertionError):
    """A condition did not come true in time; the message says what was seen instead."""


def eventually(what: str, look: Callable[[], T | None], seconds: float, *, every: float = 0.5) -> T:
    """Return the first truthy answer of `look`.

    Raises:
        DeadlineError: There was none within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise DeadlineError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)


@dataclass(frozen=True)
class Environment:
    """A Kubernetes to test on.

    Attributes:
        kubeconfig: Its kubeconfig; None = kubectl's own choice.
        embedded: The embedded cluster, None if the cluster was given.
        build: Changes with the operator's image, so that a cluster that was kept gets the new one.
    """

    kubeconfig: Path | None
    embedded: Cluster | None
    build: str = "given"

    def kubectl(
        self, *args: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; with `check`, a failure raises with what it said."""
        return self._run([str(binaries.kubectl()), *args], stdin=stdin, check=check)

    def helm(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run Helm."""
        return self._run([str(binaries.helm()), *args])

    def get(self, *args: str) -> dict[str, Any]:
        """Return what `kubectl get ... -o json` says."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json").stdout)
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(bundle))

    def install(self, *values: str) -> None:
        """Install the operator with Helm, or change its values, and wait until it is there."""
        build = f"podAnnotations.build=b{self.build}"
        repositories = (
            f"image.repository={pulled('broker-operator/operator')}",
            f"kafkaImage={pulled('broker-operator/kafka')}",
        )
        settings = ("resyncSeconds=5", "logFormat=plain", build, *repositories, *values)
        self.helm(
            *("upgrade", "--install", "broker-operator", str(CHART)),
            *("--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait"),
            *("--timeout", "180s", "--reset-values"),
            *(word for value in settings for word in ("--set", value)),
        )

    def refuse_foreign_operator(self) -> None:
        """Raise if an operator is here that neither the demo nor the tests have installed."""
        where = (f"deploy/{DEPLOYMENT}", "-n", OPERATOR_NAMESPACE, "--ignore-not-found", "-o")
        build = "jsonpath={.spec.template.metadata.annotations.build}/{.metadata.name}"
        found = self.kubectl("get", *where, build).stdout
        if found.startswith("/"):
            raise AssertionError(
                f"an operator that is not ours runs in {OPERATOR_NAMESPACE}; its settings would be"
                " changed and all of its clusters disturbed: use another Kubernetes"
            )

    def served(self) -> list[str]:
        """Return the BrokerClusters of all namespaces.

        Raises:
            AssertionError: That cannot be told; nothing may be concluded then.
        """
        answer = self.kubectl("get", "bc", "-A", "-o", "name", check=False)
        if answer.returncode and "the server doesn't have a resource type" not in answer.stderr:
            raise AssertionError(f"cannot list BrokerClusters: {answer.stderr}")
        return answer.stdout.split()

    def clean(self, prefix: str) -> list[str]:
        """Remove namespaces that begin so; the operator and its CRDs, too, if they serve no more.

        Returns the BrokerClusters that are left, and kept the operator here.
        """
        names = self.kubectl("get", "namespaces", "-o", "name").stdout.split()
        for name in (n.removeprefix("namespace/") for n in names):
            if name.startswith(prefix):
                bcs = ("bc", "--all", "-n", name, "--timeout=90s")
                self.kubectl("delete", *bcs, check=False)
                self.kubectl("delete", "namespace", name)
        if left := self.served():
            return left
        release = ("broker-operator", "-n", OPERATOR_NAMESPACE)
        self.helm("uninstall", *release, "--ignore-not-found", "--wait")
        self.kubectl("delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found")
        self.kubectl("delete", "-k", str(REPOSITORY / "crds"), "--ignore-not-found")
        return []

    def apply_folder(self, folder: str, namespace: str = "") -> None:
        """Run `kubectl apply -k`, with the images from where this cluster pulls them."""
        text = self.kubectl("kustomize", str(REPOSITORY / folder)).stdout
        text = text.replace("image: broker-operator/", f"image: {pulled('broker-operator/')}")
        where = ("-n", namespace) if namespace else ()
        self.kubectl("apply", *where, "-f", "-", stdin=text)

    def metrics(self) -> dict[str, float]:
        """Return the operator's metrics: `name{labels}` -> value."""
        path = (
            f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/services/"
            "broker-operator-metrics:metrics/proxy/metrics"
        )
        lines = self.kubectl("get", "--raw", path).stdout.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def operator_log(self, lines: int = 100) -> str:
        """Return the end of the operator's log, of the crashed container too if there is one."""
        where = ("-n", OPERATOR_NAMESPACE, f"deploy/{DEPLOYMENT}", f"--tail={lines}")
        now = self.kubectl("logs", *where, check=False).stdout
        before = self.kubectl("logs", *where, "--previous", check=False)
        return (before.stdout if before.returncode == 0 else "") + now

    def _run(
        self, command: list[str], *, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ)
        if self.kubeconfig is not None:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        done = subprocess.run(
            command,
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS + 60,
            check=False,
        )
        if check and done.returncode:
            words = " ".join(command[1:])
            raise AssertionError(f"{command[0]} {words}: {done.stderr}{done.stdout}")
        return done


def provide(name: str) -> Environment:
    """Return an embedded cluster of three nodes with all images, made or mended as need be.

    Raises:
        ClusterError: It cannot be had.
    """
    cluster = Cluster(name)
    cluster.prepare()
    archives = images.build_all()
    cluster.up(3)
    cluster.load_images(list(archives.values()))
    return Environment(cluster.kubeconfig, cluster, archives["operator"].name)


@contextmanager
def embedded(name: str) -> Iterator[Environment]:
    """Have what `provide` provides; it goes in the end, but with KEEP=1.

    Raises:
        ClusterError: It cannot be had.
    """
    try:
        yield provide(name)
    finally:
        if not os.environ.get("KEEP"):
            Cluster(name).down()
