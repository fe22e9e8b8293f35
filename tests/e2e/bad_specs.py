"""Specs that the API server must refuse, each with what its message must say.

A row is a JSON merge patch on a good object. ``field`` and ``reason`` are fragments of the refusal:
a user has to read which field is wrong and why. Every CEL rule of the CRDs has a row here
(tests/unit/test_crds.py checks that).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION = "broker-operator.dev/v1alpha1"

GOOD_CLUSTER: Mapping[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "BrokerCluster",
    "metadata": {"name": "orders"},
    "spec": {
        "replicas": 3,
        "zookeeper": {"connect": "zookeeper.example:2181/orders"},
        # An operator that shares the API server leaves a paused cluster alone.
        "paused": True,
    },
}

GOOD_CLUSTER_IN_RACKS: Mapping[str, Any] = {
    **GOOD_CLUSTER,
    "metadata": {"name": "racks"},
    "spec": {
        **GOOD_CLUSTER["spec"],
        "racks": [{"name": "a", "zone": "eu-1a"}, {"name": "b", "nodeSelector": {"room": "b"}}],
    },
}

GOOD_REASSIGNMENT: Mapping[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "Reassignment",
    "metadata": {"name": "orders-1"},
    "spec": {"cluster": "orders", "cause": "ScaleUp", "brokers": [0, 1, 2, 3]},
}

GOOD_REQUEST: Mapping[str, Any] = {
    **GOOD_REASSIGNMENT,
    "metadata": {"name": "balance"},
    "spec": {"cluster": "orders"},
}

UNDONE_REQUEST: Mapping[str, Any] = {
    **GOOD_REASSIGNMENT,
    "metadata": {"name": "undone"},
    "spec": {"cluster": "orders", "undo": True},
}


@dataclasses.dataclass(frozen=True, slots=True)
class BadSpec:
    """One refusal: ``patch`` on ``good`` must be answered with ``field`` and ``reason``."""

    name: str
    patch: Mapping[str, Any]
    field: str
    reason: str
    good: Mapping[str, Any] = dataclasses.field(default_factory=lambda: GOOD_CLUSTER)


def _spec(**fields: Any) -> Mapping[str, Any]:
    return {"spec": fields}


def _connect(connect: str) -> Mapping[str, Any]:
    return _spec(zookeeper={"connect": connect})


def _config(**properties: str) -> Mapping[str, Any]:
    return _spec(config={name.replace("_", "."): value for name, value in properties.items()})


def _racks(*racks: Mapping[str, Any]) -> Mapping[str, Any]:
    return _spec(racks=list(racks))


CONNECT = "spec.zookeeper.connect"

BAD_AT_CREATION: tuple[BadSpec, ...] = (
    BadSpec(
        "name too long",
        {"metadata": {"name": "a" * 41}},
        "metadata.name",
        "may have at most 40 characters",
    ),
    BadSpec(
        "name with a dot",
        {"metadata": {"name": "orders.eu"}},
        "metadata.name",
        "must start with a letter and hold only",
    ),
    BadSpec(
        "name starts with a digit",
        {"metadata": {"name": "2-orders"}},
        "metadata.name",
        "must start with a letter and hold only",
    ),
    BadSpec(
        "name and rack name too long together",
        {"metadata": {"name": "a" * 40}, **_racks({"name": "abcde", "zone": "a"})},
        "spec.racks",
        "the name of a rack and metadata.name may have at most 44 characters together",
    ),
    BadSpec("no brokers", _spec(replicas=0), "spec.replicas", "must be at least 1"),
    BadSpec(
        "more brokers than one cluster may have",
        _spec(replicas=501),
        "spec.replicas",
        "should be less than or equal to 500",
    ),
    BadSpec(
        "more brokers than a rack can number",
        _spec(replicas=201, racks=[{"name": "a", "zone": "a"}, {"name": "b", "zone": "b"}]),
        "spec.replicas",
        "may have at most 100 brokers",
    ),
    BadSpec("replicas left out", _spec(replicas=None), "spec.replicas", "Required value"),
    BadSpec("misspelt field", _spec(replica=3), "spec.replica", "unknown field"),
    BadSpec("Kafka 4", _spec(version="4.1.0"), "spec.version", "Kafka 4 has no ZooKeeper mode"),
    BadSpec("Kafka 2", _spec(version="2.8.2"), "spec.version", "must be a full version of Kafka 3"),
    BadSpec("version cut", _spec(version="3.9"), "spec.version", "such as 3.9.2"),
    BadSpec("image with a space", _spec(image="kafka :1"), "spec.image", "must not contain spaces"),
    BadSpec(
        "more racks than brokers",
        _spec(replicas=1, racks=[{"name": "a", "zone": "a"}, {"name": "b", "zone": "b"}]),
        "spec.racks",
        "each rack needs at least one",
    ),
    BadSpec(
        "two racks of one name",
        _racks({"name": "a", "zone": "a"}, {"name": "a", "zone": "b"}),
        "spec.racks[1]",
        "Duplicate value",
    ),
    BadSpec(
        "rack without nodes",
        _racks({"name": "a"}),
        "spec.racks[0]",
        "exactly one of zone and nodeSelector",
    ),
    BadSpec(
        "rack with zone and selector",
        _racks({"name": "a", "zone": "a", "nodeSelector": {"room": "a"}}),
        "spec.racks[0]",
        "exactly one of zone and nodeSelector",
    ),
    BadSpec(
        "rack name no DNS label",
        _racks({"name": "Rack_1", "zone": "a"}),
        "spec.racks[0].name",
        "must hold only a-z, 0-9",
    ),
    BadSpec(
        "no ensemble",
        _spec(zookeeper=None),
        "spec.zookeeper",
        "Required value",
    ),
    BadSpec(
        "server without port",
        _connect("zk-0:2181,zk-1"),
        CONNECT,
        "server zk-1 has no port; write host:port",
    ),
    BadSpec("server without host", _connect(":2181"), CONNECT, "has a server without a host"),
    BadSpec("stray comma", _connect("zk-0:2181,"), CONNECT, "has a server without a host"),
    BadSpec("port too high", _connect("zk-0:70000"), CONNECT, "with a port from 1 to 65535"),
    BadSpec("port no number", _connect("zk-0:client"), CONNECT, "with a port from 1 to 65535"),
    BadSpec(
        "space between servers",
        _connect("zk-0:2181, zk-1:2181"),
        CONNECT,
        "must not contain spaces; write host:port,host:port/chroot",
    ),
    BadSpec("slash at the end", _connect("zk-0:2181/orders/"), CONNECT, "must not end with '/'"),
    BadSpec("empty name in path", _connect("zk-0:2181//a"), CONNECT, "must not contain '//'"),
    BadSpec("dots in path", _connect("zk-0:2181/../a"), CONNECT, "must not contain '.' or '..'"),
    BadSpec(
        "ZooKeeper's own path",
        _connect("zk-0:2181/zookeeper/a"),
        CONNECT,
        "the path /zookeeper is ZooKeeper's own",
    ),
    BadSpec(
        "broker id set by hand",
        _config(broker_id="7"),
        "spec.config",
        "must not set broker.id: ids come from the pods' names",
    ),
    BadSpec(
        "rack set by hand",
        _config(broker_rack="a"),
        "spec.config",
        "must not set broker.rack: ids come from the pods' names",
    ),
    BadSpec(
        "ensemble set twice",
        _config(zookeeper_connect="zk:2181"),
        "spec.config",
        "must not set zookeeper.connect: it comes from spec.zookeeper.connect",
    ),
    BadSpec(
        "listener set by hand",
        _config(advertised_listeners="PLAINTEXT://:9093"),
        "spec.config",
        "must not set advertised.listeners: the listener on port 9092 is the operator's",
    ),
    BadSpec(
        "log directory set by hand",
        _config(log_dirs="/data"),
        "spec.config",
        "must not set log.dirs: data lies on the volume of spec.storage",
    ),
    BadSpec(
        "KRaft asked for",
        _config(process_roles="broker"),
        "spec.config",
        "must not set process.roles: the cluster runs on ZooKeeper",
    ),
    BadSpec(
        "throttle set by hand",
        _config(leader_replication_throttled_rate="1"),
        "spec.config",
        "must not set leader.replication.throttled.rate: throttles come from spec.reassignment",
    ),
    BadSpec(
        "two properties in one value",
        _config(log_retention_hours="1\nbroker.id=7"),
        "spec.config",
        "holds a value with a line break",
    ),
    BadSpec(
        "property with its value as the name",
        _spec(config={"log.retention.hours=1": ""}),
        "spec.config",
        "holds a key that is no property name",
    ),
    BadSpec(
        "number without quotes",
        _spec(config={"min.insync.replicas": 2}),
        "spec.config.min.insync.replicas",
        'must be of type string: "integer"',
    ),
    BadSpec(
        "storage in no unit",
        _spec(storage={"size": "10 GB"}),
        "spec.storage.size",
        "must be a whole number of bytes, such as 10Gi",
    ),
    BadSpec(
        "storage too small",
        _spec(storage={"size": "10Mi"}),
        "spec.storage.size",
        "must be at least 100Mi",
    ),
    BadSpec(
        "unknown fate of volumes",
        _spec(storage={"whenScaledDown": "Keep"}),
        "spec.storage.whenScaledDown",
        'supported values: "Retain", "Delete"',
    ),
    BadSpec(
        "memory limit below the heap",
        _spec(jvm={"heap": "1Gi"}, resources={"limits": {"memory": "1Gi"}}),
        "spec.resources.limits",
        "memory is too small for spec.jvm.heap 1Gi: the JVM needs at least 150Mi beside its heap",
    ),
    BadSpec(
        "request above the limit",
        _spec(resources={"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}),
        "spec.resources",
        "requests must not exceed limits",
    ),
    BadSpec(
        "request in no unit",
        _spec(resources={"requests": {"memory": "2 GB"}}),
        "spec.resources.requests",
        "holds an amount that is no quantity",
    ),
    BadSpec(
        "limit in no unit",
        _spec(resources={"limits": {"memory": "much"}}),
        "spec.resources.limits",
        "holds an amount that is no quantity",
    ),
    BadSpec(
        "heap in Java's unit",
        _spec(jvm={"heap": "1g"}),
        "spec.jvm.heap",
        "must be a whole number of bytes, such as 1Gi",
    ),
    BadSpec(
        "heap too small", _spec(jvm={"heap": "64Mi"}), "spec.jvm.heap", "must be at least 128Mi"
    ),
    BadSpec(
        "label of the operator",
        _spec(pod={"labels": {"app.kubernetes.io/instance": "x"}}),
        "spec.pod.labels",
        "must not set keys under app.kubernetes.io/ or broker-operator.dev/",
    ),
    BadSpec(
        "annotation of the operator",
        _spec(pod={"annotations": {"broker-operator.dev/x": ""}}),
        "spec.pod.annotations",
        "must not set keys under broker-operator.dev/, the operator's",
    ),
    BadSpec(
        "toleration without key",
        _spec(pod={"tolerations": [{"operator": "Equal", "value": "a"}]}),
        "spec.pod.tolerations[0]",
        "needs operator Exists",
    ),
    BadSpec(
        "toleration that exists with a value",
        _spec(pod={"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
        "spec.pod.tolerations[0]",
        "takes no value",
    ),
    BadSpec(
        "no time to stop",
        _spec(pod={"terminationGracePeriodSeconds": 0}),
        "spec.pod.terminationGracePeriodSeconds",
        "should be greater than or equal to 10",
    ),
    BadSpec(
        "unknown way to move",
        _spec(reassignment={"via": "CruiseControl"}),
        "spec.reassignment.via",
        'supported values: "ZooKeeper", "AdminApi"',
    ),
    BadSpec(
        "throttle with a unit of time",
        _spec(reassignment={"throttle": "50MB/s"}),
        "spec.reassignment.throttle",
        'must be whole bytes per second, such as 50Mi, "0" for no limit, or Adaptive',
    ),
    BadSpec(
        "adaptive throttle upside down",
        _spec(reassignment={"throttle": "Adaptive", "adaptive": {"min": "2Gi"}}),
        "spec.reassignment.adaptive",
        "min must not exceed max",
    ),
    BadSpec(
        "least throttle with a unit of time",
        _spec(reassignment={"adaptive": {"min": "4MB/s"}}),
        "spec.reassignment.adaptive.min",
        "must be a whole number of bytes per second, such as 4Mi",
    ),
    BadSpec(
        "most throttle with a unit of time",
        _spec(reassignment={"adaptive": {"max": "fast"}}),
        "spec.reassignment.adaptive.max",
        "must be a whole number of bytes per second, such as 500Mi",
    ),
    BadSpec(
        "least throttle that never ends",
        _spec(reassignment={"adaptive": {"min": "1Ki"}}),
        "spec.reassignment.adaptive.min",
        "must be at least 64Ki, or moves would hardly end; use more, such as 4Mi",
    ),
    BadSpec(
        "throttle that never ends",
        _spec(reassignment={"throttle": "1Ki"}),
        "spec.reassignment.throttle",
        "must be at least 64Ki",
    ),
    BadSpec(
        "negative throttle",
        _spec(reassignment={"throttle": "-50Mi"}),
        "spec.reassignment.throttle",
        "must be at least 64Ki",
    ),
    BadSpec(
        "all moves at once",
        _spec(reassignment={"maxMovesPerBroker": 1000}),
        "spec.reassignment.maxMovesPerBroker",
        "should be less than or equal to 200",
    ),
    BadSpec(
        "unknown cause",
        _spec(cause="Whim"),
        "spec.cause",
        'supported values: "Requested", "ScaleUp", "ScaleDown", "Rebalance", "Undo"',
        GOOD_REASSIGNMENT,
    ),
    BadSpec(
        "two requests in one",
        _spec(evacuate=[1], replace={"broker": 1, "by": 2}),
        "spec",
        "takes one of evacuate, replace and replicationFactor",
        GOOD_REQUEST,
    ),
    BadSpec(
        "replication factor of no topic",
        _spec(replicationFactor=3),
        "spec",
        "replicationFactor needs topics",
        GOOD_REQUEST,
    ),
    BadSpec(
        "replacement for some topics",
        _spec(replace={"broker": 1, "by": 2}, topics=["orders"]),
        "spec",
        "replace moves all that the broker holds and takes no topics",
        GOOD_REQUEST,
    ),
    BadSpec(
        "broker that replaces itself",
        _spec(replace={"broker": 1, "by": 1}),
        "spec.replace",
        "broker and by must be two different brokers",
        GOOD_REQUEST,
    ),
    BadSpec(
        "cause of the operator",
        _spec(cause="ScaleUp"),
        "spec",
        "cause and brokers are the operator's to set; leave both out",
        GOOD_REQUEST,
    ),
    BadSpec(
        "brokers of a request",
        _spec(brokers=[0, 1]),
        "spec",
        "cause and brokers are the operator's to set; leave both out; evacuate names brokers",
        GOOD_REQUEST,
    ),
    BadSpec(
        "target broker named twice",
        _spec(brokers=[0, 1, 1]),
        "spec.brokers[2]",
        "Duplicate value",
        GOOD_REASSIGNMENT,
    ),
    BadSpec(
        "no target broker",
        _spec(brokers=[]),
        "spec.brokers",
        "should have at least 1 items",
        GOOD_REASSIGNMENT,
    ),
)

BAD_AS_A_CHANGE: tuple[BadSpec, ...] = (
    BadSpec("other ensemble", _connect("other:2181/orders"), CONNECT, "cannot be changed, for"),
    BadSpec("other path", _connect("zookeeper.example:2181/b"), CONNECT, "cannot be changed, for"),
    BadSpec(
        "larger volumes",
        _spec(storage={"size": "20Gi"}),
        "spec.storage.size",
        "cannot be changed in this release, not even to grow; put it back to 10Gi",
    ),
    BadSpec(
        "other storage class",
        _spec(storage={"className": "fast"}),
        "spec.storage.className",
        "cannot be changed, for volumes cannot change class",
    ),
    BadSpec(
        "racks brought in",
        _racks({"name": "a", "zone": "a"}),
        "spec.racks",
        "racks cannot be brought in or given up later",
    ),
    BadSpec(
        "racks given up",
        _spec(racks=None),
        "spec.racks",
        "racks cannot be brought in or given up later",
        GOOD_CLUSTER_IN_RACKS,
    ),
    BadSpec(
        "one rack removed",
        _racks({"name": "a", "zone": "eu-1a"}),
        "spec.racks",
        "a rack cannot be removed or renamed",
        GOOD_CLUSTER_IN_RACKS,
    ),
    BadSpec(
        "record rewritten",
        _spec(brokers=[0, 1]),
        "spec",
        "only approvedPlan, paused and undo can be changed",
        GOOD_REASSIGNMENT,
    ),
    BadSpec(
        "undo taken back",
        _spec(undo=False),
        "spec.undo",
        "cannot be taken back",
        UNDONE_REQUEST,
    ),
)
