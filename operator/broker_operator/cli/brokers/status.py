"""`kubectl brokers status`: one screen of brokers, what runs, what comes next, and why it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from broker_operator.api.quantity import format_bytes
from broker_operator.api.reassignment import State
from broker_operator.cli.brokers.access import where_options, with_session
from broker_operator.cli.brokers.subject import subject_argument
from broker_operator.cli.brokers.view import asks, leaves, look, planned, waits_for_approval, why
from broker_operator.cli.errors import printable
from broker_operator.cli.output.screen import console, grid, print_whole, shortened, showing
from broker_operator.cli.output.tables import MOST_ROWS, SHOWN, Style, fitting
from broker_operator.cli.parameters import Interruptible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rich.console import Console
    from rich.table import Table

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.cli.brokers.subject import Subject
    from broker_operator.cli.brokers.view import View

_GAUGE = 20
_POD = 2
"""A pod's name gets this many times the characters that a rack's has."""


@click.command(cls=Interruptible)
@subject_argument
@where_options
def status(subject: Subject) -> None:
    """Show brokers, what runs and how far it is, what comes next, and why anything waits."""
    view = with_session(lambda session: look(session, subject))
    to = console()
    with showing():
        for part in screen(view, to):
            if isinstance(part, Text):
                to.print(part, soft_wrap=True)
            else:
                print_whole(part, to)


def screen(view: View, to: Console) -> list[Text | Table]:
    """Return what there is to see, from top to bottom."""
    parts: list[Text | Table] = [Text(printable(line)) for line in _head(view)]
    if view.brokers:
        parts += [Text(""), _brokers(view, to), *map(Text, _left_out(view)), Text("")]
    parts += [Text(printable(line)) for line in _moves(view, Style(to))]
    return parts


def headline(view: View) -> str:
    """Return one line on the whole cluster."""
    status = view.status
    if not status:
        return f"{view.name} (namespace {view.namespace}): the operator has not looked at it yet"
    ready = f"{status.get('readyReplicas', 0)} of {status.get('replicas', 0)} brokers ready"
    available = view.condition("Available")
    served = f", {available['message']}" if available else ""
    return f"{view.name} (namespace {view.namespace}): {ready}{served}"


def progress(reassignment: Reassignment, style: Style | None = None) -> str:
    """Return how far a Reassignment is: percent, moves, bytes, rate and time left, as known.

    `style`: draw a bar too.
    """
    report: Mapping[str, Any] = reassignment.status.get("progress") or {}
    percent = report.get("percent", 0)
    gauge = f" {style.gauge(percent, _GAUGE)}" if style else ""
    words = [
        f"{percent} %{gauge}",
        f"{report.get('movesDone', 0)} of {reassignment.moves} moves",
        f"{format_bytes(report.get('bytesDone', 0))} of {format_bytes(reassignment.bytes)}",
    ]
    if "bytesPerSecond" in report:
        words.append(f"{format_bytes(report['bytesPerSecond'])}/s")
    if "eta" in report:
        words.append(f"{report['eta']} left")
    return ", ".join(words)


def _head(view: View) -> Iterator[str]:
    yield headline(view)
    if view.status and not view.seen:
        yield "The operator has not looked at the latest change of its spec yet."
    if view.paused:
        resume = view.command("resume", view.name)
        yield f"Paused: the operator leaves it alone; to go on: {resume}"
    for kind in _TROUBLE:
        found = view.condition(kind)
        if found is not None and found["reason"] not in _HELD:
            yield f"{kind} ({found['reason']}): {found['message']}"


_TROUBLE = ("Stalled", "Reconciling")
"""Conditions that are there only while they are true."""
_HELD = frozenset({"AwaitingApproval", "ReassignmentPaused", "Paused"})
"""Reasons of conditions that the lines on the Reassignment tell with the way out."""


def _moves(view: View, style: Style) -> Iterator[str]:
    """Yield what runs, what holds it up, and what comes next."""
    active, *others = view.queue or (None,)
    if (its := view.chosen) is not None and its not in view.queue:
        yield f"{its.name} ({asks(its)}) {its.state}: {why(its)}"
    if active is None:
        yield "Nothing moves, nothing waits."
        if (last := view.last) is not None and last is not view.chosen:
            yield f"Last: {last.name} ({asks(last)}) {last.state}: {why(last)}"
        return
    yield f"Now: {active.name} ({asks(active)}) {active.state}"
    if active.plan_hash:
        yield f"  plan {active.plan_hash}: {planned(active)}"
    if active.started:
        yield f"  {progress(active, style)}"
        if note := (active.status.get("progress") or {}).get("note"):
            yield f"  {note}"
    if active.throttle is not None and not active.throttle.swept:
        adaptive = f" ({active.throttle.adaptive})" if active.throttle.adaptive else ""
        yield f"  throttle {format_bytes(active.throttle.rate)}/s a broker{adaptive}"
    yield from (f"  {line}" for line in holds(view, active))
    for slow in (active.status.get("progress") or {}).get("slowest") or ():
        yield f"  slow: {slow['topic']}-{slow['partition']}: {slow['reason']}"
    for position, waiting in enumerate(others, start=1):
        yield f"{'Next' if position == 1 else '    '}: {position}. {waiting.name} ({asks(waiting)})"


def holds(view: View, active: Reassignment) -> Iterator[str]:
    """Yield what holds a Reassignment up, with the command that lets it go where there is one."""
    subject = f"ra/{active.name}"
    if waits_for_approval(active):
        way = view.command("approve", subject, "--plan", active.plan_hash)
        yield f"waits for approval: {way}"
    if active.paused:
        yield f"paused: to go on: {view.command('resume', subject)}"
    told = {(view.condition(kind) or {}).get("message") for kind in _TROUBLE}
    if active.state in (State.AWAITING_APPROVAL, State.PAUSED):
        told.add(why(active))
    for blocker in active.status.get("blockedBy") or ():
        if blocker not in told:
            yield f"waits: {blocker}"


def _brokers(view: View, to: Console) -> Table:
    rows, style = _shown(view.brokers), Style(to)
    most = max(row.get("replicas", 0) for row in rows)
    racks = any(row.get("rack") for row in rows)

    def make(bar: int, name: int) -> Table:
        rack, drawn = (("rack",) if racks else ()), (("",) if bar else ())
        table = grid("broker", *rack, "pod", "state", "replicas", *drawn, "leaders", "bytes")
        table.columns[0].justify = "right"
        left = 3 + len(rack)
        for column in (*range(1, left), *((left + 1,) if bar else ())):
            table.columns[column].justify = "left"
        for row in rows:
            table.add_row(
                str(row["id"]),
                *((shortened(row.get("rack") or "", name),) if racks else ()),
                shortened(row.get("pod") or "", _POD * name),
                str(row.get("state", "")),
                _number(row, "replicas"),
                *((style.bar(row.get("replicas", 0), most, bar),) if bar else ()),
                _number(row, "leaders"),
                format_bytes(row["bytes"]) if "bytes" in row else "?",
            )
        return table

    return fitting(make, to)


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return all rows if they are few, else those that are not ready, then those that hold most."""
    if len(rows) <= MOST_ROWS:
        return list(rows)

    def rank(row: Mapping[str, Any]) -> tuple[bool, bool, int, int]:
        return (not leaves(row), row.get("state") == "Ready", -row.get("replicas", 0), row["id"])

    return sorted(sorted(rows, key=rank)[:SHOWN], key=lambda row: row["id"])


def _left_out(view: View) -> list[str]:
    count = len(view.brokers) - len(_shown(view.brokers))
    where = f"kubectl get bc {view.name} -n {view.namespace} -o yaml"
    return [f"{count} more brokers; {where} has all."] if count else []


def _number(row: Mapping[str, Any], key: str) -> str:
    return str(row[key]) if key in row else "?"
