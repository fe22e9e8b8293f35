"""A cluster and its Reassignments as they are read, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from broker_operator.api.quantity import format_bytes
from broker_operator.api.reassignment import Reassignment, State, decode_reassignment
from broker_operator.cli.brokers.subject import CLUSTER, REASSIGNMENT
from broker_operator.cli.errors import InputError
from broker_operator.core import lifecycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker_operator.cli.brokers.access import Session
    from broker_operator.cli.brokers.subject import Subject
    from broker_operator.core.model import KubeObject

_LEAVING = frozenset({"Draining", "Leaving"})


@dataclass(frozen=True, slots=True)
class View:
    """A BrokerCluster and all of its Reassignments.

    Attributes:
        cluster: The BrokerCluster as read.
        reassignments: The operator's own by number, then those of users as they came.
        chosen: The Reassignment that was named; None if the cluster was.
    """

    cluster: KubeObject
    reassignments: tuple[Reassignment, ...]
    chosen: Reassignment | None = None

    @property
    def name(self) -> str:
        """The BrokerCluster's name."""
        return str(self.cluster["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.cluster["metadata"]["namespace"])

    @property
    def status(self) -> Mapping[str, Any]:
        """Its status; empty before the operator has seen it."""
        status: Mapping[str, Any] = self.cluster.get("status") or {}
        return status

    @property
    def seen(self) -> bool:
        """Whether the status speaks of the spec as it is now."""
        generation = self.cluster["metadata"].get("generation", 1)
        return bool(self.status.get("observedGeneration") == generation)

    @property
    def paused(self) -> bool:
        """Whether the operator leaves the cluster alone."""
        return bool(self.cluster["spec"].get("paused"))

    @property
    def brokers(self) -> Sequence[Mapping[str, Any]]:
        """Rows of `status.brokers`."""
        rows: Sequence[Mapping[str, Any]] = self.status.get("brokers") or ()
        return rows

    @property
    def queue(self) -> tuple[Reassignment, ...]:
        """What is not finished, in the order in which it is served."""
        return lifecycle.queue(self.reassignments)

    @property
    def active(self) -> Reassignment | None:
        """The Reassignment whose turn it is."""
        return next(iter(self.queue), None)

    @property
    def last(self) -> Reassignment | None:
        """The Reassignment that ended last."""
        ended = [r for r in self.reassignments if r.finished]
        return max(ended, key=lambda r: (r.ended, r.number, r.name), default=None)

    @property
    def settled(self) -> bool:
        """Whether nothing is going on, nothing waits, and nobody has to do anything.

        After an undo the operator says for as long as it lasts that nothing moves by itself.
        """
        reconciling = self.condition("Reconciling")
        return (
            self.seen
            and self.condition("Stalled") is None
            and (reconciling is None or reconciling["reason"] == State.UNDONE)
            and "reassignment" not in self.status
            and not self.queue
            and lifecycle.undoing(self.reassignments) is None
        )

    def condition(self, kind: str) -> Mapping[str, Any] | None:
        """Return one of the cluster's conditions."""
        return condition(self.status, kind)

    def command(self, verb: str, subject: str, *options: str) -> str:
        """Return a command of this plugin to be pasted into a shell."""
        return " ".join(("kubectl brokers", verb, subject, "-n", self.namespace, *options))


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the condition of this type, None if it is not there."""
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), None)


def leaves(broker: Mapping[str, Any]) -> bool:
    """Whether a row of `status.brokers` is that of a broker that is asked to leave."""
    return broker.get("state") in _LEAVING


def why(reassignment: Reassignment) -> str:
    """Return what the operator says about the state that a Reassignment is in."""
    found = condition(reassignment.status, lifecycle.COMPLETE)
    return str(found["message"]) if found else "the operator has not looked at it yet"


def waits_for_approval(reassignment: Reassignment) -> bool:
    """Whether its plan is stored and may not start before it is approved."""
    approved = condition(reassignment.status, lifecycle.APPROVED)
    return approved is not None and approved["status"] == "False" and not reassignment.finished


def planned(reassignment: Reassignment) -> str:
    """Return the figures of its plan in a sentence."""
    found = condition(reassignment.status, lifecycle.PLANNED)
    if found:
        return str(found["message"])
    return f"{reassignment.moves} replica moves of {format_bytes(reassignment.bytes)}"


def asks(reassignment: Reassignment) -> str:
    """Return what a Reassignment is for: its cause, or what its user asks for."""
    if not reassignment.requested:
        return str(reassignment.cause)
    wishes = []
    if reassignment.evacuate:
        wishes.append("evacuate " + ", ".join(map(str, sorted(reassignment.evacuate))))
    if reassignment.replace:
        wishes.append("replace {} by {}".format(*reassignment.replace))
    if reassignment.replication_factor:
        wishes.append(f"replication factor {reassignment.replication_factor}")
    if reassignment.topics:
        wishes.append("topics " + ", ".join(reassignment.topics))
    return "; ".join(wishes) or "balance"


async def look(session: Session, subject: Subject) -> View:
    """Read a cluster and its Reassignments, found by the name of either.

    Raises:
        InputError: There is no such object, or several clusters to choose from.
    """
    bodies = await session.api.list(REASSIGNMENT, session.namespace)
    if subject.kind == REASSIGNMENT:
        return await _around(session, subject.name, bodies)
    cluster = await _cluster(session, subject.name)
    if cluster is None:
        hint = ""
        if any(body["metadata"]["name"] == subject.name for body in bodies):
            hint = f"; Reassignment {subject.name} is named ra/{subject.name}"
        raise InputError(f"no BrokerCluster {subject.name} in namespace {session.namespace}{hint}")
    return _view(cluster, bodies)


async def _around(session: Session, name: str, bodies: Sequence[KubeObject]) -> View:
    """Return the view in which one Reassignment is chosen."""
    body = next((body for body in bodies if body["metadata"]["name"] == name), None)
    if body is None:
        raise InputError(f"no Reassignment {name} in namespace {session.namespace}")
    of = str(body["spec"]["cluster"])
    cluster = await session.api.get(CLUSTER, session.namespace, of)
    if cluster is None:
        raise InputError(f"Reassignment {name} is for BrokerCluster {of}, which does not exist")
    view = _view(cluster, bodies)
    its = next((r for r in view.reassignments if r.name == name), None)
    return replace(view, chosen=its or decode_reassignment(body))


async def _cluster(session: Session, name: str) -> KubeObject | None:
    """Return the cluster of this name; without a name, the only one."""
    if name:
        return await session.api.get(CLUSTER, session.namespace, name)
    found = await session.api.list(CLUSTER, session.namespace)
    if not found:
        raise InputError(f"no BrokerCluster in namespace {session.namespace}; another one? -n NAME")
    if len(found) > 1:
        names = ", ".join(sorted(body["metadata"]["name"] for body in found))
        raise InputError(
            f"namespace {session.namespace} has {len(found)} BrokerClusters, name one: {names}"
        )
    return found[0]


def _view(cluster: KubeObject, bodies: Sequence[KubeObject]) -> View:
    name, uid = cluster["metadata"]["name"], cluster["metadata"]["uid"]
    its = [r for r in map(decode_reassignment, bodies) if r.cluster == name]
    # The order is that of the operator; those of a former cluster of this name are not this one's.
    found = [r for r in its if r.owner in ("", uid) and (r.requested or r.owner)]
    found.sort(key=lambda r: (r.requested, r.created if r.requested else "", r.number, r.name))
    return View(cluster, tuple(found))
