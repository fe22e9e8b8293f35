"""Events for people: what was decided, on the object concerned, each of them once."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject
    from broker_operator.ports import Clock, Kubernetes

COMPONENT = "broker-operator"
WINDOW = timedelta(minutes=10)
"""An Event that is said again within this time counts up instead of standing there twice."""
MAX_MESSAGE = 1024
"""Characters that the API server takes."""
MAX_SERIES = 1000
"""Events remembered; one that is forgotten is found again on the server while its window lasts."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Series:
    """One Event as it stands on the server."""

    name: str
    count: int
    first: datetime
    last: datetime


class EventRecorder:
    """`ports.Recorder` that writes core/v1 Events.

    The name of an Event follows from what it says and from the ten minutes it began in, so that a
    process that takes over from a killed one counts on where that one stopped.

    Args:
        kube: Where to write; give it a short timeout and a write counter of its own.
        clock: For timestamps.
        instance: Name of this process, such as its pod's.
    """

    def __init__(self, kube: Kubernetes, clock: Clock, *, instance: str = COMPONENT) -> None:
        self._kube = kube
        self._clock = clock
        self._instance = instance
        self._known: dict[str, _Series] = {}

    async def event(
        self, about: KubeObject, *, reason: str, message: str, warning: bool = False
    ) -> None:
        """See `ports.Recorder.event`."""
        try:
            body = self._body(about, reason, _shortened(message), warning=warning)
            key = _digest(body)
            series = await self._next(key, body)
            await self._kube.apply(_with_series(body, series))
            self._remember(key, series)
        except Exception as error:  # noqa: BLE001 - the port's promise: an Event never costs a pass
            _LOG.warning("Cannot record the Event %s (%s): %s", reason, message, error)

    async def _next(self, key: str, body: KubeObject) -> _Series:
        """Return the series that this event begins or continues."""
        now = self._clock.now().replace(microsecond=0)
        series = self._known.get(key)
        if series is None or now - series.last > WINDOW:
            bucket = int(now.timestamp() // WINDOW.total_seconds())
            fresh = _Series(f"{body['metadata']['name']}.{key}{bucket:x}", 0, now, now)
            series = await self._found(body, fresh)
        return replace(series, count=series.count + 1, last=now)

    def _remember(self, key: str, series: _Series) -> None:
        self._known.pop(key, None)
        self._known[key] = series  # last in the dict: it keeps the order of use
        if len(self._known) > MAX_SERIES:
            del self._known[next(iter(self._known))]

    async def _found(self, body: KubeObject, fresh: _Series) -> _Series:
        """Return the series as an earlier process left it on the server, else `fresh`."""
        found = await self._kube.get("Event", body["metadata"]["namespace"], fresh.name)
        if found is None:
            return fresh
        first = datetime.fromisoformat(found["firstTimestamp"])
        return replace(fresh, count=int(found["count"]), first=first)

    def _body(self, about: KubeObject, reason: str, message: str, *, warning: bool) -> KubeObject:
        meta = about["metadata"]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }


def _with_series(body: KubeObject, series: _Series) -> KubeObject:
    return body | {
        "metadata": body["metadata"] | {"name": series.name},
        "count": series.count,
        "firstTimestamp": _timestamp(series.first),
        "lastTimestamp": _timestamp(series.last),
    }


def _digest(body: KubeObject) -> str:
    """Return 16 hex digits for what the event says about which object."""
    said = (body["involvedObject"]["uid"], body["type"], body["reason"], body["message"])
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:16]


def _shortened(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 3]}..."


def _timestamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
