"""`Reassignment`: one walk from an assignment to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from broker_operator.api.conditions import is_true

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER_LABEL = "broker-operator.dev/cluster"
SWEEP_FINALIZER = "broker-operator.dev/throttle-sweep"
"""Holds a deleted Reassignment until the throttle that it recorded is swept."""


class Cause(StrEnum):
    """Why partitions move."""

    SCALE_UP = "ScaleUp"
    SCALE_DOWN = "ScaleDown"
    REBALANCE = "Rebalance"


@dataclass(frozen=True, slots=True)
class ThrottleRecord:
    """The throttle that this reassignment set, written down before it was set.

    Attributes:
        rate: Bytes per second and broker.
        brokers: Brokers whose rates are ours.
        topics: Topics whose replica lists are ours.
        former: Rates that it had before; a broker that was away may still have one.
        swept: It is removed, but from these brokers, which were away.
    """

    rate: int
    brokers: tuple[int, ...]
    topics: tuple[str, ...]
    former: tuple[int, ...] = ()
    swept: bool = False

    def as_status(self) -> dict[str, Any]:
        """Return it in the form of `Reassignment.status.throttle`."""
        status: dict[str, Any] = {
            "bytesPerSecond": self.rate,
            "brokers": list(self.brokers),
            "topics": list(self.topics),
        }
        if self.former:
            status["formerBytesPerSecond"] = list(self.former)
        if self.swept:
            status["swept"] = True
        return status


@dataclass(frozen=True, slots=True)
class Reassignment:
    """A Reassignment object, decoded.

    Attributes:
        brokers: Ids that shall hold all replicas at its end.
        finished: Its Complete condition is True, or it was superseded.
        succeeded: It ended because everything is where it should be.
        plan_hash: Hash of the stored plan, empty before there is one.
        config_maps: Names of the ConfigMaps that hold the plan.
        moves: Moves from its very start to the end of the present plan.
        bytes: Bytes likewise.
        body: The object as read, for writes that need its resourceVersion or status.
    """

    name: str
    uid: str
    cause: Cause
    brokers: frozenset[int]
    finished: bool
    succeeded: bool
    deleting: bool
    plan_hash: str
    config_maps: tuple[str, ...]
    moves: int
    bytes: int
    throttle: ThrottleRecord | None
    finalizers: tuple[str, ...]
    body: Mapping[str, Any]

    @property
    def number(self) -> int:
        """The counter at the end of its name; they are made in this order. 0 if it has none."""
        tail = self.name.rpartition("-")[2]
        return int(tail) if tail.isdigit() else 0

    @property
    def status(self) -> Mapping[str, Any]:
        """`status` as read."""
        status: Mapping[str, Any] = self.body.get("status") or {}
        return status


def decode_reassignment(body: Mapping[str, Any]) -> Reassignment:
    """Read a Reassignment object. Its schema is enforced by the API server."""
    metadata, spec = body["metadata"], body["spec"]
    status = body.get("status") or {}
    plan = status.get("plan") or {}
    conditions = status.get("conditions") or []
    complete = is_true(conditions, "Complete")
    superseded = any(
        c.get("type") == "Complete" and c.get("reason") == "Superseded" for c in conditions
    )
    return Reassignment(
        name=metadata["name"],
        uid=metadata["uid"],
        cause=Cause(spec["cause"]),
        brokers=frozenset(spec["brokers"]),
        finished=complete or superseded,
        succeeded=complete and not superseded,
        deleting="deletionTimestamp" in metadata,
        plan_hash=plan.get("hash", ""),
        config_maps=tuple(plan.get("configMaps") or ()),
        moves=plan.get("moves", 0),
        bytes=plan.get("bytes", 0),
        throttle=_decode_throttle(status.get("throttle")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        body=body,
    )


def _decode_throttle(record: Mapping[str, Any] | None) -> ThrottleRecord | None:
    if not record:
        return None
    return ThrottleRecord(
        rate=record["bytesPerSecond"],
        brokers=tuple(record.get("brokers") or ()),
        topics=tuple(record.get("topics") or ()),
        former=tuple(record.get("formerBytesPerSecond") or ()),
        swept=record.get("swept", False),
    )
