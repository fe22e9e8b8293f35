"""What the drivers share: read a question, plan a few times, write the first plan and the times.

Input, a JSON object: `topics` {name: [replicas of partition 0, of 1, ...]}, `brokers` [[id, rack]],
`targets` [id], `moves` (how many are needed at least, for tools that want to know how far to
search), `repeat` and `repeat_within`: stop after so many plans or so many seconds.

Output: `topics` as they shall be, `seconds` [of each plan], `peak_kib`, and what a tool adds.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Question:
    """A cluster and what it shall become, as `shapes.Shape` says it."""

    topics: dict[str, list[list[int]]]
    brokers: dict[int, str]
    targets: list[int]
    moves: int
    repeat: int
    repeat_within: float

    @property
    def removed(self) -> list[int]:
        """Brokers that shall hold nothing afterwards."""
        return sorted(self.brokers.keys() - set(self.targets))


Plan = tuple[dict[str, list[list[int]]], dict[str, Any]]
"""The topics as they shall be, and what else is to be told."""


def drive(ask: Callable[[Question], Callable[[], Callable[[], Plan]]]) -> None:
    """Run a driver: `INPUT OUTPUT` on its command line.

    Args:
        ask: Turns the question into the tool's form and returns what makes a plan. That alone is
            timed; what it returns in turn brings the plan into our form.
    """
    question = _read(Path(sys.argv[1]))
    plan = ask(question)
    seconds: list[float] = []
    first: Callable[[], Plan] | None = None
    while first is None or (
        len(seconds) < question.repeat and sum(seconds) < question.repeat_within
    ):
        begin = time.perf_counter()
        made = plan()
        seconds.append(time.perf_counter() - begin)
        first = first or made
    peak = peak_kib()
    topics, told = first()
    answer = {"seconds": seconds, "peak_kib": peak, "topics": topics, **told}
    Path(sys.argv[2]).write_text(json.dumps(answer))


def in_topics(assignment: dict[tuple[str, int], list[int]]) -> dict[str, list[list[int]]]:
    """Return the replica lists of each topic in the order of its partitions."""
    topics: dict[str, list[list[int]]] = {}
    for topic, partition in sorted(assignment):
        topics.setdefault(topic, []).append(list(assignment[topic, partition]))
    return topics


def peak_kib() -> int:
    """Return the most memory that this process has had; VmHWM starts anew with each program.

    `ru_maxrss` does not: it starts with what the process had that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def _read(path: Path) -> Question:
    said = json.loads(path.read_text())
    said["brokers"] = dict(said["brokers"])
    return Question(**said)
