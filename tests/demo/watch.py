"""Looks at the cluster once a second and keeps what the summary will need."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from tests.demo import model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.brokers import Brokers
    from tests.traffic.pods import Traffic

EVENTS = 6
"""Events shown."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A StatefulSet that was lowered, and what the brokers said of the one that went.

    Attributes:
        replicas: Its replicas in the brokers' own metadata in the look before; None = unknown.
    """

    broker: int
    replicas: int | None


@dataclass
class Watcher:
    """Polls in a thread of its own; `latest` is always a whole picture.

    Attributes:
        phase: What is going on, in words; set by the phases.
        worst: Phase -> highest p99 in milliseconds seen in it.
        removals: Every lowering of the StatefulSet, in order.
    """

    brokers: Brokers
    show: Callable[[model.Snapshot], None]
    phase: str = "starting"
    traffic: Traffic | None = None
    latest: model.Snapshot = field(default_factory=lambda: model.Snapshot(0, "starting"))
    worst: dict[str, float] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _stop: Event = field(default_factory=Event)
    _observed: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._thread = Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def elapsed(self) -> float:
        """Return the seconds since it was made."""
        return time.monotonic() - self._began

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            try:
                snapshot = self._look()
            except (AssertionError, json.JSONDecodeError, KeyError):
                continue  # the API server was busy; the next second has a new chance
            self._remember(snapshot)
            self.latest = snapshot
            self.show(snapshot)

    def _look(self) -> model.Snapshot:
        name, namespace = self.brokers.name, self.brokers.namespace
        observed = self.traffic.latest("describe") if self.traffic else None
        items = self.brokers.env.get("bc,ra,sts,events", "-n", namespace)["items"]
        cluster: dict[str, Any] = next((i for i in items if i["kind"] == "BrokerCluster"), {})
        status = cluster.get("status", {})
        sets = [
            i["spec"]["replicas"]
            for i in items
            if i["kind"] == "StatefulSet" and i["metadata"]["name"] == f"{name}-broker"
        ]
        moves = [i for i in items if i["kind"] == "Reassignment"]
        newest = max(moves, key=lambda i: i["metadata"]["creationTimestamp"], default=None)
        snapshot = model.Snapshot(
            at=self.elapsed(),
            phase=self.phase,
            brokers=model.broker_rows(status),
            move=model.move(newest) if newest else None,
            flow=self._flow(),
            stateful_set=sets[0] if sets else 0,
            desired=cluster.get("spec", {}).get("replicas", 0),
            ready=status.get("readyReplicas", 0),
            trouble=model.stalled(status),
            events=tuple(_sentences(items)[-EVENTS:]),
        )
        self._note_removals(snapshot, observed)
        return snapshot

    def _flow(self) -> model.Flow:
        if self.traffic is None:
            return model.Flow()
        return model.flow(self.traffic.latest("produce"), self.traffic.latest("consume"))

    def _note_removals(self, now: model.Snapshot, observed: dict[str, Any] | None) -> None:
        """Keep what the brokers said of a broker in the look before its StatefulSet was lowered."""
        for broker in range(now.stateful_set, self.latest.stateful_set):
            rows = (self._observed or {}).get("brokers", {})
            row = rows.get(str(broker))
            self.removals.append(Removal(broker, row["replicas"] if row else None))
        self._observed = observed or self._observed

    def _remember(self, snapshot: model.Snapshot) -> None:
        if snapshot.flow.p99 is not None:
            before = self.worst.get(snapshot.phase, 0.0)
            self.worst[snapshot.phase] = max(before, snapshot.flow.p99)


def _sentences(items: list[dict[str, Any]]) -> list[str]:
    """Return the operator's Events, oldest first."""
    ours = [
        i
        for i in items
        if i["kind"] == "Event"
        and "broker-operator" in (i.get("reportingComponent"), i.get("source", {}).get("component"))
    ]
    ours.sort(key=lambda i: i.get("lastTimestamp") or i.get("eventTime") or "")
    return [f"{i['reason']}: {i['message']}" for i in ours]
