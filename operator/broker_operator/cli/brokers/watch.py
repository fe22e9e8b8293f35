"""`kubectl brokers watch`: the status again and again, until all is done."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from broker_operator.cli.brokers.access import said, session, where_options
from broker_operator.cli.brokers.status import headline, progress, screen
from broker_operator.cli.brokers.subject import subject_argument
from broker_operator.cli.brokers.view import asks, look, why
from broker_operator.cli.errors import INCOMPLETE, InputError, printable
from broker_operator.cli.output.screen import console, showing
from broker_operator.cli.parameters import Interruptible
from broker_operator.ports import RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from broker_operator.cli.brokers.subject import Subject
    from broker_operator.cli.brokers.view import View

    Show = Callable[[View, str], None]

_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float:
    """Read `90s`, `10m` or `1h` as seconds; without a unit they are seconds, left out for ever."""
    if value is None:
        return math.inf
    match = _DURATION.fullmatch(value)
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is no time above 0 such as 90s, 10m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


@click.command(cls=Interruptible)
@subject_argument
@click.option("--timeout", callback=duration, metavar="TIME", help="Give up after this: 90s, 10m.")
@click.option(
    "--interval",
    callback=duration,
    metavar="TIME",
    default="2s",
    show_default=True,
    help="Look this often.",
)
@where_options
def watch(subject: Subject, timeout: float, interval: float) -> None:
    """Show the status until nothing moves and nothing waits, or with ra/NAME until that has ended.

    A terminal is drawn anew; elsewhere each change is a line.

    Exit code 0: all is done. 1: the Reassignment has not succeeded, what was watched is gone, or
    the timeout is over. 130: ended by Ctrl-C.
    """
    ctx = click.get_current_context()
    with showing():
        with _drawing() as show:
            code, word = asyncio.run(_follow(ctx, subject, show, timeout, interval))
        click.echo(printable(word), err=code != 0)
    sys.exit(code)


@contextmanager
def _drawing() -> Iterator[Show]:
    """Yield what shows a view, and a note if there is one."""
    to = console()
    if not to.is_terminal:
        last = ""

        def write(view: View, note: str) -> None:
            nonlocal last
            line = printable(note or _line(view))
            if line != last:
                click.echo(line)
            last = line

        yield write
        return
    with Live(console=to, auto_refresh=False) as live:

        def draw(view: View, note: str) -> None:
            notes = [Text(printable(note))] if note else []
            live.update(Group(*screen(view, to), *notes), refresh=True)

        yield draw


def _line(view: View) -> str:
    """Return what is going on in one line."""
    its = view.chosen or view.active
    if its is None:
        found = view.condition("Stalled") or view.condition("Reconciling")
        going_on = f"; {found['reason']}: {found['message']}" if found else ""
        return f"{headline(view)}{going_on}"
    how = progress(its) if its.started and not its.finished else why(its)
    return f"{its.name} ({asks(its)}) {its.state}: {how}"


async def _follow(
    ctx: click.Context, subject: Subject, show: Show, timeout_seconds: float, interval: float
) -> tuple[int, str]:
    """Look until the end; return the exit code and the last word.

    A server that does not answer is asked again over a new connection, with credentials read anew.

    Raises:
        InputError: It did not answer at all, or refuses to.
    """
    deadline = time.monotonic() + timeout_seconds
    view: View | None = None
    while True:
        try:
            async with session(ctx) as opened:
                while True:
                    view = await look(opened, subject)
                    show(view, "")
                    if end := _end(view):
                        return end
                    await _wait(deadline, interval)
        except TimeoutError:
            return INCOMPLETE, "The timeout is over, and not all is done."
        except (RejectedError, TransientError) as error:
            if view is None or isinstance(error, RejectedError):
                raise InputError(said(error)) from error
            show(view, f"trying again: {said(error)}")
        except InputError as error:
            if view is None:
                raise
            return INCOMPLETE, f"Gone: {error.message}."
        try:
            await _wait(deadline, interval)
        except TimeoutError:
            return INCOMPLETE, "The timeout is over, and the API server does not answer."


async def _wait(deadline: float, interval: float) -> None:
    """Wait for the next look.

    Raises:
        TimeoutError: The deadline comes first.
    """
    left = deadline - time.monotonic()
    await asyncio.sleep(max(0.0, min(interval, left)))
    if left <= interval:
        raise TimeoutError


def _end(view: View) -> tuple[int, str] | None:
    """Return the exit code and the last word once there is nothing more to wait for."""
    if (its := view.chosen) is not None:
        if not its.finished:
            return None
        word = f"{its.name} has ended as {its.state}: {why(its)}."
        return (0 if its.succeeded else INCOMPLETE), word
    return (0, f"{view.name}: nothing moves, nothing waits.") if view.settled else None
