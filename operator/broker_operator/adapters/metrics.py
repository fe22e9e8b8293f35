"""What Prometheus is told. docs/reference/metrics.md explains each metric to people."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.process_collector import ProcessCollector

from broker_operator import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

PREFIX = "broker_operator"
FAILED = frozenset({"error", "retry"})
"""Results of a pass that count as errors."""

_Cluster: TypeAlias = "tuple[str, str]"
_Labels: TypeAlias = "tuple[str, ...]"

_CLUSTER = ("namespace", "name")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LEAVING = frozenset({"Draining", "Leaving"})
_STATUSES = ("True", "False", "Unknown")


class _ClusterGauge:
    """A gauge with the labels of a cluster, and maybe more.

    Values are replaced before old series go, so that no scrape finds a gap.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._series: dict[_Cluster, set[_Labels]] = {}

    def set(self, cluster: _Cluster, value: float | None) -> None:
        """Set a cluster's only series; remove it if the value is not known."""
        self.replace(cluster, {} if value is None else {(): value})

    def replace(self, cluster: _Cluster, values: Mapping[_Labels, float]) -> None:
        """Replace all series of a cluster: values by the labels that are not the cluster's."""
        for labels, value in values.items():
            self._gauge.labels(*cluster, *labels).set(value)
        for labels in self._series.pop(cluster, set()) - values.keys():
            self._gauge.remove(*cluster, *labels)
        if values:
            self._series[cluster] = set(values)


class Metrics:
    """All metrics of one operator, in a registry of their own; also `ports.Telemetry`.

    What is not known has no series: it is not zero.
    """

    def __init__(self) -> None:
        # Each counter would bring a second series, of when it was made. The library forgot a type.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._server: tuple[WSGIServer, Thread] | None = None
        self._moves_seen: dict[_Cluster, tuple[str, int]] = {}
        self._gauges: list[_ClusterGauge] = []
        ProcessCollector(registry=self.registry)
        info = Gauge(f"{PREFIX}_info", "Always 1.", ("version",), registry=self.registry)
        info.labels(__version__).set(1)
        self._passes = self._counter(
            "reconcile", "Passes over a cluster by result.", (*_CLUSTER, "result")
        )
        self._failed = self._counter("reconcile_errors", "Passes that failed.", _CLUSTER)
        self._seconds = Histogram(
            f"{PREFIX}_reconcile_duration_seconds",
            "How long passes take.",
            _CLUSTER,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._errors = self._counter("errors", "Failures outside of any pass.", ("kind",))
        self._writes = self._counter(
            "writes", "Writes attempted, by what was written.", ("target",)
        )
        self._condition = self._gauge("condition", "1 for a condition's status.", "type", "status")
        self._brokers = self._gauge("brokers", "Brokers that have a pod.")
        self._ready = self._gauge("brokers_ready", "Brokers ready and registered.")
        self._desired = self._gauge("brokers_desired", "Brokers that shall stay.")
        self._states = self._gauge("brokers_in_state", "Brokers by state.", "state")
        self._of_broker = {
            key: self._gauge(f"broker_{key}", text, "broker")
            for key, text in {
                "replicas": "Replicas assigned to a broker.",
                "leaders": "Partitions that a broker leads.",
                "bytes": "Bytes of all replicas on a broker's disks.",
            }.items()
        }
        self._percent = self._gauge("reassignment_percent", "How much of it is done.")
        self._blocked = self._gauge("reassignment_blockers", "How many things hold it up.")
        self._moves_left = self._gauge("reassignment_moves_remaining", "Replicas to copy.")
        self._bytes_left = self._gauge("reassignment_bytes_remaining", "Bytes to copy.")
        self._rate = self._gauge("reassignment_bytes_per_second", "Bytes copied a second.")
        self._moved = self._counter("cluster_replicas_moved", "Replicas moved.", _CLUSTER)

    def pass_finished(self, namespace: str, name: str, result: str, seconds: float) -> None:
        """See `ports.Telemetry.pass_finished`."""
        self._passes.labels(namespace, name, result).inc()
        failed = self._failed.labels(namespace, name)  # a series from the start: 0 is known
        if result in FAILED:
            failed.inc()
        self._seconds.labels(namespace, name).observe(seconds)

    def error(self, kind: str) -> None:
        """Count a failure outside of any pass, such as a task whose exception nobody took."""
        self._errors.labels(kind).inc()

    def write(self, target: str) -> None:
        """Count one attempt to write to `target`: kubernetes, events, zookeeper or kafka."""
        self._writes.labels(target).inc()

    def cluster(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """See `ports.Telemetry.cluster`."""
        cluster = (namespace, name)
        brokers = status.get("brokers") or []
        states = Tally(row["state"] for row in brokers)
        known = bool(brokers) and "Unknown" not in states
        staying = sum(count for state, count in states.items() if state not in _LEAVING)
        self._brokers.set(cluster, status.get("replicas"))
        self._ready.set(cluster, status.get("readyReplicas"))
        self._desired.set(cluster, staying if known else None)
        self._states.replace(cluster, {(state,): count for state, count in states.items()})
        for key, gauge in self._of_broker.items():
            gauge.replace(cluster, {(str(row["id"]),): row[key] for row in brokers if key in row})
        self._condition.replace(cluster, _conditions(status.get("conditions") or []))
        moving = status.get("reassignment") or {}
        self._percent.set(cluster, moving.get("percent"))
        self._blocked.set(cluster, len(moving.get("blockedBy", ())) if moving else None)
        if not moving:
            self.reassignment(namespace, name, "", {})

    def reassignment(
        self, namespace: str, name: str, reassignment: str, status: Mapping[str, Any]
    ) -> None:
        """Take the gauges of the reassignment under way from the status of its object.

        Args:
            namespace: The cluster's.
            name: The cluster's.
            reassignment: Name of the object.
            status: Its `status`: `plan` and `progress` are read.
        """
        cluster = (namespace, name)
        plan, progress = status.get("plan") or {}, status.get("progress") or {}
        done = progress.get("movesDone")
        self._moves_left.set(cluster, _difference(plan.get("moves"), done))
        bytes_done = progress.get("bytesDone")
        self._bytes_left.set(cluster, _difference(plan.get("bytes"), bytes_done))
        self._rate.set(cluster, progress.get("bytesPerSecond"))
        if done is not None:
            # Moves made before this process first looked were counted by the one before it.
            seen, before = self._moves_seen.get(cluster, ("", 0))
            new = max(0, done - before) if seen == reassignment else 0
            self._moved.labels(*cluster).inc(new)
            self._moves_seen[cluster] = (reassignment, done)

    def drop(self, namespace: str, name: str) -> None:
        """See `ports.Telemetry.drop`."""
        self._moves_seen.pop((namespace, name), None)
        for gauge in self._gauges:
            gauge.replace((namespace, name), {})
        for metric in (self._passes, self._failed, self._seconds, self._moved):
            metric.remove_by_labels({"namespace": namespace, "name": name})

    def serve(self, port: int, address: str = "0.0.0.0") -> int:  # noqa: S104 - in a pod
        """Answer Prometheus on a thread until `close`; return the port (0 asks for any).

        Raises:
            OSError: The port is taken.
        """
        self._server = start_http_server(port, address, self.registry)
        return int(self._server[0].server_port)

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            server, thread = self._server
            self._server = None
            server.shutdown()
            server.server_close()
            thread.join()

    def _gauge(self, name: str, text: str, *labels: str) -> _ClusterGauge:
        full = f"{PREFIX}_cluster_{name}"
        gauge = _ClusterGauge(Gauge(full, text, (*_CLUSTER, *labels), registry=self.registry))
        self._gauges.append(gauge)
        return gauge

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)


def _conditions(conditions: Iterable[Mapping[str, Any]]) -> dict[_Labels, float]:
    return {
        (condition["type"], status): int(condition["status"] == status)
        for condition in conditions
        for status in _STATUSES
    }


def _difference(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else max(0, whole - part)
