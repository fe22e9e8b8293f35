"""The Reassignment object and the ConfigMaps that hold its plan."""

from __future__ import annotations

import base64
import gzip
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

from broker_operator.api.reassignment import (
    CLUSTER_LABEL,
    SWEEP_FINALIZER,
    UNDOES_ANNOTATION,
    UNDOES_UID_ANNOTATION,
    Cause,
    Reassignment,
)
from broker_operator.api.spec import API_VERSION, BrokerCluster
from broker_operator.core import naming
from broker_operator.core.facts import StoredPlan
from broker_operator.core.planner.kafka_json import from_json, to_json
from broker_operator.core.render.common import owner_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker_operator.core.model import BrokerId, KubeObject
    from broker_operator.core.planner.report import Report

PART_BYTES = 500_000
"""Compressed bytes per ConfigMap; base64 makes it 667 kB. The report of a thousand brokers fits
beside that into the API server's 1 MiB."""

ORIGIN = "origin.json.gz"
TARGET = "target.json.gz"
FIRST = "first.json.gz"
REPORT = "report.json"


def reassignment(
    cluster: BrokerCluster,
    number: int,
    cause: Cause,
    brokers: Iterable[BrokerId],
    undoes: Reassignment | None = None,
) -> KubeObject:
    """Render a new Reassignment; `undoes` is the one whose moves it takes back."""
    name = naming.reassignment(cluster.name, number)
    body = adopted(cluster, name)
    if undoes:
        body["metadata"]["annotations"] = {
            UNDOES_ANNOTATION: undoes.name,
            UNDOES_UID_ANNOTATION: undoes.uid,
        }
    spec = {"cluster": cluster.name, "cause": str(cause), "brokers": sorted(brokers)}
    return {**body, "spec": spec}


def adopted(cluster: BrokerCluster, name: str, uid: str = "") -> KubeObject:
    """Render what makes a Reassignment the cluster's: it goes with it, once its throttle is swept.

    `uid`: only that very object, where it exists already.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "Reassignment",
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            **({"uid": uid} if uid else {}),
            "labels": _labels(cluster),
            "ownerReferences": [owner_reference(cluster)],
            "finalizers": [SWEEP_FINALIZER],
        },
    }


def plan_config_maps(
    cluster: BrokerCluster, reassignment: Reassignment, plan: StoredPlan, report: Report
) -> list[KubeObject]:
    """Render the stored plan: its assignments in Kafka's own JSON, gzip, cut to fit.

    The first one also has the report, as plain text. Nothing but people reads it.
    """
    parts = [
        *((ORIGIN, chunk) for chunk in _chunks(to_json(plan.origin))),
        *((TARGET, chunk) for chunk in _chunks(to_json(plan.target))),
    ]
    if plan.first is not None:
        parts += ((FIRST, chunk) for chunk in _chunks(to_json(plan.first)))
    version = str(reassignment.body["metadata"].get("resourceVersion", ""))
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": naming.plan_config_map(
                    reassignment.name, reassignment.uid, version, plan.hash, index
                ),
                "namespace": cluster.namespace,
                "labels": _labels(cluster),
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": "Reassignment",
                        "name": reassignment.name,
                        "uid": reassignment.uid,
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "binaryData": {key: base64.b64encode(chunk).decode()},
            **({} if index else {"data": {REPORT: _text(report)}}),
        }
        for index, (key, chunk) in enumerate(parts)
    ]


def plan_labels(cluster: BrokerCluster) -> dict[str, str]:
    """Return the labels by which the ConfigMaps of a cluster's plans are found."""
    return {CLUSTER_LABEL: cluster.name}


def read_plan(config_maps: Sequence[KubeObject]) -> StoredPlan:
    """Put a stored plan together again; ConfigMaps in the order of their parts.

    Raises:
        ValueError: A part is missing, damaged or was edited into something else.
    """
    joined: dict[str, bytes] = {ORIGIN: b"", TARGET: b"", FIRST: b""}
    for config_map in config_maps:
        data: dict[str, Any] = config_map.get("binaryData") or {}
        for key in joined:
            joined[key] += base64.b64decode(data.get(key, ""), validate=True)
    try:
        origin, target, first = (gzip.decompress(its).decode() for its in joined.values())
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ValueError(f"the stored plan is damaged: {error}") from error
    return StoredPlan(from_json(origin), from_json(target), from_json(first) if first else None)


def plan_figures(report: Report) -> dict[str, Any]:
    """Return what `Reassignment.status.plan` shows of a report, in whole numbers, rounded up.

    Predicted times are there only under a throttle, and with sizes to foretell them from.
    """
    seconds = {
        "predictedSeconds": report.predicted_seconds,
        "idealSeconds": report.ideal_seconds,
    }
    return {
        "byteBound": report.byte_bound,
        "replicaSpread": _change(report.replica_spread_before, report.replica_spread),
        "leaderSpread": _change(report.leader_spread_before, report.leader_spread),
        "topicSpread": _change(report.topic_spread_before, report.topic_spread),
        "rackViolations": _change(report.rack_violations_before, report.rack_violations),
        "batches": report.batches,
        "partitionsWithoutSize": report.partitions_without_size,
        **{key: math.ceil(value) for key, value in seconds.items() if value is not None},
    }


def _change(before: float, after: float) -> dict[str, int]:
    return {"before": math.ceil(before), "after": math.ceil(after)}


def _text(report: Report) -> str:
    return json.dumps(report.to_dict(), separators=(",", ":"))


def _chunks(text: str) -> list[bytes]:
    # mtime=0: the same plan must give the same bytes.
    packed = gzip.compress(text.encode(), mtime=0)
    return [packed[i : i + PART_BYTES] for i in range(0, len(packed), PART_BYTES)]


def _labels(cluster: BrokerCluster) -> dict[str, str]:
    return {
        **naming.labels(cluster.name, cluster.spec.version),
        "app.kubernetes.io/component": "reassignment",
        CLUSTER_LABEL: cluster.name,
    }
