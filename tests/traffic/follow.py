"""Follow a pod's log through broken streams, so that every line is seen once."""

from __future__ import annotations

import json
import subprocess
from collections import deque
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Line = dict[str, Any]
Writer = Literal["writing", "ended", "gone"]
"""Whether what writes the log goes on, has ended, or took its log with it."""

_ATTACH_AGAIN_SECONDS = 1.0
_KEPT = 40


class LogFollower:
    """Reads a log that starts from its beginning each time a program is run.

    A stream that breaks is attached again, and as many lines are skipped as were seen before. Ends
    when the stream ended after its writer had, or on `close`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        writer: Callable[[], Writer],
        on_line: Callable[[Line], None] = lambda _: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            argv: Prints the whole log from its first line and goes on until it ends.
            writer: Says how its writer is.
            on_line: Called with each JSON line, in order, from the follower's own thread.
        """
        self._argv = list(argv)
        self._writer = writer
        self._on_line = on_line
        self._seen = 0
        self._latest: dict[str, Line] = {}
        self._words: deque[str] = deque(maxlen=_KEPT)
        self._lock = Lock()
        self._stopped = Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._follow, name="follow", daemon=True)

    def start(self) -> None:
        """Begin to follow, in a thread."""
        self._thread.start()

    def latest(self, kind: str) -> Line | None:
        """Return the last line of this kind, if there was one."""
        with self._lock:
            return self._latest.get(kind)

    def words(self) -> str:
        """Return the last lines that are no JSON: complaints."""
        with self._lock:
            return "\n".join(self._words)

    def wait(self, seconds: float) -> bool:
        """Wait until the log has ended; False if it did not within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop following now."""
        self._stopped.set()
        with self._lock:
            if self._process:
                self._process.kill()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            # Asked before the log is read: who had ended by then has nothing to add afterwards.
            writer = self._writer()
            complete = self._read_once()
            if writer == "gone" or (writer == "ended" and complete):
                return
            self._stopped.wait(_ATTACH_AGAIN_SECONDS)

    def _read_once(self) -> bool:
        with self._lock:
            if self._stopped.is_set():
                return False
            # Its own session: Ctrl-C is for the program that follows, which then closes this.
            self._process = process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        with process:
            assert process.stdout is not None
            for number, line in enumerate(process.stdout):
                if number >= self._seen and line.endswith(b"\n"):  # a cut line comes again
                    self._seen += 1
                    self._take(line)
        return process.returncode == 0

    def _take(self, raw: bytes) -> None:
        text = raw.decode(errors="replace").strip()
        try:
            line = json.loads(text)
            kind = line["kind"]
        except (ValueError, TypeError, KeyError):
            with self._lock:
                self._words.append(text)
            return
        with self._lock:
            self._latest[kind] = line
        self._on_line(line)
