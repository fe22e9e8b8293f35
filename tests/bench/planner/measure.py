"""Running a driver in a process of its own, against the clock."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.planner.judge import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.planner.shapes import Shape

REPEAT = 3
"""How many plans a process makes; the fastest counts."""
REPEAT_WITHIN = 20.0
"""Seconds after which a process makes no further plan."""
MEMORY = 8 << 30
"""Bytes of addresses that a process may have."""

_ROOT = Path(__file__).parents[3]
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool made of a cluster.

    Attributes:
        outcome: In a word or two, why there is no plan; empty if there is one.
        reason: The last line of what a tool said that failed.
        verdict: How good the plan is; None if there is none.
        seconds: The fastest of its plans.
        process: Seconds from the start of the process to its end, all plans included.
        peak: MiB that the process had at its peak.
        told: What else the driver told: our lower bound, for one.
    """

    outcome: str = ""
    reason: str = ""
    verdict: Verdict | None = None
    seconds: float = 0.0
    process: float = 0.0
    peak: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)


def measure(
    command: Sequence[str], shape: Shape, folder: Path, *, limit: float, moves: int = 0
) -> Result:
    """Have a driver plan for a cluster.

    Args:
        command: The driver; input and output files are appended.
        shape: The cluster.
        folder: For those files.
        limit: Seconds until the process is killed.
        moves: The fewest moves that are needed, where known.
    """
    asked, answered = folder / "input.json", folder / "output.json"
    answered.unlink(missing_ok=True)
    question = {
        "topics": shape.topics,
        "brokers": list(shape.racks.items()),
        "targets": shape.targets,
        "moves": moves,
        "repeat": REPEAT,
        "repeat_within": min(REPEAT_WITHIN, limit / 10),
    }
    asked.write_text(json.dumps(question))
    begin = time.perf_counter()
    outcome, reason = _run([*command, str(asked), str(answered)], folder / "errors.txt", limit)
    process = time.perf_counter() - begin
    if outcome:
        return Result(outcome=outcome, reason=reason, process=process)
    answer = json.loads(answered.read_text())
    return Result(
        verdict=judge(shape, answer.pop("topics")),
        seconds=min(answer.pop("seconds")),
        process=process,
        peak=answer.pop("peak_kib") / 1024,
        told=answer,
    )


def _run(command: list[str], errors: Path, limit: float) -> tuple[str, str]:
    """Run a process that dies with this one; return how and why it failed, or nothing twice."""
    guard = ["setpriv", "--pdeathsig", "KILL", "prlimit", f"--as={MEMORY}"]
    with errors.open("w") as sink:
        process = subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=sink,
            start_new_session=True,
            cwd=_ROOT,
            env={**os.environ, **_ENVIRONMENT},
        )
        try:
            ended = _ends(process, limit)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if not ended:
        return f"over {limit:g} s", ""
    if process.returncode == 0:
        return "", ""
    said = errors.read_text(errors="replace").strip().splitlines()
    return "failed", said[-1][:160] if said else f"exit {process.returncode}, not a word"


def _ends(process: subprocess.Popen[bytes], limit: float) -> bool:
    """Wait for the end; return whether it came in time. Unlike `Popen.wait`, without polling."""
    handle = os.pidfd_open(process.pid)
    try:
        return bool(select.select([handle], [], [], limit)[0])
    finally:
        os.close(handle)
