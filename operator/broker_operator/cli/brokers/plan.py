"""`kubectl brokers plan`: what a Reassignment does to each broker, before and after."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from broker_operator.cli.brokers.access import where_options, with_session
from broker_operator.cli.brokers.subject import subject_argument
from broker_operator.cli.brokers.view import (
    asks,
    condition,
    look,
    planned,
    waits_for_approval,
)
from broker_operator.cli.errors import RefusedError, printable
from broker_operator.cli.output.files import as_text
from broker_operator.cli.output.screen import console, showing
from broker_operator.cli.output.tables import show
from broker_operator.cli.parameters import Interruptible, format_option
from broker_operator.core import lifecycle
from broker_operator.core.planner.report import BrokerReport, RackReport, Report
from broker_operator.core.render.reassignment import REPORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.cli.brokers.access import Session
    from broker_operator.cli.brokers.subject import Subject
    from broker_operator.cli.brokers.view import View

_T = TypeVar("_T", Report, BrokerReport, RackReport)


@click.command(cls=Interruptible)
@subject_argument
@format_option("report.json")
@where_options
def plan(subject: Subject, form: str) -> None:
    """Show the plan of the Reassignment whose turn it is, or of the last one.

    Exit code 3: there is no plan.
    """
    view, its, document = with_session(lambda session: _read(session, subject))
    with showing():
        if form == "json":
            if document is None:
                raise RefusedError(_lost(its))
            click.echo(as_text(document), nl=False)
        else:
            _show(view, its, document)


async def _read(
    session: Session, subject: Subject
) -> tuple[View, Reassignment, dict[str, Any] | None]:
    """Return the Reassignment that is meant, and its report; None if that is lost or another's.

    Raises:
        RefusedError: There is no plan.
    """
    view = await look(session, subject)
    its = view.chosen or view.active or view.last
    if its is None:
        raise RefusedError(f"{view.name} has no Reassignment, so there is no plan")
    if not its.plan_hash:
        why = "; ".join(its.status.get("blockedBy") or ()) or f"it is {its.state}"
        raise RefusedError(f"{its.name} has no plan: {why}")
    for name in its.config_maps[:1]:
        body = await session.api.get("ConfigMap", session.namespace, name)
        return view, its, _document(body, its.plan_hash)
    return view, its, None


def _document(body: Mapping[str, Any] | None, plan_hash: str) -> dict[str, Any] | None:
    """Return the report of exactly this plan; None if the ConfigMap has not got it."""
    text = ((body or {}).get("data") or {}).get(REPORT, "")
    try:
        found = json.loads(text)
    except ValueError:
        return None
    ours = isinstance(found, dict) and found.get("hash") == plan_hash
    return found if ours else None


def _show(view: View, its: Reassignment, document: Mapping[str, Any] | None) -> None:
    to = console()
    to.print(printable(f"{its.name} ({asks(its)}) of {view.name} is {its.state}."))
    report = _decoded(document)
    if report is None:
        to.print(printable(f"Plan {its.plan_hash}: {planned(its)}."))
        to.print(printable(f"note: {_lost(its)}"))
    else:
        notes = []
        if its.moves > report.moves:
            notes.append(f"{its.moves - report.moves} moves were done under a former plan")
        show(report, notes, without_throttle="no throttle, so the time cannot be told")
    if waits_for_approval(its):
        approved = condition(its.status, lifecycle.APPROVED)
        to.print()
        if approved is not None and approved["reason"] != "ApprovalRequired":
            reason = str(approved["message"]).partition("; to approve ")[0]
            to.print(printable(f"{approved['reason']}: {reason}."))
        way = view.command("approve", f"ra/{its.name}", "--plan", its.plan_hash)
        to.print(f"To approve it: {way}", soft_wrap=True)


def _lost(its: Reassignment) -> str:
    where = its.config_maps[0] if its.config_maps else "none"
    return (
        f"the report of this plan is not to be had (ConfigMap {where}): what it does to each "
        "broker cannot be shown"
    )


def _decoded(document: Mapping[str, Any] | None) -> Report | None:
    """Return a report as the planner made it; None for one of another version's making."""
    if document is None:
        return None
    try:
        brokers = tuple(_fill(BrokerReport, row) for row in document["brokers"])
        racks = tuple(_fill(RackReport, row) for row in document["racks"])
        return _fill(Report, {**document, "brokers": brokers, "racks": racks})
    except (KeyError, TypeError):
        return None


def _fill(kind: type[_T], values: Mapping[str, Any]) -> _T:
    return kind(**{field.name: values[field.name] for field in fields(kind)})
