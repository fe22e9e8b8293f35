"""How far a command is, on standard error, once it takes long enough to wonder."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATIENCE = 1.0
"""Seconds without a word."""


@contextmanager
def progress(steps: Sequence[str], console: Console | None = None) -> Iterator[Callable[[], None]]:
    """Yield what to call at the beginning of each step; a bar appears if all takes over a second.

    Nothing is shown unless standard error is a terminal.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(steps[0], total=len(steps))
    begun = iter(enumerate(steps))

    def advance() -> None:
        number, name = next(begun)
        bar.update(task, completed=number, description=name)

    start = threading.Timer(PATIENCE, bar.start)
    start.daemon = True
    start.start()
    try:
        yield advance
    finally:
        start.cancel()
        start.join()
        bar.stop()


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Keep Python from searching millions of live objects for cycles: it doubles the time.

    For commands that end when they are done; none of them makes cycles that grow.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
