"""What all children share: identity, ownership, and how drift is told."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from broker_operator.api.quantity import parse_quantity
from broker_operator.api.spec import API_VERSION
from broker_operator.core import naming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import KubeObject


def child(
    cluster: BrokerCluster,
    api_version: str,
    kind: str,
    name: str,
    content: dict[str, Any],
    *,
    annotations: Mapping[str, str] | None = None,
) -> KubeObject:
    """Return a complete child manifest: identity, labels, owner, content, and its own hash."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": cluster.namespace,
        "labels": naming.labels(cluster.name, cluster.spec.version),
        "ownerReferences": [owner_reference(cluster)],
    }
    body = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
    if annotations:
        metadata["annotations"] = dict(annotations)
    metadata["annotations"] = {**(annotations or {}), naming.HASH_ANNOTATION: digest(body)}
    return body


def owner_reference(cluster: BrokerCluster) -> dict[str, Any]:
    """Return the reference by which a child goes when its BrokerCluster goes."""
    return {
        "apiVersion": API_VERSION,
        "kind": "BrokerCluster",
        "name": cluster.name,
        "uid": cluster.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def digest(content: object) -> str:
    """Return sixteen hex digits that change with the content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def in_sync(wanted: KubeObject, live: KubeObject | None) -> bool:
    """Whether applying `wanted` would change nothing.

    The hash in our annotation tells what we took away since; the comparison field by field tells
    what others changed. Fields that we do not set are none of our business.
    """
    return live is not None and _covers(wanted, live)


def _covers(wanted: object, live: object) -> bool:
    if isinstance(wanted, dict):
        if not wanted and live is None:
            return True
        return isinstance(live, dict) and all(_covers(v, live.get(k)) for k, v in wanted.items())
    if isinstance(wanted, list):
        if not wanted and live is None:
            return True
        return (
            isinstance(live, list)
            and len(wanted) == len(live)
            and all(_covers(w, v) for w, v in zip(wanted, live, strict=True))
        )
    return wanted == live or _same_quantity(wanted, live)


def _same_quantity(wanted: object, live: object) -> bool:
    """The API server rewrites quantities to their canonical spelling: 1024Mi becomes 1Gi."""
    if not isinstance(wanted, str | int) or not isinstance(live, str | int):
        return False
    try:
        return parse_quantity(wanted) == parse_quantity(live)
    except ValueError:
        return False
