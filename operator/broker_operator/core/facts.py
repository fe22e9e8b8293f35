"""Everything observed in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from broker_operator.core.lifecycle import queue, undoing
from broker_operator.core.planner.types import plan_hash

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


@dataclass(frozen=True)
class StoredPlan:
    """What a Reassignment wants, read back from its ConfigMaps.

    Attributes:
        origin: Where the plan found everything.
        target: Where it leads; what it leaves alone is as in the origin.
        first: Where everything was before the first plan of the same Reassignment, if this is a
            later one and that differs.
    """

    origin: Assignment
    target: Assignment
    first: Assignment | None = None

    @cached_property
    def ends(self) -> Assignment:
        """The part of the target that differs from the origin: all that the plan may move.

        What it leaves alone is somebody else's to move, whatever becomes of the balance: nobody has
        been shown, nor has approved, that it would be taken back.
        """
        return _differing(self.target, self.origin)

    @property
    def way_back(self) -> Assignment:
        """Where everything was before the first plan."""
        return self.origin if self.first is None else self.first

    @cached_property
    def starts(self) -> Assignment:
        """The part of the way back that is of partitions which its plans may have moved."""
        return _differing(self.way_back, self.origin, self.target)

    @cached_property
    def hash(self) -> str:
        """Identifies the plan: see `plan_hash`."""
        later = () if self.first is None else (self.first,)
        return plan_hash(self.origin, self.target, *later)


def _differing(lists: Assignment, *others: Assignment) -> Assignment:
    """Return the lists that any of the others does not have, too."""
    found = {
        topic: {
            number: replicas
            for number, replicas in partitions.items()
            if any(its.get(topic, {}).get(number) != replicas for its in others)
        }
        for topic, partitions in lists.items()
    }
    return {topic: partitions for topic, partitions in found.items() if partitions}


@dataclass(frozen=True, slots=True)
class Facts:
    """One pass's observations. A part that could not be read is Unknown.

    Attributes:
        status: The cluster's own status as last written.
        children: Live child objects by (kind, name), for drift repair.
        claims: The brokers' PersistentVolumeClaims that are to stay, by name: bytes that their
            volume has, None while that is not known.
        reassignments: All of this cluster's: its own by number, then those of users as they came.
        intruders: Unfinished ones that only claim to be the operator's.
        last_number: Highest number in the name of any Reassignment that is called like ours.
        plan: The stored plan of the active reassignment; None while there is none.
        former: That of the reassignment that `undoing` names, if it is another; else None.
    """

    cluster: BrokerCluster
    status: Mapping[str, Any]
    children: Mapping[tuple[str, str], KubeObject]
    broker_sets: tuple[BrokerSet, ...]
    pods: Mapping[BrokerId, Pod]
    claims: Mapping[str, int | None]
    rivals: tuple[Rival, ...]
    reassignments: tuple[Reassignment, ...]
    intruders: tuple[Reassignment, ...]
    last_number: int
    plan: StoredPlan | Unknown | None
    former: StoredPlan | Unknown | None
    ensemble: Ensemble | Unknown
    kafka: KafkaView | Unknown

    @property
    def own(self) -> tuple[Reassignment, ...]:
        """Those that the operator has made, oldest first."""
        return tuple(r for r in self.reassignments if not r.requested)

    @property
    def queue(self) -> tuple[Reassignment, ...]:
        """What is not finished, in the order in which it is served: see `lifecycle.queue`."""
        return queue(self.reassignments)

    @property
    def active(self) -> Reassignment | None:
        """The reassignment whose turn it is."""
        return next(iter(self.queue), None)

    @property
    def undoing(self) -> Reassignment | None:
        """The reassignment whose moves go back, or shall: see `lifecycle.undoing`."""
        return undoing(self.reassignments)

    @property
    def recorded_cluster_id(self) -> str:
        """The Kafka cluster id seen first; empty before."""
        return str(self.status.get("clusterId") or "")
