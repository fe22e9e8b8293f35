"""`kubectl brokers explain`: why a broker is not gone yet, why nothing happens: the facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from broker_operator.api.quantity import format_bytes, format_seconds
from broker_operator.api.reassignment import State
from broker_operator.cli.brokers.access import where_options, with_session
from broker_operator.cli.brokers.status import headline, progress
from broker_operator.cli.brokers.subject import subject_argument
from broker_operator.cli.brokers.view import (
    asks,
    condition,
    leaves,
    look,
    planned,
    waits_for_approval,
    why,
)
from broker_operator.cli.errors import printable
from broker_operator.cli.output.screen import showing
from broker_operator.cli.parameters import Interruptible
from broker_operator.core import lifecycle
from broker_operator.ports import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.cli.brokers.access import Session
    from broker_operator.cli.brokers.subject import Subject
    from broker_operator.cli.brokers.view import View
    from broker_operator.core.model import KubeObject

EVENTS = 8
"""The newest so many are shown."""
RECENT = timedelta(hours=1)

_HELD = frozenset({State.AWAITING_APPROVAL, State.PAUSED})
_BEGUN = frozenset({State.MOVING, State.WAITING})
_TOLD = frozenset({"AwaitingApproval", "ReassignmentPaused", "Paused"})
"""Reasons of conditions that a fact about the Reassignment or the cluster tells with its way."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that holds the cluster up, and the command that a person has for it, if any."""

    text: str
    way: str = ""


@click.command(cls=Interruptible)
@subject_argument
@click.option(
    "--broker", type=click.IntRange(min=0), metavar="ID", help="Begin with this broker: why is it."
)
@where_options
def explain(subject: Subject, broker: int | None) -> None:
    """Say why a broker is not gone yet, or why nothing happens: every fact that holds it up."""
    view, events, note = with_session(lambda session: _read(session, subject))
    found = list(facts(view, broker))
    with showing():
        click.echo(printable(headline(view)))
        for fact in found:
            click.echo(printable(f"- {fact.text}"))
            if fact.way:
                click.echo(printable(f"  {fact.way}"))
        if not found:
            click.echo("Nothing holds it up: nothing moves, nothing waits.")
        for line in (*_told(events, datetime.now(UTC)), *note):
            click.echo(printable(line))


async def _read(session: Session, subject: Subject) -> tuple[View, list[KubeObject], list[str]]:
    """Return the view, its Events and, if those cannot be read, a note."""
    view = await look(session, subject)
    try:
        events = await session.api.list("Event", session.namespace)
    except RejectedError as error:
        return view, [], [f"note: Events cannot be read: {error}"]
    its = {("BrokerCluster", view.name)}
    its |= {("Reassignment", r.name) for r in view.reassignments}
    about = (e.get("involvedObject") or {} for e in events)
    chosen = [
        event
        for event, its_object in zip(events, about, strict=True)
        if (its_object.get("kind"), its_object.get("name")) in its
    ]
    return view, chosen, []


def facts(view: View, broker: int | None = None) -> Iterator[Fact]:
    """Yield what holds a cluster up, the first thing to look at first, each thing once.

    Args:
        view: What was read.
        broker: Begin with this one, whatever its state is.
    """
    said: set[str] = set()
    for fact in _all(view, broker):
        if fact.text not in said:
            said.add(fact.text)
            yield fact


def _all(view: View, broker: int | None) -> Iterator[Fact]:
    if broker is not None:
        yield _broker(view, broker)
    yield from _whole(view)
    if view.chosen is not None and view.chosen is not view.active:
        yield _other(view, view.chosen)
    if view.active is not None:
        yield from _active(view, view.active)
    yield from _conditions(view)
    for row in view.brokers:
        if row["id"] != broker and row.get("state") != "Ready":
            yield _row(view, row)
    for late in lifecycle.overtaken(view.reassignments):
        for blocker in late.status.get("blockedBy") or ():
            yield Fact(f"{late.name}: {blocker}")
    last = view.last
    if view.active is None and last is not None and last.state is State.REFUSED:
        yield Fact(f"{last.name} ({asks(last)}) was refused: {why(last)}")


def _whole(view: View) -> Iterator[Fact]:
    """Yield what holds up everything."""
    if "deletionTimestamp" in view.cluster["metadata"]:
        yield Fact(f"{view.name} is being deleted")
    elif not view.seen:
        seen, now = view.status.get("observedGeneration", 0), view.cluster["metadata"]["generation"]
        yield Fact(
            f"the operator has not looked at the spec yet (generation {now}, seen {seen}): does "
            "it run, and does it watch this namespace?",
            "kubectl get deployments -A -l app.kubernetes.io/name=broker-operator",
        )
    if view.paused:
        yield Fact(
            "spec.paused is true: the operator leaves the cluster alone",
            view.command("resume", view.name),
        )
    if (stalled := view.condition("Stalled")) is not None:
        yield Fact(f"Stalled ({stalled['reason']}): {stalled['message']}")


def _conditions(view: View) -> Iterator[Fact]:
    """Yield the conditions that are not as they should be, with the operator's words."""
    told = set((view.active.status.get("blockedBy") or ()) if view.active else ())
    if (stalled := view.condition("Stalled")) is not None:
        told.add(stalled["message"])
    for kind, good in (("Reconciling", None), ("Available", "True"), ("BrokersReady", "True")):
        found = view.condition(kind)
        if found is None or found["status"] == good or found["reason"] in _TOLD:
            continue
        if found["message"] not in told:
            told.add(found["message"])
            yield Fact(f"{kind} ({found['reason']}): {found['message']}")


def _active(view: View, active: Reassignment) -> Iterator[Fact]:
    """Yield what the Reassignment whose turn it is waits for, and who waits for it."""
    name = f"{active.name} ({asks(active)})"
    yield from _people(view, active)
    if active.deleting:
        yield Fact(f"{name} is being deleted: its throttle has to be removed first")
    if active.undo:
        yield Fact(f"{name} shall be undone: nothing more of it is submitted")
    if active.state in _BEGUN:
        yield Fact(f"{name} is under way: {progress(active)}")
    stalled = (view.condition("Stalled") or {}).get("message")
    held = why(active) if active.state in _HELD else ""
    for blocker in active.status.get("blockedBy") or ():
        if blocker not in (held, stalled):
            yield Fact(f"{active.name} waits: {blocker}")
    for slow in (active.status.get("progress") or {}).get("slowest") or ():
        yield Fact(f"slow: {slow['topic']}-{slow['partition']}: {slow['reason']}")
    if not active.plan_hash and not active.status.get("blockedBy"):
        yield Fact(f"{name} has no plan yet: {why(active)}")
    for ahead, waiting in pairwise(view.queue):
        if waiting is not view.chosen:
            yield Fact(f"{waiting.name} ({asks(waiting)}) waits in the queue, after {ahead.name}")


def _people(view: View, active: Reassignment) -> Iterator[Fact]:
    """Yield what a person holds back, with the command that lets it go."""
    subject, name = f"ra/{active.name}", f"{active.name} ({asks(active)})"
    if waits_for_approval(active):
        approved = condition(active.status, lifecycle.APPROVED) or {}
        changed = str(approved.get("message", "")).partition("; to approve ")[0]
        again = f" ({changed})" if approved.get("reason") != "ApprovalRequired" else ""
        yield Fact(
            f"{name} waits for approval of plan {active.plan_hash}: {planned(active)}{again}",
            view.command("approve", subject, "--plan", active.plan_hash),
        )
    if active.paused:
        yield Fact(f"{name} is paused", view.command("resume", subject))


def _other(view: View, its: Reassignment) -> Fact:
    """Return what is to be said of a Reassignment whose turn it is not."""
    name = f"{its.name} ({asks(its)})"
    if its.finished:
        return Fact(f"{name} has ended as {its.state}: {why(its)}")
    if its in view.queue:
        ahead = ", ".join(r.name for r in view.queue[: view.queue.index(its)])
        return Fact(f"{name} waits in the queue, after {ahead}")
    return Fact(f"{name} is {its.state}: {why(its)}")


def _broker(view: View, broker: int) -> Fact:
    """Return what keeps a broker."""
    row = next((row for row in view.brokers if row["id"] == broker), None)
    if row is None:
        ids = ", ".join(str(row["id"]) for row in view.brokers) or "none"
        return Fact(f"broker {broker} is gone, or never was: {view.name} has {ids}")
    if row.get("state") != "Ready":
        return _row(view, row)
    for its in view.queue:
        if broker in its.evacuate or (its.replace and its.replace[0] == broker):
            return Fact(
                f"broker {broker} {_holdings(row)}; {its.name} ({asks(its)}) empties it, and it "
                "keeps running"
            )
    return Fact(
        f"broker {broker} is ready and asked for by the spec, so it stays; it {_holdings(row)}"
    )


def _row(view: View, row: Mapping[str, Any]) -> Fact:
    """Return why a broker that is not simply ready is as it is."""
    broker, pod, state = row["id"], row.get("pod", ""), row.get("state")
    look_at = f"kubectl describe pod {pod} -n {view.namespace}"
    if leaves(row):
        if row.get("replicas"):
            return Fact(
                f"broker {broker} is leaving and {_holdings(row)}: it goes once all of that is "
                "moved and it is proved empty"
            )
        return Fact(
            f"broker {broker} is leaving and holds nothing: it goes once it is proved empty"
        )
    if state == "Starting":
        return Fact(f"broker {broker}: its pod {pod} is not ready, or not registered", look_at)
    if state == "Joining":
        return Fact(f"broker {broker} is asked for and has no pod yet")
    return Fact(f"broker {broker}: its state is unknown while ZooKeeper cannot be read", look_at)


def _holdings(row: Mapping[str, Any]) -> str:
    size = f", {format_bytes(row['bytes'])}" if "bytes" in row else ""
    replicas, leaders = row.get("replicas", "?"), row.get("leaders", "?")
    return f"holds {replicas} replicas (leads {leaders}{size})"


def _told(events: Sequence[KubeObject], now: datetime) -> Iterator[str]:
    """Yield the newest Events, the last one last."""
    dated = ((_time(event), event) for event in events)
    recent = [(time, event) for time, event in dated if time and now - time <= RECENT]
    recent.sort(key=lambda pair: pair[0])
    if recent:
        yield "Events:"
    for time, event in recent[-EVENTS:]:
        age = format_seconds((now - time).total_seconds())
        times = f" (x{event['count']})" if event.get("count", 1) > 1 else ""
        yield f"  {age} ago {event['type']} {event['reason']}{times}: {event.get('message', '')}"


def _time(event: KubeObject) -> datetime | None:
    """Return when an Event was seen last; None if it does not tell, as Events of others may."""
    text = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")
    return datetime.fromisoformat(text) if text else None
