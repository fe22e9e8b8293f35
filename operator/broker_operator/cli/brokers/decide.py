"""`kubectl brokers approve | pause | resume | undo`: what people decide, written into the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from broker_operator.api.reassignment import State
from broker_operator.cli.brokers.access import where_options, with_session
from broker_operator.cli.brokers.subject import subject_argument
from broker_operator.cli.brokers.view import asks, look, planned, waits_for_approval, why
from broker_operator.cli.errors import RefusedError, printable
from broker_operator.cli.output.screen import showing
from broker_operator.cli.parameters import Interruptible
from broker_operator.core import lifecycle

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.cli.brokers.access import Session
    from broker_operator.cli.brokers.subject import Subject
    from broker_operator.cli.brokers.view import View


@click.command(cls=Interruptible)
@subject_argument
@click.option("--plan", "plan_hash", metavar="HASH", help="Approve only if this is what waits.")
@where_options
def approve(subject: Subject, plan_hash: str | None) -> None:
    """Let the plan that waits start, exactly as it is shown.

    Exit code 3: nothing waits for approval, or another plan than HASH.
    """

    async def work(session: Session) -> list[str]:
        view = await look(session, subject)
        its = view.chosen or view.active
        if its is None:
            raise RefusedError(f"nothing of {view.name} waits for approval: nothing is under way")
        if plan_hash is not None and plan_hash != its.plan_hash and not its.finished:
            waits = f"is {its.plan_hash}: {planned(its)}" if its.plan_hash else "is not made yet"
            raise RefusedError(f"plan {plan_hash} does not wait: that of {its.name} {waits}")
        if its.plan_hash and its.approved_plan == its.plan_hash and not its.finished:
            return [f"Plan {its.plan_hash} of {its.name} is approved already."]
        if not waits_for_approval(its):
            raise RefusedError(f"{its.name} waits for no approval: it is {its.state}, {why(its)}")
        await session.api.change(its.body, {"approvedPlan": its.plan_hash})
        return [
            f"Approved plan {its.plan_hash} of {its.name} ({asks(its)}): {planned(its)}.",
            *_paused(view, its),
            f"To see it move: {view.command('watch', f'ra/{its.name}')}",
        ]

    _tell(with_session(work))


@click.command(cls=Interruptible)
@subject_argument
@where_options
def pause(subject: Subject) -> None:
    """Pause a cluster, or with ra/NAME no more than one Reassignment.

    A cluster that is paused is left alone by the operator. Of a Reassignment that is paused nothing
    more is submitted; what is in flight ends.

    Exit code 3: the Reassignment has ended.
    """

    async def work(session: Session) -> list[str]:
        view = await look(session, subject)
        if (its := view.chosen) is not None:
            return await _pause_reassignment(session, view, its)
        if view.paused:
            return [f"{view.name} is paused already."]
        await session.api.change(view.cluster, {"paused": True})
        return [
            f"Paused {view.name}: the operator leaves it alone. What Kafka has in hand goes on.",
            f"To go on: {view.command('resume', view.name)}",
        ]

    _tell(with_session(work))


async def _pause_reassignment(session: Session, view: View, its: Reassignment) -> list[str]:
    if its.finished:
        raise RefusedError(f"{its.name} has ended as {its.state}: there is nothing to pause")
    if its.paused:
        return [f"{its.name} is paused already."]
    await session.api.change(its.body, {"paused": True})
    return [
        f"Paused {its.name} ({asks(its)}): nothing more is submitted, what is in flight ends.",
        f"To go on: {view.command('resume', f'ra/{its.name}')}",
    ]


@click.command(cls=Interruptible)
@subject_argument
@where_options
def resume(subject: Subject) -> None:
    """Let a paused cluster go on, or with ra/NAME a paused Reassignment.

    Exit code 3: the Reassignment has ended, or the cluster is not paused while a Reassignment is.
    """

    async def work(session: Session) -> list[str]:
        view = await look(session, subject)
        if (its := view.chosen) is not None:
            return await _resume_reassignment(session, view, its)
        held = [r for r in view.queue if r.paused]
        others = [line for r in held for line in _paused(view, r, cluster=False)]
        if view.paused:
            await session.api.change(view.cluster, {"paused": False})
            return [f"Resumed {view.name}.", *others]
        if held:
            raise RefusedError(f"{view.name} is not paused. {' '.join(others)}")
        return [f"{view.name} is not paused."]

    _tell(with_session(work))


async def _resume_reassignment(session: Session, view: View, its: Reassignment) -> list[str]:
    if its.finished:
        raise RefusedError(f"{its.name} has ended as {its.state}: there is nothing to resume")
    if not its.paused:
        return [f"{its.name} is not paused.", *_paused(view, its)]
    await session.api.change(its.body, {"paused": False})
    return [f"Resumed {its.name} ({asks(its)}).", *_paused(view, its, itself=False)]


def _paused(
    view: View, its: Reassignment, *, cluster: bool = True, itself: bool = True
) -> list[str]:
    """Return what is paused and holds a Reassignment up, with the commands that let it go on."""
    lines = []
    if itself and its.paused:
        lines.append(
            f"Reassignment {its.name} is paused: {view.command('resume', f'ra/{its.name}')}"
        )
    if cluster and view.paused:
        lines.append(f"Cluster {view.name} is paused: {view.command('resume', view.name)}")
    return lines


@click.command(cls=Interruptible)
@subject_argument
@where_options
def undo(subject: Subject) -> None:
    """Move back what a Reassignment has moved; for a cluster the present one, else the last.

    It cannot be taken back.

    Exit code 3: it cannot be undone, and why.
    """

    async def work(session: Session) -> list[str]:
        view = await look(session, subject)
        last = lifecycle.last_started(view.reassignments)
        its = view.chosen or view.active or last
        if its is None:
            raise RefusedError(f"{view.name} has no Reassignment that could be undone")
        if its.state is State.UNDONE:
            return [f"{its.name} is undone already: {why(its)}."]
        if its.finished and (its is not last or not its.succeeded):
            raise RefusedError(_cannot(its, last))
        if its.undo:
            return [f"{its.name} is being undone already."]
        if not its.finished and not its.started and its is not view.active:
            way = f"kubectl delete ra {its.name} -n {view.namespace}"
            raise RefusedError(f"{its.name} has not begun: to withdraw it: {way}")
        await session.api.change(its.body, {"undo": True})
        what = "what has moved goes back to the lists that it had, what has not stays"
        if not its.started:
            what = "nothing has moved, so it just ends"
        return [
            f"Undoing {its.name} ({asks(its)}): {what}.",
            *_paused(view, its, itself=False),
            f"To see it: {view.command('watch', view.name)}",
        ]

    _tell(with_session(work))


def _cannot(its: Reassignment, last: Reassignment | None) -> str:
    if not its.succeeded:
        return f"{its.name} cannot be undone: it has ended as {its.state}, {why(its)}"
    other = last.name if last else "another"
    return f"{its.name} cannot be undone: {other} has moved partitions since; undo that one first"


def _tell(lines: list[str]) -> None:
    with showing():
        for line in lines:
            click.echo(printable(line))
