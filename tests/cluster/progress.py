"""Telling the person who waits what is going on."""

import sys
import time

_started = time.monotonic()


def say(text: str) -> None:
    """Print a line to standard error with the seconds since the program started."""
    print(f"{time.monotonic() - _started:6.1f} s  {text}", file=sys.stderr, flush=True)
