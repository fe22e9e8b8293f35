"""`Reassignment`: one walk from an assignment to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CLUSTER_LABEL = "broker-operator.dev/cluster"
UNDOES_ANNOTATION = "broker-operator.dev/undoes"
"""Name of the Reassignment whose moves this one takes back."""
UNDOES_UID_ANNOTATION = "broker-operator.dev/undoes-uid"
"""Its uid, for names are used again."""
ENDED_ANNOTATION = "broker-operator.dev/ended"
"""How it has ended, beside its status: one whose status is lost must not run again."""
SWEEP_FINALIZER = "broker-operator.dev/throttle-sweep"
"""Holds a deleted Reassignment until the throttle that it recorded is swept."""


class Cause(StrEnum):
    """Why partitions move."""

    SCALE_UP = "ScaleUp"
    SCALE_DOWN = "ScaleDown"
    REBALANCE = "Rebalance"
    UNDO = "Undo"
    REQUESTED = "Requested"  # by a user; the others are the operator's own


class State(StrEnum):
    """Where a Reassignment is in its life: the reason of its Complete condition."""

    NO_CLUSTER = "NoBrokerCluster"  # nobody serves it, so far
    QUEUED = "Queued"
    AWAITING_APPROVAL = "AwaitingApproval"
    MOVING = "Moving"
    WAITING = "Waiting"  # it has begun, and nothing of it is in flight
    PAUSED = "Paused"
    STALLED = "Stalled"
    SUCCEEDED = "Succeeded"
    SUPERSEDED = "Superseded"
    UNDONE = "Undone"
    REFUSED = "Refused"


ENDED = frozenset({State.SUCCEEDED, State.SUPERSEDED, State.UNDONE, State.REFUSED})
"""States that nothing follows."""


@dataclass(frozen=True, slots=True)
class ThrottleRecord:
    """The throttle that this reassignment set, written down before it was set.

    Attributes:
        rate: Bytes per second and broker.
        brokers: Brokers whose rates are ours.
        topics: Topics whose replica lists are ours.
        former: Rates that it had before; a broker that was away may still have one.
        swept: It is removed, but from these brokers, which were away.
        adaptive: Why the rate is what it is, while it adapts; empty for a fixed one.
        p99_before: Milliseconds that the slowest broker's 99th percentile of produce requests was
            before the first move, while it adapts; 0 if unknown.
    """

    rate: int
    brokers: tuple[int, ...]
    topics: tuple[str, ...]
    former: tuple[int, ...] = ()
    swept: bool = False
    adaptive: str = ""
    p99_before: int = 0

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
        if self.adaptive:
            status["adaptive"] = self.adaptive
        if self.p99_before:
            status["p99BeforeMilliseconds"] = self.p99_before
        return status


@dataclass(frozen=True, slots=True)
class Reassignment:
    """A Reassignment object, decoded.

    Attributes:
        cluster: Name of the BrokerCluster that it is for.
        owner: Uid of the BrokerCluster that it belongs to; empty while none has taken it in.
        created: Its creation timestamp: those of users are served in this order.
        brokers: Ids that shall hold all replicas at its end, where the operator has made it.
        evacuate: Ids that shall hold nothing at its end, and keep running.
        replace: The broker that shall hold nothing and the one that takes its place.
        topics: Names and patterns of the only topics that move; empty for all.
        replication_factor: The new one of these topics.
        approved_plan: Hash of the plan that may start, where approval is required.
        paused: Nothing more is submitted.
        undo: What it has moved shall go back.
        state: Where it is in its life.
        ended_as: How it has ended by its metadata; None if these do not tell.
        undoes: Name of the one whose moves it takes back, where its cause is that.
        undoes_uid: Uid of that one; empty if an older operator has made it.
        started: When its first plan began to be carried out; empty before.
        ended: When it ended; empty before.
        plan_hash: Hash of the stored plan, empty before there is one.
        plan_begun: Whether it is being carried out; one made anew may have to be approved first.
        plan_brokers: Ids that hold all replicas at the end of that plan.
        plan_avoids: Ids that are wanted, but were given up when that plan was made: what leaves
            other brokers does not wait for them.
        config_maps: Names of the ConfigMaps that hold the plan.
        moves: Moves from its very start to the end of the present plan.
        bytes: Bytes likewise.
        body: The object as read, for writes that need its resourceVersion or status.
    """

    name: str
    uid: str
    cluster: str
    owner: str
    created: str
    cause: Cause
    brokers: frozenset[int]
    evacuate: frozenset[int]
    replace: tuple[int, int] | None
    topics: tuple[str, ...]
    replication_factor: int | None
    approved_plan: str
    paused: bool
    undo: bool
    undoes: str
    undoes_uid: str
    state: State
    ended_as: State | None
    started: str
    ended: str
    deleting: bool
    plan_hash: str
    plan_begun: bool
    plan_brokers: frozenset[int]
    plan_avoids: frozenset[int]
    config_maps: tuple[str, ...]
    moves: int
    bytes: int
    throttle: ThrottleRecord | None
    finalizers: tuple[str, ...]
    body: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.state in ENDED

    @property
    def forgotten(self) -> bool:
        """Whether it has ended and its status, which was lost, does not tell."""
        return self.finished and _told_state(self.status) not in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it ended because everything is where it should be."""
        return self.state is State.SUCCEEDED

    @property
    def requested(self) -> bool:
        """Whether a user has made it."""
        return self.cause is Cause.REQUESTED

    @property
    def number(self) -> int:
        """The counter at the end of its name; they are made in this order. 0 if it has none."""
        tail = self.name.rpartition("-")[2]
        return int(tail) if tail.isdigit() else 0

    def takes_back(self, other: Reassignment) -> bool:
        """Whether it is that one whose moves this one leads back.

        Where no uid is noted, as older operators noted none, it cannot be one that was made later
        under the same name.
        """
        if self.undoes != other.name:
            return False
        if self.undoes_uid:
            return self.undoes_uid == other.uid
        return other.created <= self.created

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
    replace = spec.get("replace")
    owners = metadata.get("ownerReferences") or ()
    annotations = metadata.get("annotations") or {}
    told, noted = _told_state(status), annotations.get(ENDED_ANNOTATION)
    ended_as = State(noted) if noted in ENDED else None
    return Reassignment(
        name=metadata["name"],
        uid=metadata["uid"],
        cluster=spec["cluster"],
        owner=next((owner["uid"] for owner in owners if owner.get("controller")), ""),
        created=metadata.get("creationTimestamp", ""),
        cause=Cause(spec.get("cause", Cause.REQUESTED)),
        brokers=frozenset(spec.get("brokers") or ()),
        evacuate=frozenset(spec.get("evacuate") or ()),
        replace=(replace["broker"], replace["by"]) if replace else None,
        topics=tuple(spec.get("topics") or ()),
        replication_factor=spec.get("replicationFactor"),
        approved_plan=spec.get("approvedPlan", ""),
        paused=spec.get("paused", False),
        undo=spec.get("undo", False),
        undoes=annotations.get(UNDOES_ANNOTATION, ""),
        undoes_uid=annotations.get(UNDOES_UID_ANNOTATION, ""),
        state=told if told in ENDED or ended_as is None else ended_as,
        ended_as=ended_as,
        started=status.get("startedAt", ""),
        ended=status.get("finishedAt", ""),
        deleting="deletionTimestamp" in metadata,
        plan_hash=plan.get("hash", ""),
        plan_begun=plan.get("begun", False),
        plan_brokers=frozenset(plan.get("brokers") or ()),
        plan_avoids=frozenset(plan.get("avoids") or ()),
        config_maps=tuple(plan.get("configMaps") or ()),
        moves=plan.get("moves", 0),
        bytes=plan.get("bytes", 0),
        throttle=_decode_throttle(status.get("throttle")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        body=body,
    )


def _told_state(status: Mapping[str, Any]) -> State:
    conditions: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    reason = next((c.get("reason") for c in conditions if c.get("type") == "Complete"), None)
    return State(reason) if reason in set(State) else State.QUEUED


def _decode_throttle(record: Mapping[str, Any] | None) -> ThrottleRecord | None:
    """Read what is set. A record without a rate, which its schema allows, is none."""
    rate = (record or {}).get("bytesPerSecond")
    if not record or not isinstance(rate, int):
        return None
    return ThrottleRecord(
        rate=rate,
        brokers=tuple(record.get("brokers") or ()),
        topics=tuple(record.get("topics") or ()),
        former=tuple(record.get("formerBytesPerSecond") or ()),
        swept=record.get("swept", False),
        adaptive=record.get("adaptive", ""),
        p99_before=record.get("p99BeforeMilliseconds", 0),
    )
