"""Running programs: every call has a deadline, and a failure says what the program said."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from os import environ
from pathlib import Path

from tests.cluster.errors import ClusterError

_TAIL_LINES = 15


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program and return its standard output.

    Args:
        argv: The program and its arguments.
        timeout: Seconds until it is killed.
        stdin: Text to feed it; nothing by default.
        env: Variables on top of this process's own.
        cwd: Working folder.

    Raises:
        ClusterError: It is missing, failed or took too long; with the end of what it printed.
    """
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command,
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env={**environ, **(env or {})},
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"cannot run {command[0]}: it is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{_shown(command)}` did not end within {timeout:g} s") from error
    if done.returncode:
        said = tail(done.stderr.strip() or done.stdout.strip() or "it printed nothing")
        raise ClusterError(f"`{_shown(command)}` failed with exit {done.returncode}:\n{said}")
    return done.stdout


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of `text`, indented to stand below a message."""
    return "\n".join(f"    {line[:400]}" for line in text.splitlines()[-lines:])


def _shown(command: Sequence[str]) -> str:
    text = shlex.join(command)
    return text if len(text) <= 200 else f"{text[:200]}..."
