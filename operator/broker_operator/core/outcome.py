"""What was foretold of a reassignment, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORETOLD = {
    "moves": "predictedMoves",
    "bytes": "predictedBytes",
    "predictedSeconds": "predictedSeconds",
}


def foretold(status: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, int]:
    """Return `status.outcome` when a plan is stored: what the first plan foretells.

    Args:
        status: The Reassignment's, from before. Once it has started, what it has is kept: a plan
            that is made anew half-way does not change what was promised. One that never began is
            no measure.
        plan: The new `status.plan`. Without a throttle it foretells no time.
    """
    known = {k: v for k, v in (status.get("outcome") or {}).items() if k in _FORETOLD.values()}
    if known and status.get("startedAt"):
        return known
    return {name: plan[key] for key, name in _FORETOLD.items() if key in plan}


def outcome(status: Mapping[str, Any], finished_at: str) -> dict[str, int]:
    """Return `status.outcome` of a Reassignment that ends, done or half-way.

    Args:
        status: Its status, with its last progress.
        finished_at: When it ended, as Kubernetes writes it.
    """
    result = foretold(status, status.get("plan") or {})
    progress = status.get("progress") or {}
    result |= {"moves": progress.get("movesDone", 0), "bytes": progress.get("bytesDone", 0)}
    if started_at := status.get("startedAt"):
        seconds = _moment(finished_at) - _moment(started_at)
        result["seconds"] = max(0, round(seconds.total_seconds()))
    return result


def _moment(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)
