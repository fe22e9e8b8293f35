"""Everything observed in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import (
        Assignment,
        BrokerId,
        BrokerSet,
        Ensemble,
        KafkaView,
        KubeObject,
        Pod,
        Unknown,
    )


@dataclass(frozen=True, slots=True)
class Rival:
    """Another BrokerCluster, as far as it can collide with this one.

    Attributes:
        ensemble: Its ensemble path in canonical spelling.
        cluster_id: The Kafka cluster id that its status records, empty if none.
        created: Its creation timestamp; the older one keeps a disputed path.
    """

    namespace: str
    name: str
    uid: str
    created: str
    ensemble: str
    cluster_id: str


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What a Reassignment wants, read back from its ConfigMaps."""

    origin: Assignment
    target: Assignment


@dataclass(frozen=True, slots=True)
class Facts:
    """One pass's observations. A part that could not be read is Unknown.

    Attributes:
        status: The cluster's own status as last written.
        children: Live child objects by (kind, name), for drift repair.
        claims: Names of the brokers' PersistentVolumeClaims that are to stay.
        reassignments: All of this cluster's, oldest first.
        plan: The stored plan of the active reassignment; None while there is none.
    """

    cluster: BrokerCluster
    status: Mapping[str, Any]
    children: Mapping[tuple[str, str], KubeObject]
    broker_sets: tuple[BrokerSet, ...]
    pods: Mapping[BrokerId, Pod]
    claims: frozenset[str]
    rivals: tuple[Rival, ...]
    reassignments: tuple[Reassignment, ...]
    plan: StoredPlan | Unknown | None
    ensemble: Ensemble | Unknown
    kafka: KafkaView | Unknown

    @property
    def active(self) -> Reassignment | None:
        """The newest reassignment if it has not finished."""
        newest = self.reassignments[-1] if self.reassignments else None
        return newest if newest and not newest.finished else None

    @property
    def recorded_cluster_id(self) -> str:
        """The Kafka cluster id seen first; empty before."""
        return str(self.status.get("clusterId") or "")
