"""What failed, noted for the end of a long log; and an end from outside that leaves nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_REASON = 600
"""Characters of a failure's reason."""


def note_failure(what: str, reason: str) -> None:
    """Add a failure and why to the file $FAILURES, which `.ci/stages` prints last, if it is set."""
    if path := os.environ.get("FAILURES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{what}\n    {reason[:_REASON]!r}\n")


def heed_sigterm() -> None:
    """Take SIGTERM for Ctrl-C: fixtures end what they began, which nobody else would."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
