"""`BrokerCluster`: what a user asks for.

The CRD's schema and CEL rules refuse most nonsense at `kubectl apply`. Decoding checks again,
because an object may be older than the CRD it is read with, and adds what CEL cannot say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isqrt
from typing import TYPE_CHECKING, Any

from broker_operator.api.quantity import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GROUP = "broker-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/finalizer"

DEFAULT_KAFKA_VERSION = "3.9.2"
MIN_HEAP_HEADROOM = 150 * 1024**2
"""Bytes that a broker's JVM needs beside its heap; with less the kernel kills it."""

MAX_BROKERS_PER_RACK = 100
"""Broker ids are dealt out in hundreds: each rack, or a cluster without racks, has one hundred."""

ADAPTIVE = "Adaptive"
"""The value of `reassignment.throttle` that stands for no fixed rate."""

OPERATOR_KEYS = frozenset(
    {
        "advertised.host.name",
        "advertised.listeners",
        "advertised.port",
        "broker.id",
        "broker.id.generation.enable",
        "broker.rack",
        "control.plane.listener.name",
        "controller.listener.names",
        "controller.quorum.bootstrap.servers",
        "controller.quorum.voters",
        "host.name",
        "inter.broker.listener.name",
        "listener.security.protocol.map",
        "listeners",
        "log.dir",
        "log.dirs",
        "node.id",
        "port",
        "process.roles",
        "security.inter.broker.protocol",
        "zookeeper.connect",
        "zookeeper.metadata.migration.enable",
    }
)
"""Broker properties that the operator sets or relies on; `spec.config` may not name them."""


class InvalidSpecError(Exception):
    """The spec cannot be served until its user changes it.

    Attributes:
        problems: One sentence each: field, value, way out.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Via(StrEnum):
    """How batches reach the controller."""

    ZOOKEEPER = "ZooKeeper"
    ADMIN_API = "AdminApi"


class Approval(StrEnum):
    """Whether a plan starts by itself."""

    AUTOMATIC = "Automatic"
    REQUIRED = "Required"


class WhenScaledDown(StrEnum):
    """What becomes of the volume of a broker that was drained and removed."""

    RETAIN = "Retain"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class Rack:
    """One failure domain; its brokers get `broker.rack` = name."""

    name: str
    node_selector: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Storage:
    """The volume of each broker. `size` stays the quantity as written."""

    size: str
    class_name: str
    when_scaled_down: WhenScaledDown


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What users may add to the broker pods."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    affinity: Mapping[str, Any]
    priority_class_name: str
    termination_grace_period_seconds: int


@dataclass(frozen=True, slots=True)
class AdaptiveThrottle:
    """Limits of a throttle that adapts, in bytes per second and broker."""

    min: int
    max: int


@dataclass(frozen=True, slots=True)
class ReassignmentSettings:
    """How partitions move.

    Attributes:
        throttle: Bytes per second and broker; None = no throttle.
    """

    via: Via
    approval: Approval
    throttle: int | AdaptiveThrottle | None
    max_moves_per_broker: int
    history: int

    @property
    def foretold_rate(self) -> int | None:
        """The rate that predictions count on; of an adaptive one, the geometric mean of its limits.

        Bytes per second and broker; None = no throttle.
        """
        if isinstance(self.throttle, AdaptiveThrottle):
            return isqrt(self.throttle.min * self.throttle.max)
        return self.throttle


@dataclass(frozen=True, slots=True)
class BrokerClusterSpec:
    """`spec` of a BrokerCluster. `heap` is in bytes; `racks` is empty for a cluster without."""

    replicas: int
    version: str
    image: str
    racks: tuple[Rack, ...]
    connect: str
    config: Mapping[str, str]
    storage: Storage
    resources: Mapping[str, Any]
    heap: int
    pod: PodSettings
    reassignment: ReassignmentSettings
    paused: bool


@dataclass(frozen=True, slots=True)
class BrokerCluster:
    """One custom resource, as read at the start of a pass."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: BrokerClusterSpec

    def ensemble(self, domain: str) -> str:
        """Return the ensemble path in one canonical spelling: equal ones are one Kafka cluster.

        `domain` is the DNS domain of the Kubernetes cluster.
        """
        return ensemble_key(self.spec.connect, self.namespace, domain)


def ensemble_key(connect: str, namespace: str, domain: str) -> str:
    """Return a connect string with its hosts sorted and spelled as full service names.

    `zk:2181/a`, `zk.team:2181/a` and `zk.team.svc:2181/a` are one path when read in namespace
    `team`, because that is how the pods' resolver completes them.
    """
    servers, slash, chroot = connect.partition("/")
    hosts = sorted(_full_name(server, namespace, domain) for server in servers.split(",") if server)
    return ",".join(hosts) + slash + chroot.rstrip("/")


def _full_name(server: str, namespace: str, domain: str) -> str:
    host, _, port = server.strip().lower().rpartition(":")
    host = host.rstrip(".")
    for suffix in (f".svc.{domain}", ".svc"):
        host = host.removesuffix(suffix)
    if "." not in host:
        host = f"{host}.{namespace.lower()}"
    return f"{host}:{port}"


def decode_cluster(body: Mapping[str, Any]) -> BrokerCluster:
    """Read a BrokerCluster object.

    Raises:
        InvalidSpecError: With every problem found, not only the first.
    """
    metadata = body["metadata"]
    reader = _Reader(body.get("spec") or {})
    spec = _decode_spec(reader)
    if reader.problems:
        raise InvalidSpecError(tuple(reader.problems))
    return BrokerCluster(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        created=metadata.get("creationTimestamp", ""),
        spec=spec,
    )


class _Reader:
    """Walks a spec by dotted path and collects what is wrong instead of stopping there."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = spec
        self.problems: list[str] = []

    def problem(self, path: str, value: object, why: str) -> None:
        self.problems.append(f"spec.{path}: {value!r} {why}")

    def get(self, path: str, default: Any, kind: type | tuple[type, ...]) -> Any:
        node: Any = self.spec
        for key in path.split("."):
            node = node.get(key) if isinstance(node, dict) else None
            if node is None:
                return default
        if not isinstance(node, kind) or (kind is int and isinstance(node, bool)):
            names = "/".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            self.problem(path, node, f"must be of type {names}")
            return default
        return node

    def parsed(self, path: str, default: str, parse: Callable[[str], int]) -> int:
        text = self.get(path, default, (str, int))
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"spec.{path}: {error}")
            return parse(default)

    def choice(self, path: str, kind: type[StrEnum]) -> Any:
        members = list(kind)
        text = self.get(path, members[0].value, str)
        if text not in members:
            self.problem(path, text, f"must be one of {', '.join(members)}")
            return members[0]
        return kind(text)


def _decode_spec(reader: _Reader) -> BrokerClusterSpec:
    replicas = reader.get("replicas", 0, int)
    if replicas < 1:
        reader.problem("replicas", replicas, "must be at least 1; delete the cluster to end it")
    version = reader.get("version", DEFAULT_KAFKA_VERSION, str)
    if not version.startswith("3."):
        reader.problem("version", version, "must be a Kafka 3 release: Kafka 4 has no ZooKeeper")
    racks = _decode_racks(reader)
    if replicas and len(racks) > replicas:
        reader.problem("racks", [r.name for r in racks], f"are more than the {replicas} replicas")
    if replicas > (room := MAX_BROKERS_PER_RACK * max(1, len(racks))):
        reader.problem("replicas", replicas, f"is above {room}, the broker ids of its racks")
    return BrokerClusterSpec(
        replicas=replicas,
        version=version,
        image=reader.get("image", "", str),
        racks=racks,
        connect=_decode_connect(reader),
        config=_decode_config(reader),
        storage=Storage(
            size=reader.get("storage.size", "10Gi", str),
            class_name=reader.get("storage.className", "", str),
            when_scaled_down=reader.choice("storage.whenScaledDown", WhenScaledDown),
        ),
        resources=reader.get("resources", {}, dict),
        heap=_decode_heap(reader),
        pod=PodSettings(
            labels=reader.get("pod.labels", {}, dict),
            annotations=reader.get("pod.annotations", {}, dict),
            node_selector=reader.get("pod.nodeSelector", {}, dict),
            tolerations=tuple(reader.get("pod.tolerations", [], list)),
            affinity=reader.get("pod.affinity", {}, dict),
            priority_class_name=reader.get("pod.priorityClassName", "", str),
            termination_grace_period_seconds=reader.get(
                "pod.terminationGracePeriodSeconds", 180, int
            ),
        ),
        reassignment=ReassignmentSettings(
            via=reader.choice("reassignment.via", Via),
            approval=reader.choice("reassignment.approval", Approval),
            throttle=_decode_throttle(reader),
            max_moves_per_broker=reader.get("reassignment.maxMovesPerBroker", 5, int),
            history=reader.get("reassignment.history", 5, int),
        ),
        paused=reader.get("paused", default=False, kind=bool),
    )


def _decode_racks(reader: _Reader) -> tuple[Rack, ...]:
    racks: list[Rack] = []
    for entry in reader.get("racks", [], list):
        if not isinstance(entry, dict):
            reader.problem("racks", entry, "must be of type dict")
            continue
        name = str(entry.get("name", ""))
        if not name or name in {rack.name for rack in racks}:
            reader.problem("racks", name, "is not a name, or is used twice")
            continue
        selector = entry.get("nodeSelector") or {}
        if not isinstance(selector, dict):
            reader.problem("racks", selector, "must be of type dict")
            continue
        selector = dict(selector)
        if zone := entry.get("zone"):
            selector["topology.kubernetes.io/zone"] = zone
        racks.append(Rack(name=name, node_selector=selector))
    return tuple(racks)


def _decode_connect(reader: _Reader) -> str:
    connect = str(reader.get("zookeeper.connect", "", str))
    servers, slash, chroot = connect.partition("/")
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit():
            reader.problem("zookeeper.connect", connect, f"has {server!r} where host:port must be")
    if slash and (not chroot or chroot.endswith("/") or "//" in connect):
        reader.problem("zookeeper.connect", connect, "must end in a chroot such as /orders")
    return connect


def _decode_config(reader: _Reader) -> dict[str, str]:
    config = reader.get("config", {}, dict)
    for key, value in config.items():
        if key in OPERATOR_KEYS:
            reader.problem(f"config[{key}]", value, "is set by the operator; remove it")
        if not isinstance(value, str) or "\n" in value or "\n" in key:
            reader.problem(f"config[{key}]", value, "must be one line of text, in quotes")
    return {key: str(value) for key, value in config.items()}


def _decode_throttle(reader: _Reader) -> int | AdaptiveThrottle | None:
    if reader.get("reassignment.throttle", "", (str, int)) != ADAPTIVE:
        return reader.parsed("reassignment.throttle", "50Mi", parse_bytes) or None
    least = reader.parsed("reassignment.adaptive.min", "4Mi", parse_bytes)
    most = reader.parsed("reassignment.adaptive.max", "500Mi", parse_bytes)
    if not 0 < least <= most:
        reader.problem("reassignment.adaptive", f"{least}-{most}", "must have 0 < min <= max")
    return AdaptiveThrottle(least, most)


def _decode_heap(reader: _Reader) -> int:
    heap = reader.parsed("jvm.heap", "1Gi", parse_bytes)
    limit = reader.get("resources.limits.memory", None, (str, int))
    if limit is not None:
        try:
            room = parse_bytes(limit) - heap
        except ValueError as error:
            reader.problems.append(f"spec.resources.limits.memory: {error}")
        else:
            if room < MIN_HEAP_HEADROOM:
                reader.problem(
                    "resources.limits.memory", limit, "must exceed jvm.heap by at least 150Mi"
                )
    return heap
