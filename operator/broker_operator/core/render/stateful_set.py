"""The StatefulSet of one rack's brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker_operator.api.spec import WhenScaledDown
from broker_operator.core import naming
from broker_operator.core.render.common import child, digest
from broker_operator.core.render.config import broker_properties

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.layout import Slot
    from broker_operator.core.model import BrokerId, KubeObject

USER = 1001
CONFIG_DIR = "/etc/kafka/config"
DATA_DIR = "/var/lib/kafka"
HEALTH = "/opt/kafka/bin/health"


def stateful_set(
    cluster: BrokerCluster,
    slot: Slot,
    replicas: int,
    *,
    image: str,
    domain: str,
    going: bool = False,
    empty: Iterable[BrokerId] = (),
    awaited: str = "",
) -> KubeObject:
    """Render a rack's StatefulSet with `replicas` brokers.

    Pods start in parallel, since brokers need no order, and are replaced only when deleted
    (`OnDelete`): no template change may restart a broker behind the reassignment's back.

    Volumes are deleted by Kubernetes, with the pods of brokers that go by a proof. At all other
    times the set retains them, whatever the spec says: somebody may lower it by hand.

    Args:
        cluster: The cluster.
        slot: The rack.
        replicas: Brokers to keep a pod for.
        image: Broker image.
        domain: DNS domain of the Kubernetes cluster.
        going: Pods beyond `replicas` are there still, of brokers that were proved empty.
        empty: Leaving brokers that are being proved empty.
        awaited: Which pods the set owes, and which try it is; a change of it makes Kubernetes try.
    """
    delete = going and cluster.spec.storage.when_scaled_down is WhenScaledDown.DELETE
    content = {
        "spec": {
            "replicas": replicas,
            "serviceName": naming.headless(cluster.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "ordinals": {"start": slot.start},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Delete" if delete else "Retain",
            },
            "selector": {"matchLabels": _selector(cluster, slot)},
            "template": _pod_template(cluster, slot, image, domain),
            "volumeClaimTemplates": [_claim_template(cluster)],
        }
    }
    ids = ",".join(map(str, sorted(empty)))
    notes = {naming.EMPTY_ANNOTATION: ids, naming.AWAITED_ANNOTATION: awaited}
    annotations = {key: value for key, value in notes.items() if value}
    return child(cluster, "apps/v1", "StatefulSet", slot.name, content, annotations=annotations)


def _selector(cluster: BrokerCluster, slot: Slot) -> dict[str, str]:
    labels = naming.selector(cluster.name)
    return labels | {naming.RACK_LABEL: slot.rack} if slot.rack else labels


def _pod_template(cluster: BrokerCluster, slot: Slot, image: str, domain: str) -> dict[str, Any]:
    return {
        "metadata": {
            "labels": {
                **cluster.spec.pod.labels,
                **naming.labels(cluster.name, cluster.spec.version),
                **_selector(cluster, slot),
            },
            "annotations": {
                **cluster.spec.pod.annotations,
                naming.CONFIG_HASH_ANNOTATION: digest(broker_properties(cluster)),
            },
        },
        "spec": _pod_spec(cluster, slot, image, domain),
    }


def _pod_spec(cluster: BrokerCluster, slot: Slot, image: str, domain: str) -> dict[str, Any]:
    pod = cluster.spec.pod
    rack = next((r for r in cluster.spec.racks if r.name == slot.rack), None)
    spec: dict[str, Any] = {
        "serviceAccountName": naming.brokers(cluster.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pod.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": dict(pod.affinity) or _spread(cluster),
        "containers": [_container(cluster, slot, image, domain)],
        "volumes": [
            {"name": "config", "configMap": {"name": naming.brokers(cluster.name)}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if selector := {**pod.node_selector, **(rack.node_selector if rack else {})}:
        spec["nodeSelector"] = selector
    if pod.tolerations:
        spec["tolerations"] = [dict(t) for t in pod.tolerations]
    if pod.priority_class_name:
        spec["priorityClassName"] = pod.priority_class_name
    return spec


def _spread(cluster: BrokerCluster) -> dict[str, Any]:
    """Keep brokers apart where nodes allow; a preference, so that small clusters still start."""
    term = {
        "labelSelector": {"matchLabels": naming.selector(cluster.name)},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": term}
            ]
        }
    }


def _container(cluster: BrokerCluster, slot: Slot, image: str, domain: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "kafka",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["broker"],
        "env": [
            _from_field("POD_NAME", "metadata.name"),
            _from_field("POD_NAMESPACE", "metadata.namespace"),
            {"name": "SERVICE_NAME", "value": naming.headless(cluster.name)},
            {"name": "CLUSTER_DOMAIN", "value": domain},
            {"name": "ZOOKEEPER_CONNECT", "value": cluster.spec.connect},
            {"name": "KAFKA_HEAP", "value": f"{cluster.spec.heap // 1024**2}m"},
        ],
        "ports": [
            {"name": "kafka", "containerPort": naming.KAFKA_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": naming.METRICS_PORT, "protocol": "TCP"},
        ],
        # Each command that is run in a container starts half a dozen processes, on the cores that
        # brokers need. So only the start is watched by one, until the broker runs; it goes on to
        # run as long as the JVM answers. Recovery after a crash may take hours.
        "startupProbe": {
            "exec": {"command": [HEALTH, "broker", "ready"]},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 43_200,
        },
        "livenessProbe": _agent_answers(period=10, failures=6),
        "readinessProbe": _agent_answers(period=3, failures=3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
            {"name": "data", "mountPath": DATA_DIR},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ],
    }
    if slot.rack:
        container["env"].append({"name": "BROKER_RACK", "value": slot.rack})
    if cluster.spec.resources:
        container["resources"] = dict(cluster.spec.resources)
    return container


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _agent_answers(*, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/-/healthy", "port": "metrics", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _claim_template(cluster: BrokerCluster) -> dict[str, Any]:
    """Render the volume claim; without owner, so that data outlives every object but itself."""
    storage = cluster.spec.storage
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.class_name:
        spec["storageClassName"] = storage.class_name
    return {"metadata": {"name": "data"}, "spec": spec}
