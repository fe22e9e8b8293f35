"""The console that tables go to: at most 100 columns, and no more than its encoding can show."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from broker_operator.cli.errors import BROKEN_PIPE, InputError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100

_ANY_WIDTH = 100_000


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to `showing`."""
        raise BrokenPipeError


@contextmanager
def showing() -> Iterator[None]:
    """Print to standard output, and see to it that everything arrives.

    Raises:
        InputError: It cannot be written.
        SystemExit: Its reader has gone away, as `head` does.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _forget_output()
        if isinstance(error, BrokenPipeError):
            sys.exit(BROKEN_PIPE)
        raise InputError(f"standard output: cannot be written: {error.strerror}") from error


def _forget_output() -> None:
    """Take away what Python would try to write again when it ends."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def console() -> Console:
    """Return the console of standard output. What it prints is text, never markup."""
    found = _Console(markup=False, highlight=False, emoji=False)
    found.width = min(WIDTH, found.width) if found.is_terminal else WIDTH
    return found


def grid(*columns: str, left: int = 1) -> Table:
    """Return a table without lines. The first `left` columns are aligned to the left."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(
            name,
            justify="left" if number < left else "right",
            no_wrap=True,
            overflow="ellipsis" if can_show("…", console()) else "crop",
        )
    return table


def natural_width(table: Table, to: Console) -> int:
    """Return how many columns a table takes if nothing of it is cut."""
    return Measurement.get(to, to.options.update(width=_ANY_WIDTH), table).maximum


def print_whole(table: Table, to: Console) -> None:
    """Print a table with nothing cut: in a terminal too narrow for it, lines are folded there."""
    width = to.width
    to.width = max(width, natural_width(table, to))
    to.print(table)
    to.width = width


def shortened(text: str, limit: int) -> str:
    """Return printable text of at most so many characters; the middle is left out, not the end."""
    text = printable(text)
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}~{text[len(text) - tail :]}"


def can_show(text: str, to: Console) -> bool:
    """Whether the console's encoding has these characters."""
    try:
        text.encode(to.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
