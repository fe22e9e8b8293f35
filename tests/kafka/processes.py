"""Java processes that tests start, watch and end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.cluster.shell import tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STOP_DEADLINE = 30.0


class Java:
    """A JVM in its own process group, told by the kernel to die if this process does."""

    def __init__(self, name: str, argv: list[str], log: Path) -> None:
        self._name = name
        self._log = log
        with log.open("ab") as out:
            self._from = out.tell()
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, text: str, deadline: float) -> None:
        """Wait until it has logged `text` since it was started."""

        def logged() -> bool:
            said = self._said()
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._name} ended by itself:\n{tail(said)}")
            return text in said

        wait_until(logged, f"{self._name} logs {text!r}", deadline)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stop it in its tracks; when this returns none of its threads runs any more."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def wait(self, deadline: float = STOP_DEADLINE) -> None:
        """Wait for it to end by itself; kill it if it does not."""
        try:
            self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it and whatever it started, now."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_DEADLINE)

    def _said(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._from)
            return log.read().decode(errors="replace")


def wait_until(
    condition: Callable[[], bool], what: str, deadline: float = 30.0, pause: float = 0.1
) -> None:
    """Poll until `condition` holds.

    Raises:
        TimeoutError: It did not within `deadline` seconds; the message says what was awaited.
    """
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {what}")
        time.sleep(pause)
