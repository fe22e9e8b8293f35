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
    from tests.traffic.follow import Line
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
        worst: Phase -> highest p99 in milliseconds of any second of it.
        removals: Every lowering of the StatefulSet, in order.
        resized: Size of the StatefulSet -> when it was last seen to become that, monotonic seconds.
    """

    brokers: Brokers
    show: Callable[[model.Snapshot], None]
    phase: str = "starting"
    traffic: Traffic | None = None
    latest: model.Snapshot = field(default_factory=lambda: model.Snapshot(0, "starting"))
    worst: dict[str, float] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    resized: dict[int, float] = field(default_factory=dict)
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
            if snapshot.stateful_set != self.latest.stateful_set:
                self.resized[snapshot.stateful_set] = time.monotonic()
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

    def hear(self, line: Line) -> None:
        """Take in a line of the traffic: each second of the producer is one, and all count."""
        if line["kind"] == "produce" and line.get("p99_ms") is not None:
            self.worst[self.phase] = max(self.worst.get(self.phase, 0.0), line["p99_ms"])


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
