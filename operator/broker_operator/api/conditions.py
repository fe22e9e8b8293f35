"""Conditions as the Kubernetes API conventions want them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Condition:
    """One observation: `reason` in PascalCase, `message` a sentence with numbers."""

    type: str
    status: bool | None
    reason: str
    message: str


_STATUS = {True: "True", False: "False", None: "Unknown"}


def merge_conditions(
    old: Sequence[Mapping[str, Any]], new: Iterable[Condition], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """Return `new` as API objects; `lastTransitionTime` moves only where the status flips.

    Conditions of `old` that are not in `new` are dropped, which is how `Reconciling` and
    `Stalled` disappear (kstatus: present only while true).
    """
    before = {str(c.get("type")): c for c in old}
    merged = []
    for condition in new:
        status = _STATUS[condition.status]
        earlier = before.get(condition.type, {})
        since = earlier.get("lastTransitionTime") if earlier.get("status") == status else None
        merged.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
            }
        )
    return merged


def is_true(conditions: Sequence[Mapping[str, Any]], kind: str) -> bool:
    """Whether the condition of this type is present and True."""
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)


def was_set(conditions: Sequence[Mapping[str, Any]], kind: str) -> bool:
    """Whether a condition of this type is present, whatever its status."""
    return any(c.get("type") == kind for c in conditions)
