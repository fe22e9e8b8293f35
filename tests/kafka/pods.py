"""What the StatefulSet controller and the kubelets do, for brokers that are plain processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.reconcile.world import NAMESPACE, claim_body, pod_body

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject
    from tests.fakes.kube import FakeKube
    from tests.kafka.cluster import KafkaCluster
    from tests.kafka.view import View


_STARTING = "ContainerCreating"


class Pods:
    """Makes the pods that StatefulSets ask for; one is ready once its broker has registered.

    It stays so while the process runs, as the probe asks the broker alone. The process of a broker
    that has a pod is started again when it has ended.

    Args:
        real: Start and stop the processes of brokers with their pods, whoever left them running.
            If not, they keep running.

    Attributes:
        held: Broker ids that are not started for now, whatever is asked for.
        settled: There is a ready pod for every broker asked for, and no other.
    """

    def __init__(
        self, kube: FakeKube, cluster: KafkaCluster, view: View, *, real: bool = False
    ) -> None:
        self._kube = kube
        self._cluster = cluster
        self._view = view
        self._real = real
        self._ready: set[str] = set()
        self.held: set[int] = set()
        self.settled = False

    def sync(self) -> None:
        """Bring pods, volumes and processes one step nearer to what the StatefulSets say."""
        sets = self._kube.all("StatefulSet")
        wanted = {
            f"{body['metadata']['name']}-{broker}": broker for body in sets for broker in ids(body)
        }
        pods = {body["metadata"]["name"] for body in self._kube.all("Pod")}
        for name in sorted(pods - set(wanted)):
            self._end(name, ordinal(name))
        if self._real and sets:
            for broker in set(self._cluster.brokers) - {*wanted.values(), *map(ordinal, pods)}:
                if self._cluster.running(broker):
                    self._cluster.end_broker(broker)
        registered = self._view.brokers()
        self.settled = pods == set(wanted)
        for name, broker in wanted.items():
            if name not in pods:
                self._kube.put(pod_body(name, problem=_STARTING))
                self._kube.put(claim_body(f"data-{name}"))
            running = self._cluster.running(broker)
            # It would be refused while the session of the process before it lasts.
            if not running and broker not in self.held | registered:
                self._cluster.launch_broker(broker)
            ready = running and (broker in registered or name in self._ready)
            self.settled = self.settled and ready and broker in registered
            if ready != (name in self._ready):
                self._kube.put(pod_body(name, problem="" if ready else _STARTING))
                (self._ready.add if ready else self._ready.discard)(name)

    def restore(self) -> None:
        """Have every broker process run again that a test, or a pod's end, has stopped."""
        for broker in self._cluster.brokers:
            if not self._cluster.running(broker):
                self._view.await_gone(broker)
                self._cluster.start_broker(broker)

    def _end(self, name: str, broker: int) -> None:
        if self._real and self._cluster.running(broker):
            if name in self._ready:
                self._ready.discard(name)
                self._kube.put(pod_body(name, problem=_STARTING))
                self._cluster.end_broker(broker)
            return
        self._ready.discard(name)
        owner = self._kube.find("StatefulSet", NAMESPACE, name.rpartition("-")[0])
        policy = (owner or {}).get("spec", {}).get("persistentVolumeClaimRetentionPolicy", {})
        self._kube.remove("Pod", NAMESPACE, name)
        if policy.get("whenScaled") == "Delete":
            self._kube.remove("PersistentVolumeClaim", NAMESPACE, f"data-{name}")


def ids(stateful_set: KubeObject) -> range:
    """Return the broker ids of a StatefulSet."""
    start = stateful_set["spec"]["ordinals"]["start"]
    return range(start, start + stateful_set["spec"]["replicas"])


def ordinal(pod: str) -> int:
    """Return the broker id in a pod's name."""
    return int(pod.rpartition("-")[2])
