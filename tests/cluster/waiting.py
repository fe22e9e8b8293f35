"""Waiting for a condition, always with a deadline."""

import time
from collections.abc import Callable

from tests.cluster.errors import ClusterError

_INTERVAL = 0.1


def wait_for(
    what: str,
    condition: Callable[[], bool],
    timeout: float,
    *,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Ask for `condition` again and again until it holds.

    Args:
        what: What is waited for, in words that go on from "waited in vain for".
        condition: Asked at least once; what it raises comes through unchanged.
        timeout: Seconds.
        explain: Called after the deadline; its answer ends the message.

    Raises:
        ClusterError: The condition does not hold after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            reasons = f". {explain()}".rstrip(". ")
            raise ClusterError(f"waited {timeout:g} s in vain for {what}{reasons}")
        time.sleep(_INTERVAL)
