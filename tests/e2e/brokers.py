"""A BrokerCluster on a live Kubernetes, with its ZooKeeper, as a test sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.registry import pulled
from tests.e2e.environment import DeadlineError, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.environment import Environment

READY_SECONDS = 240.0
MOVE_SECONDS = 300.0
KAFKA_IMAGE = pulled("broker-operator/kafka:3.9.2")
USUAL = {"throttle": "50Mi", "maxMovesPerBroker": 5}
"""The defaults of `spec.reassignment`, for a test to put back."""
SLOWEST = {"throttle": "100Ki", "maxMovesPerBroker": 1}
"""A move of some minutes, that outlasts what is done to it on a busy machine too.

Each source sends up to 1 MiB at once, whatever the throttle: two sources would be twice as fast.
"""

SMALL = {
    # What lets several brokers live on two cores and little memory.
    "background.threads": "2",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.io.buffer.size": "65536",
    "log.index.size.max.bytes": "65536",
    "log.segment.bytes": "16777216",
    "num.io.threads": "2",
    "num.network.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
    "offsets.topic.num.partitions": "3",
    "replica.lag.time.max.ms": "10000",
    # Kafka's own: tests slow moves down to rates at which a shorter memory would let bursts pass.
    "replication.quota.window.num": "11",
    "transaction.state.log.num.partitions": "1",
    "zookeeper.session.timeout.ms": "9000",
}


def make_zookeeper(env: Environment, namespace: str) -> None:
    """Have the single-node ZooKeeper of manifests/ in a namespace, made if it is missing."""
    env.kubectl("create", "namespace", namespace, check=False)
    env.apply_folder("manifests/zookeeper", namespace)
    where = ("-n", namespace, "statefulset/zookeeper", "--timeout=180s")
    env.kubectl("rollout", "status", *where)


def broker_cluster(name: str, namespace: str, connect: str, **spec: Any) -> dict[str, Any]:
    """Return a small BrokerCluster object; `spec` adds to or replaces fields."""
    fields: dict[str, Any] = {
        "replicas": 3,
        "zookeeper": {"connect": connect},
        "config": SMALL,
        "storage": {"size": "1Gi"},
        "jvm": {"heap": "192Mi"},
        "resources": {"requests": {"cpu": "50m", "memory": "420Mi"}, "limits": {"memory": "600Mi"}},
        "pod": {"terminationGracePeriodSeconds": 60},
    }
    return {
        "apiVersion": "broker-operator.dev/v1alpha1",
        "kind": "BrokerCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": fields | spec,
    }


@dataclass
class Brokers:
    """One BrokerCluster under test.

    Attributes:
        name, namespace: Of the BrokerCluster.
        tools: Name of the pod that Kafka's own tools run in, once there is one.
    """

    env: Environment
    name: str
    namespace: str
    tools: str = field(default="tools", init=False)

    @property
    def bootstrap(self) -> str:
        """Address for clients in the cluster."""
        return f"{self.name}-broker.{self.namespace}:9092"

    # --- what there is

    def object(self) -> dict[str, Any]:
        """Return the BrokerCluster."""
        return self.env.get("bc", self.name, "-n", self.namespace)

    def status(self) -> dict[str, Any]:
        """Return its status, empty before the first pass."""
        status: dict[str, Any] = self.object().get("status") or {}
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        """Return one condition, empty if it is not there."""
        found = (c for c in self.status().get("conditions", []) if c["type"] == kind)
        return next(found, {})

    def reassignments(self) -> list[dict[str, Any]]:
        """Return the Reassignments that the operator has made for it, oldest first."""
        label = f"broker-operator.dev/cluster={self.name}"
        items: list[dict[str, Any]] = self.env.get("ra", "-n", self.namespace, "-l", label)["items"]
        own = [ra for ra in items if ra["spec"]["cause"] != "Requested"]
        return sorted(own, key=lambda ra: int(ra["metadata"]["name"].rpartition("-")[2]))

    def unfinished(self) -> dict[str, Any] | None:
        """Return the Reassignment under way, if any."""
        open_ones: list[dict[str, Any]] = [r for r in self.reassignments() if not finished(r)]
        return open_ones[-1] if open_ones else None

    def replicas(self) -> int:
        """Return `spec.replicas` of the StatefulSet."""
        item = self.env.get("statefulset", f"{self.name}-broker", "-n", self.namespace)
        return int(item["spec"]["replicas"])

    def on_broker(self, broker: int) -> int | None:
        """Return how many replicas the status counts on a broker, None if it is not listed."""
        rows = self.status().get("brokers", [])
        return next((row.get("replicas") for row in rows if row["id"] == broker), None)

    def events(self, reason: str, seconds: float) -> list[dict[str, Any]]:
        """Return the Events of this cluster with this reason, once there are any.

        An Event follows the status that it speaks of by a moment.
        """
        chosen = f"reason={reason},involvedObject.name={self.name}"
        where = ("events", "-n", self.namespace, "--field-selector", chosen)

        def found() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = self.env.get(*where)["items"]
            return items

        return eventually(f"an Event {reason}", found, seconds)

    # --- what to do

    def scale(self, replicas: int) -> None:
        """Run `kubectl scale`."""
        where = ("-n", self.namespace, f"bc/{self.name}", f"--replicas={replicas}")
        self.env.kubectl("scale", *where)

    def patch(self, spec: dict[str, Any]) -> None:
        """Merge something into the spec."""
        patch = json.dumps({"spec": spec})
        where = ("bc", self.name, "-n", self.namespace, "--type=merge", "-p", patch)
        self.env.kubectl("patch", *where)

    def until(self, what: str, look: Callable[[], Any], seconds: float) -> Any:
        """Wait for something; the failure shows the cluster's status and the operator's log."""
        try:
            return eventually(what, look, seconds)
        except DeadlineError as error:
            status = json.dumps(self.status(), indent=1)
            raise DeadlineError(f"{error}\n{status}\n{self.env.operator_log()}") from None

    def ready(self, brokers: int = 3, seconds: float = READY_SECONDS) -> None:
        """Wait until this many brokers are ready and nothing is going on."""
        self.until(f"{brokers} settled brokers", lambda: self.is_settled(brokers), seconds)

    def is_settled(self, brokers: int) -> bool:
        """Whether this many brokers are wanted and ready, and nothing is going on."""
        item = self.object()
        status = item.get("status") or {}
        kinds = {c["type"]: c for c in status.get("conditions", [])}
        return (
            status.get("observedGeneration") == item["metadata"]["generation"]
            and item["spec"]["replicas"] == brokers == status.get("replicas")
            and status.get("readyReplicas") == brokers
            and kinds["Available"]["status"] == "True"
            and "Reconciling" not in kinds
            and "Stalled" not in kinds
            and "reassignment" not in status
        )

    def moving(self, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Wait until a Reassignment has moved something but not all, and return it."""

        def halfway() -> dict[str, Any] | None:
            item = self.unfinished()
            progress = (item or {}).get("status", {}).get("progress", {})
            return item if item and progress.get("movesDone", 0) > 0 else None

        found: dict[str, Any] = self.until("a move under way", halfway, seconds)
        return found

    def run(self, *command: str, stdin: str | None = None) -> str:
        """Run one of Kafka's own tools in a pod of its own, and return what it says."""
        self._have_tools()
        where = ("exec", "-i", "-n", self.namespace, self.tools, "--")
        return self.env.kubectl(*where, *command, stdin=stdin).stdout

    def topics(self, *args: str) -> str:
        """Run kafka-topics."""
        return self.run("/opt/kafka/bin/kafka-topics", "--bootstrap-server", self.bootstrap, *args)

    def create_topic(self, name: str, partitions: int, replication: int = 3) -> None:
        """Create a topic with Kafka's own tool."""
        sizes = ("--partitions", str(partitions), "--replication-factor", str(replication))
        self.topics("--create", "--topic", name, *sizes)

    def produce(self, topic: str, records: int) -> None:
        """Write records of 200 bytes that the brokers acknowledge on all replicas."""
        lines = "".join(f"{n:0200d}\n" for n in range(records))
        tool = ("/opt/kafka/bin/kafka-console-producer", "--bootstrap-server", self.bootstrap)
        self.run(*tool, "--topic", topic, "--producer-property", "acks=all", stdin=lines)

    def count(self, topic: str) -> int:
        """Return how many records a topic has, by its end offsets."""
        tool = ("/opt/kafka/bin/kafka-get-offsets", "--bootstrap-server", self.bootstrap)
        listed = self.run(*tool, "--topic", topic).split()
        return sum(int(line.rpartition(":")[2]) for line in listed)

    def throttles(self) -> str:
        """Return every replication throttle in force, as Kafka's own tool shows it."""
        tool = ("/opt/kafka/bin/kafka-configs", "--bootstrap-server", self.bootstrap, "--describe")
        found = [self.run(*tool, "--entity-type", kind) for kind in ("brokers", "topics")]
        lines = (line.strip() for text in found for line in text.splitlines())
        return "\n".join(line for line in lines if "throttled" in line)

    def _have_tools(self) -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.tools, "namespace": self.namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "tools",
                        "image": KAFKA_IMAGE,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", "infinity"],
                        "env": [{"name": "KAFKA_HEAP_OPTS", "value": "-Xmx96m"}],
                    }
                ],
            },
        }
        if self.env.kubectl("get", "pod", self.tools, "-n", self.namespace, check=False).returncode:
            self.env.apply(pod)
        where = ("-n", self.namespace, f"pod/{self.tools}", "--for=condition=Ready")
        self.env.kubectl("wait", *where, "--timeout=120s")


def finished(reassignment: dict[str, Any]) -> bool:
    """Whether a Reassignment has ended, one way or the other."""
    conditions = reassignment.get("status", {}).get("conditions", [])
    return any(
        c["type"] == "Complete"
        and (c["status"] == "True" or c["reason"] in ("Superseded", "Undone", "Refused"))
        for c in conditions
    )


def delete(brokers: Brokers) -> None:
    """Delete a cluster with its volumes."""
    where = ("-n", brokers.namespace)
    brokers.env.kubectl("delete", f"bc/{brokers.name}", *where, "--timeout=60s")
    label = f"app.kubernetes.io/instance={brokers.name}"
    brokers.env.kubectl("delete", "pvc", *where, "-l", label, "--wait=false")
