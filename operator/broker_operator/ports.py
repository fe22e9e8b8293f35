"""What the reconciler needs from the world, as Protocols. Adapters implement them; tests do too.

Every call has its own deadline inside the adapter. Failures are raised as `TransientError`
(try again), or as the narrower errors named here; adapters let nothing else escape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from broker_operator.core.health import Reading
    from broker_operator.core.model import (
        Assignment,
        BrokerId,
        BrokerLogs,
        Ensemble,
        KubeObject,
        Leadership,
        PartitionState,
        Throttle,
        ThrottleConfigs,
        TopicPartition,
        Unknown,
    )


class TransientError(Exception):
    """The world did not answer, or not now; the same call may succeed later."""


class ReassignmentInProgressError(TransientError):
    """`/admin/reassign_partitions` exists already: somebody's batch is in flight."""


class ConflictError(TransientError):
    """The object exists already or has changed since it was read."""


class RejectedError(Exception):
    """The API server or the controller refused what we sent; sending it again will not help."""


class Kubernetes(Protocol):
    """The API server. Objects are plain dicts, in and out."""

    async def get(self, kind: str, namespace: str, name: str) -> KubeObject | None:
        """Return one object, None if a successful read showed that there is none."""
        ...

    async def list(
        self, kind: str, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> list[KubeObject]:
        """Return all objects of a kind; namespace None = every namespace this operator watches."""
        ...

    async def create(self, body: KubeObject) -> KubeObject:
        """Create one object; ConflictError if its name is taken."""
        ...

    async def apply(self, body: KubeObject) -> KubeObject:
        """Server-side apply as field manager `broker-operator`, force; the full owned set."""
        ...

    async def apply_status(self, body: KubeObject) -> KubeObject:
        """The same on the status subresource; `body` carries the full status.

        ConflictError if `body` has a resourceVersion and the object has changed since.
        """
        ...

    async def set_finalizers(
        self,
        body: KubeObject,
        finalizers: Iterable[str],
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Replace the finalizers of the object as read; ConflictError if it changed since.

        In the same write, set these annotations; others stay as they are.
        """
        ...

    async def delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        """Delete one object (only if it still has this uid); quiet if it is gone already."""
        ...


class Coordination(Protocol):
    """One Kafka cluster's part of a ZooKeeper ensemble."""

    async def read(self) -> Ensemble:
        """Read everything that a pass needs, each node once.

        Raises:
            TransientError: The session is not connected, or any single read failed; there is no
                partial answer.
        """
        ...

    async def submit(
        self,
        batch: Assignment,
        seen: Mapping[str, Mapping[int, PartitionState]] | None = None,
    ) -> None:
        """Create `/admin/reassign_partitions` with these targets. Never sets or deletes it.

        Nothing is created if one of these topics changes meanwhile: the versions of their znodes
        are part of the same transaction.

        Args:
            batch: Targets by topic and partition.
            seen: `Ensemble.topics` when the batch was decided on: it is void if one of its
                partitions has changed since. None if that does not matter.

        Raises:
            ReassignmentInProgressError: The node exists.
            TransientError: Not now; also while `/migration` exists.
            ValueError: The batch breaks a rule that the controller relies on but does not check:
                empty, over 200 entries, over 1,000,000 bytes, an empty replica list, a duplicate
                or negative id, a target that is not live, a partition that is unknown, on the
                move already, or not as `seen`.
        """
        ...

    async def close(self) -> None:
        """End the session."""
        ...


class BrokerAdmin(Protocol):
    """The Kafka Admin API of one cluster."""

    async def leadership(self) -> Mapping[str, Mapping[int, Leadership]]:
        """Leader and ISR of every partition (one Metadata request)."""
        ...

    async def log_dirs(
        self, brokers: Iterable[BrokerId]
    ) -> Mapping[BrokerId, BrokerLogs | Unknown]:
        """Sizes of the replicas on each broker asked; one that fails is Unknown, others go on."""
        ...

    async def reassign(self, batch: Assignment) -> None:
        """AlterPartitionReassignments (KIP-455).

        Raises:
            RejectedError: The controller refused at least one partition; the message names each.
        """
        ...

    async def elect_preferred(self, partitions: Iterable[TopicPartition]) -> None:
        """Ask for a preferred leader election (KIP-460); "not needed" is success."""
        ...

    async def throttles(
        self, brokers: Iterable[BrokerId], topics: Iterable[str]
    ) -> ThrottleConfigs:
        """Throttle settings now in force on these brokers and topics (dynamic ones only)."""
        ...

    async def min_insync(self, topics: Iterable[str]) -> Mapping[str, int]:
        """The topics' `min.insync.replicas` in force; a topic that does not exist is absent.

        Whether a topic, a broker or Kafka's default says so makes no difference. One request.

        Raises:
            RejectedError: Reading a topic's config is not allowed.
        """
        ...

    async def set_throttle(self, throttle: Throttle) -> None:
        """Set every rate and replica list; the brokers last, so that it never bites half-way."""
        ...

    async def clear_throttle(self, throttle: Throttle) -> None:
        """Delete the rates of these brokers and the replica lists of these topics.

        Returns when `throttles` shows none of these values any more.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Meters(Protocol):
    """What brokers say of themselves: their metrics."""

    async def read(self, addresses: Mapping[BrokerId, str]) -> Mapping[BrokerId, Reading | Unknown]:
        """Ask all of these brokers, each at its `host:port`; a silent one is Unknown.

        Never raises: a cluster can be served without metrics.
        """
        ...


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> datetime:
        """Wall-clock time, UTC, for timestamps in objects."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for intervals."""
        ...


class Recorder(Protocol):
    """Events for people, on the object concerned. Repeats of one event are aggregated."""

    async def event(
        self, about: KubeObject, *, reason: str, message: str, warning: bool = False
    ) -> None:
        """Post one Event. Never raises: a lost Event must not cost a pass."""
        ...


class Clients(Protocol):
    """Connections to the Kafka clusters, one per BrokerCluster, opened on demand and kept."""

    def coordination(self, connect: str, namespace: str) -> Coordination:
        """Return the client of this ZooKeeper connect string (`host:port,...[/chroot]`).

        Its host names mean what they mean to a pod in `namespace`.
        """
        ...

    def admin(self, connect: str, namespace: str, bootstrap: tuple[str, ...]) -> BrokerAdmin:
        """Return the Admin API client of the cluster at `connect`.

        `bootstrap` holds `host:port` of brokers to ask first; it may differ from call to call
        as brokers come and go.
        """
        ...

    async def release(self, connect: str, namespace: str) -> None:
        """Close what is open for a cluster that is gone."""
        ...


class Telemetry(Protocol):
    """What the loop tells the metrics."""

    def pass_finished(self, namespace: str, name: str, result: str, seconds: float) -> None:
        """Count one pass: `result` is success, waiting, retry or error."""
        ...

    def cluster(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Take a cluster's gauges from the status just computed."""
        ...

    def reassignment(
        self, namespace: str, name: str, reassignment: str, status: Mapping[str, Any]
    ) -> None:
        """Take the gauges of the reassignment under way from its `plan` and `progress`."""
        ...

    def drop(self, namespace: str, name: str) -> None:
        """Forget every series of a cluster that is gone."""
        ...
