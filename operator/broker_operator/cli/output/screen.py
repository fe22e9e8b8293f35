"""The console that tables go to: at most 100 columns, and no more than its encoding can show."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

WIDTH = 100


def console() -> Console:
    """Return the console of standard output. What it prints is text, never markup."""
    found = Console(markup=False, highlight=False, emoji=False)
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


def can_show(text: str, to: Console) -> bool:
    """Whether the console's encoding has these characters."""
    try:
        text.encode(to.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
