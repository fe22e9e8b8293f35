"""The metrics: what is exposed, what is not known, and what is forgotten."""

from __future__ import annotations

import re
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator import __version__
from broker_operator.adapters.metrics import Metrics

if TYPE_CHECKING:
    from broker_operator.ports import Telemetry

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
CLUSTER = ("kafka", "orders")

STATUS: dict[str, Any] = {
    "replicas": 4,
    "readyReplicas": 3,
    "conditions": [
        {"type": "Available", "status": "True"},
        {"type": "BrokersReady", "status": "False"},
    ],
    "brokers": [
        {"id": 0, "state": "Ready", "replicas": 10, "leaders": 4, "bytes": 1048576},
        {"id": 1, "state": "Ready", "replicas": 11, "leaders": 3, "bytes": 2097152},
        {"id": 2, "state": "Starting", "replicas": 9},
        {"id": 3, "state": "Draining", "replicas": 2},
    ],
    "reassignment": {"name": "orders-2", "percent": 40, "blockedBy": ["Broker 2 is away."]},
}
PROGRESS: dict[str, Any] = {
    "plan": {"moves": 20, "bytes": 1000},
    "progress": {"movesDone": 8, "bytesDone": 400, "bytesPerSecond": 50},
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, metric: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"broker_operator_{metric}", labels)


def of_cluster(metrics: Metrics, metric: str, **labels: str) -> float | None:
    return value(metrics, metric, namespace=CLUSTER[0], name=CLUSTER[1], **labels)


def series_of(metrics: Metrics, cluster: str) -> set[str]:
    return {
        sample.name
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("name") == cluster
    }


def test_it_is_what_the_loop_tells(metrics: Metrics) -> None:
    telemetry: Telemetry = metrics
    telemetry.pass_finished(*CLUSTER, "success", 0.2)
    telemetry.pass_finished(*CLUSTER, "success", 3.0)
    telemetry.pass_finished(*CLUSTER, "error", 0.2)
    telemetry.pass_finished(*CLUSTER, "retry", 0.2)
    assert of_cluster(metrics, "reconcile_total", result="success") == 2
    assert of_cluster(metrics, "reconcile_total", result="error") == 1
    assert of_cluster(metrics, "reconcile_errors_total") == 2
    assert of_cluster(metrics, "reconcile_duration_seconds_count") == 4
    assert of_cluster(metrics, "reconcile_duration_seconds_bucket", le="0.25") == 3
    assert of_cluster(metrics, "reconcile_duration_seconds_sum") == pytest.approx(3.6)


def test_a_cluster_that_never_failed_has_zero_errors(metrics: Metrics) -> None:
    metrics.pass_finished(*CLUSTER, "waiting", 0.2)
    assert of_cluster(metrics, "reconcile_errors_total") == 0


def test_writes_are_counted_by_target(metrics: Metrics) -> None:
    for target in ("kubernetes", "kubernetes", "zookeeper"):
        metrics.write(target)
    assert value(metrics, "writes_total", target="kubernetes") == 2
    assert value(metrics, "writes_total", target="zookeeper") == 1
    assert value(metrics, "writes_total", target="kafka") is None


def test_errors_outside_of_passes_are_counted_by_kind(metrics: Metrics) -> None:
    metrics.error("task")
    assert value(metrics, "errors_total", kind="task") == 1


def test_the_version_and_the_process_are_told(metrics: Metrics) -> None:
    assert value(metrics, "info", version=__version__) == 1
    memory = metrics.registry.get_sample_value("process_resident_memory_bytes")
    assert memory is not None
    assert memory > 1024**2


def test_gauges_follow_the_status(metrics: Metrics) -> None:
    metrics.cluster(*CLUSTER, STATUS)
    assert of_cluster(metrics, "cluster_brokers") == 4
    assert of_cluster(metrics, "cluster_brokers_ready") == 3
    assert of_cluster(metrics, "cluster_brokers_desired") == 3
    assert of_cluster(metrics, "cluster_brokers_in_state", state="Ready") == 2
    assert of_cluster(metrics, "cluster_brokers_in_state", state="Draining") == 1
    assert of_cluster(metrics, "cluster_broker_replicas", broker="1") == 11
    assert of_cluster(metrics, "cluster_broker_leaders", broker="1") == 3
    assert of_cluster(metrics, "cluster_broker_bytes", broker="1") == 2097152
    assert of_cluster(metrics, "cluster_reassignment_percent") == 40
    assert of_cluster(metrics, "cluster_reassignment_blockers") == 1


def test_each_condition_has_one_status(metrics: Metrics) -> None:
    def told(kind: str) -> list[float | None]:
        statuses = ("True", "False", "Unknown")
        return [
            of_cluster(metrics, "cluster_condition", type=kind, status=status)
            for status in statuses
        ]

    metrics.cluster(*CLUSTER, STATUS)
    assert told("Available") == [1, 0, 0]
    assert told("BrokersReady") == [0, 1, 0]
    assert told("Stalled") == [None, None, None]
    unknown = [{"type": "Available", "status": "Unknown"}]
    metrics.cluster(*CLUSTER, STATUS | {"conditions": unknown})
    assert told("Available") == [0, 0, 1]
    assert told("BrokersReady") == [None, None, None]


def test_what_is_not_known_has_no_series(metrics: Metrics) -> None:
    metrics.cluster(*CLUSTER, STATUS)
    rows = [{"id": 0, "state": "Unknown"}, {"id": 1, "state": "Unknown"}]
    metrics.cluster(*CLUSTER, {"replicas": 4, "brokers": rows})
    assert of_cluster(metrics, "cluster_brokers") == 4
    assert of_cluster(metrics, "cluster_brokers_in_state", state="Unknown") == 2
    assert series_of(metrics, CLUSTER[1]) == {
        "broker_operator_cluster_brokers",
        "broker_operator_cluster_brokers_in_state",
    }


def test_a_status_without_anything_leaves_nothing(metrics: Metrics) -> None:
    metrics.cluster(*CLUSTER, STATUS)
    metrics.cluster(*CLUSTER, {})
    assert series_of(metrics, CLUSTER[1]) == set()


def test_the_reassignment_under_way_is_told_and_ends_with_it(metrics: Metrics) -> None:
    metrics.cluster(*CLUSTER, STATUS)
    metrics.reassignment(*CLUSTER, "orders-2", PROGRESS)
    assert of_cluster(metrics, "cluster_reassignment_moves_remaining") == 12
    assert of_cluster(metrics, "cluster_reassignment_bytes_remaining") == 600
    assert of_cluster(metrics, "cluster_reassignment_bytes_per_second") == 50
    done = {key: item for key, item in STATUS.items() if key != "reassignment"}
    metrics.cluster(*CLUSTER, done)
    assert not {name for name in series_of(metrics, CLUSTER[1]) if "reassignment" in name}


def test_a_planned_reassignment_has_no_progress_yet(metrics: Metrics) -> None:
    metrics.reassignment(*CLUSTER, "orders-2", {"plan": {"moves": 20}})
    assert of_cluster(metrics, "cluster_reassignment_moves_remaining") is None


def test_moves_are_counted_as_they_are_made(metrics: Metrics) -> None:
    def look(name: str, done: int) -> float | None:
        metrics.reassignment(*CLUSTER, name, {"progress": {"movesDone": done}})
        return of_cluster(metrics, "cluster_replicas_moved_total")

    assert look("orders-2", 8) == 0  # made before this process looked
    assert look("orders-2", 11) == 3
    assert look("orders-2", 11) == 3
    assert look("orders-2", 10) == 3  # planned anew
    assert look("orders-2", 14) == 7
    assert look("orders-3", 1) == 7
    assert look("orders-3", 5) == 11


def test_a_dropped_cluster_leaves_nothing_and_others_stay(metrics: Metrics) -> None:
    for name in ("orders", "other"):
        metrics.pass_finished("kafka", name, "success", 0.1)
        metrics.cluster("kafka", name, STATUS)
        metrics.reassignment("kafka", name, "x", PROGRESS)
    metrics.drop(*CLUSTER)
    assert series_of(metrics, "orders") == set()
    assert len(series_of(metrics, "other")) > 15
    metrics.drop(*CLUSTER)


def test_prometheus_is_answered_until_the_end(metrics: Metrics) -> None:
    with closing(metrics):
        port = metrics.serve(0, "127.0.0.1")
        metrics.write("kafka")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    assert 'broker_operator_writes_total{target="kafka"} 1.0' in text
    assert "_created" not in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)
    metrics.close()


def test_two_instances_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.write("kafka")
    assert value(second, "writes_total", target="kafka") is None


def test_the_document_names_each_metric_with_its_labels(metrics: Metrics) -> None:
    metrics.pass_finished(*CLUSTER, "success", 0.1)
    metrics.cluster(*CLUSTER, STATUS)
    metrics.reassignment(*CLUSTER, "orders-2", PROGRESS)
    metrics.write("kafka")
    metrics.error("task")
    exposed = {
        (f"{family.name}_total" if family.type == "counter" else family.name): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in metrics.registry.collect()
        if family.name.startswith("broker_operator_")
    }
    rows = re.findall(
        r"^\| `(broker_operator_\w+)` \|[^|]*\| ([^|]*) \|", DOCUMENT.read_text(), re.MULTILINE
    )
    documented = {name: set(re.findall(r"\w+", labels)) for name, labels in rows}
    assert documented == exposed
