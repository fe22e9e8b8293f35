"""Names of external calls: two that have the same name do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fakes.store import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fakes.intercept import Asked
    from tests.kafka.harness import LiveWorld

REPORT = "report"
"""Ends the name of a write to a status in which nobody looks anything up."""

_DECISIVE = {
    "BrokerCluster": ("balancedBrokers", "clusterId"),
    "Reassignment": ("conditions", "plan", "throttle", "startedAt", "finishedAt", "outcome"),
}
"""Parts of a status that a later pass goes by; the rest is for people."""


def name_of(world: LiveWorld, asked: Asked) -> str:
    """Return port, method and what it is about; of a status, which parts of it are changed.

    To be asked before the call is made.
    """
    what = ""
    if asked.port == "kubernetes":
        first = asked.args[0]
        what = first if isinstance(first, str) else key_of(first)[0]
    if asked.method == "apply_status":
        old = (world.kube.find(*key_of(asked.args[0])) or {}).get("status", {})
        new = asked.args[0]["status"]
        changed = [key for key in _DECISIVE[what] if _said(old, key) != _said(new, key)]
        what += f" {'+'.join(changed) or REPORT}"
    return f"{asked.port} {asked.method} {what}".rstrip()


def _said(status: Mapping[str, Any], key: str) -> object:
    """Return a part of a status; of conditions, all but times and texts."""
    if key != "conditions":
        return status.get(key)
    return [(c["type"], c["status"], c["reason"]) for c in status.get(key) or ()]
