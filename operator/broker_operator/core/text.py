"""Words of which messages are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMED = 3
"""How many items a message names before it counts the rest."""


def name_some(items: Iterable[object]) -> str:
    """Join the first three and count the rest: `a-0, a-1, b-3 and 12 more`."""
    names = [str(item) for item in items]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
