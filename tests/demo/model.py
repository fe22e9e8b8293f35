"""What the demo shows, taken from what Kubernetes and the traffic say. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokerRow:
    """One broker, as the BrokerCluster's status has it."""

    id: int
    state: str
    replicas: int
    leaders: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Move:
    """One Reassignment.

    Attributes:
        state: Reason of its Complete condition: Moving, Succeeded, Superseded.
        rate: Bytes per second, 0 while it cannot be told.
        blocked: What holds it up, in sentences.
    """

    name: str
    cause: str
    state: str
    moves: int
    lower_bound: int
    moves_done: int
    bytes: int
    bytes_done: int
    percent: int
    rate: int
    eta: str
    blocked: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether it has ended well."""
        return self.state == "Succeeded"


@dataclass(frozen=True, slots=True)
class Flow:
    """The traffic in its last second. Latencies in milliseconds, None without any ack."""

    produced: float = 0.0
    consumed: float = 0.0
    acked: int = 0
    read: int = 0
    p99: float | None = None
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment.

    Attributes:
        at: Seconds since the demo began.
        stateful_set: `spec.replicas` of the brokers' StatefulSet.
        trouble: Message of the Stalled condition, empty without.
        events: The operator's Events, oldest first: (seconds since epoch as text, sentence).
    """

    at: float
    phase: str
    brokers: tuple[BrokerRow, ...] = ()
    move: Move | None = None
    flow: Flow = field(default_factory=Flow)
    stateful_set: int = 0
    desired: int = 0
    ready: int = 0
    trouble: str = ""
    events: tuple[str, ...] = ()


def broker_rows(status: Line) -> tuple[BrokerRow, ...]:
    """Read `status.brokers`."""
    return tuple(
        BrokerRow(
            id=row["id"],
            state=row.get("state", "Unknown"),
            replicas=row.get("replicas", 0),
            leaders=row.get("leaders", 0),
            bytes=row.get("bytes", 0),
        )
        for row in status.get("brokers", [])
    )


def move(reassignment: Line) -> Move:
    """Read a Reassignment object."""
    status = reassignment.get("status", {})
    plan, progress = status.get("plan", {}), status.get("progress", {})
    complete = [c for c in status.get("conditions", []) if c["type"] == "Complete"]
    return Move(
        name=reassignment["metadata"]["name"],
        cause=reassignment["spec"]["cause"],
        state=complete[0]["reason"] if complete else "Planning",
        moves=plan.get("moves", 0),
        lower_bound=plan.get("lowerBound", 0),
        moves_done=progress.get("movesDone", 0),
        bytes=plan.get("bytes", 0),
        bytes_done=progress.get("bytesDone", 0),
        percent=progress.get("percent", 0),
        rate=progress.get("bytesPerSecond", 0),
        eta=progress.get("eta", ""),
        blocked=tuple(status.get("blockedBy", [])),
    )


def flow(produce: Line | None, consume: Line | None) -> Flow:
    """Read the last lines of producer and consumer."""
    produce, consume = produce or {}, consume or {}
    names = ("missing", "reordered", "duplicated", "corrupt")
    return Flow(
        produced=produce.get("rate", 0.0),
        consumed=consume.get("rate", 0.0),
        acked=produce.get("acked", 0),
        read=consume.get("consumed", 0),
        p99=produce.get("p99_ms"),
        faults=sum(consume.get(name, 0) for name in names) + produce.get("failed", 0),
    )


def stalled(status: Line) -> str:
    """Return the message of the Stalled condition, empty without one."""
    found = (c["message"] for c in status.get("conditions", []) if c["type"] == "Stalled")
    return next(found, "")
