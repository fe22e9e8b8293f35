"""What ends a command early, and the exit codes."""

from __future__ import annotations

import click

UNUSABLE = 2
"""Exit code for input that cannot be read or used; click's own for wrong usage."""
INCOMPLETE = 1
"""Exit code while something is left to be done, or if it ended another way than it should."""
REFUSED = 3
"""Exit code for a plan that cannot end well, and for what people decide and cannot have."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and SIGINT's number."""
BROKEN_PIPE = 141
"""Exit code if the reader of standard output goes away: 128 and SIGPIPE's number."""


class InputError(click.ClickException):
    """An input cannot be read, or an output not be written; the message names it."""

    exit_code = UNUSABLE

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class RefusedError(click.ClickException):
    """What a person decides does not fit the state of things; the message says why."""

    exit_code = REFUSED

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Return text with everything escaped that could confuse a terminal or its encoding."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
