"""The real reconciler over live ZooKeeper and brokers, in a Kubernetes that is in memory.

What is real: the reconciler with all its steps, both adapters, ZooKeeper, every broker. What is
not: the API server (`tests/fakes/kube.py`, which passes the contract of the real one), the
StatefulSet controller with the kubelet (`Pods`), and the clock where a test moves it on.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from broker_operator.adapters.clients import KafkaClients
from broker_operator.api.reassignment import decode_reassignment
from broker_operator.reconcile.reconciler import Reconciler, Result
from broker_operator.reconcile.scope import Memory, Settings
from tests.fakes.kube import Call, FakeKube
from tests.fakes.meters import FakeMeters
from tests.kafka.pods import Pods
from tests.kafka.view import View
from tests.unit.reconcile.world import NAME, NAMESPACE, Recorder, cluster_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker_operator.adapters.kafka import KafkaBrokerAdmin
    from broker_operator.adapters.zookeeper import ZooKeeperCoordination
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import KubeObject
    from tests.kafka.cluster import KafkaCluster

DEADLINE = 90.0
"""Seconds for whatever a test waits for, unless it says otherwise."""
PAUSE = 0.05
"""Seconds between two passes: far less than the operator's own, to lose no time."""
QUIET_PASSES = 2
"""So many passes in a row that neither write nor wait for anything mean that all is done."""


class Clock:
    """`ports.Clock` that goes like the machine's, and `ahead` seconds before it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class LoopbackClients:
    """`ports.Clients` of the operator, led to brokers on loopback instead of pods.

    Attributes:
        writes: Each attempt to write to ZooKeeper or Kafka, in order; may be shared by processes.
        on_write: Called with each of them right before it is made, in a worker thread.
    """

    def __init__(self, cluster: KafkaCluster, writes: list[str] | None = None) -> None:
        self.writes: list[str] = [] if writes is None else writes
        self.on_write: Callable[[str], object] = lambda _operation: None
        self._bootstrap = tuple(cluster.bootstrap.split(","))
        self._clients = KafkaClients(
            cluster_domain="cluster.local",
            on_zookeeper_write=self._note,
            on_kafka_write=self._note,
        )

    def coordination(self, connect: str, namespace: str) -> ZooKeeperCoordination:
        return self._clients.coordination(connect, namespace)

    def admin(
        self,
        connect: str,
        namespace: str,
        bootstrap: tuple[str, ...],  # noqa: ARG002 - names of pods
    ) -> KafkaBrokerAdmin:
        return self._clients.admin(connect, namespace, self._bootstrap)

    async def release(self, connect: str, namespace: str) -> None:
        await self._clients.release(connect, namespace)

    async def close(self) -> None:
        await self._clients.close()

    def _note(self, operation: str) -> None:
        self.writes.append(operation)
        self.on_write(operation)


class LiveWorld:
    """One BrokerCluster `team/demo` and the live brokers that it is about.

    Topics are created after the first `settle`, as users do: a new BrokerCluster does not take over
    brokers that hold data already. `async with` settles; at its end, or with `close`, the brokers
    are left without topics for the next test.

    Args:
        cluster: Live brokers that advertise `broker_host`.
        replicas: Of the BrokerCluster.
        connect: Its `spec.zookeeper.connect`, if that is not the cluster's own.
        real: Start and stop broker processes with their pods. If not, all of them keep running and
            only the pods come and go, which is much faster.
        spec: More of its spec.

    Attributes:
        before_pass: Called before each pass, in the event loop.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        replicas: int = 3,
        *,
        connect: str = "",
        real: bool = False,
        **spec: Any,
    ) -> None:
        self.cluster = cluster
        self.clock = Clock()
        self.recorder = Recorder()
        self.kube = FakeKube(now=self.clock.now)
        self.clients = LoopbackClients(cluster)
        self.meters = FakeMeters()  # these brokers have no agent: none of them tells anything
        self.settings = Settings(proof_seconds=0.5)
        self.memory = Memory()
        self.view = View(cluster.zookeeper)
        self.pods = Pods(self.kube, cluster, self.view, real=real)
        self.removed: list[int] = []
        self.results: list[Result] = []
        self.before_pass: Callable[[], object] = lambda: None
        self.reconciler = self.new_reconciler()
        self._sizes: dict[str, int] = {}
        self._shown: dict[str, dict[str, Any]] = {}
        self.kube.after = self.watch_lowering
        zookeeper = {"connect": connect or cluster.connect}
        self.kube.put(cluster_body(replicas, **({"zookeeper": zookeeper} | spec)))

    async def __aenter__(self) -> Self:
        try:
            await self.settle()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def new_reconciler(self, **ports: Any) -> Reconciler:
        """Return the reconciler of a new process; `ports` replace this world's."""
        own: dict[str, Any] = {
            "kube": self.kube,
            "clients": self.clients,
            "meters": self.meters,
            "clock": self.clock,
            "recorder": self.recorder,
            "settings": self.settings,
        }
        return Reconciler(**(own | ports))

    def restart_operator(self, **ports: Any) -> None:
        """Forget everything that is kept in memory only."""
        self.memory = Memory()
        self.reconciler = self.new_reconciler(**ports)

    async def close(self) -> None:
        """Close all connections and put the brokers back as they were found."""
        try:
            await self.clients.close()
            await asyncio.to_thread(self.pods.restore)
            await asyncio.to_thread(self.view.clean, self.cluster)
        finally:
            self.view.close()

    # What people do.

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the cluster's spec."""
        self.kube.edit("BrokerCluster", NAMESPACE, NAME, lambda body: change(body["spec"]))

    def scale(self, replicas: int) -> None:
        """Set `spec.replicas`, as `kubectl scale` does."""
        self.edit(lambda spec: spec.update(replicas=replicas))

    # Passes.

    async def one_pass(self) -> Result:
        """Let the kubelet catch up and make one pass."""
        self.before_pass()
        self.pods.sync()
        result = await self.reconciler.run(NAMESPACE, NAME, self.memory)
        self.results.append(result)
        self._watch_progress()
        self.pods.sync()
        await asyncio.sleep(PAUSE)
        return result

    async def settle(self, deadline: float = DEADLINE) -> None:
        """Make passes until there is nothing to do and nothing to wait for.

        Raises:
            TimeoutError: It goes on and on; with what the operator says.
        """
        quiet, before = 0, self.written()

        def rested() -> bool:
            nonlocal quiet, before
            last, now = self.results[-1:], self.written()
            done = bool(last) and last[0].delay is None and not last[0].retry
            quiet = quiet + 1 if done and self.pods.settled and before == now else 0
            before = now
            return quiet == QUIET_PASSES

        await self.until(rested, "nothing is left to do", deadline)

    async def until(
        self, reached: Callable[[], object], what: str, deadline: float = DEADLINE
    ) -> None:
        """Make passes until a condition holds.

        Raises:
            TimeoutError: It does not within `deadline` seconds.
        """
        end = time.monotonic() + deadline
        while not reached():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {deadline:g} s: {what}; {self.story()}")
            await self.one_pass()

    def written(self) -> tuple[int, int]:
        """Count the writes to Kubernetes and to Kafka and ZooKeeper so far."""
        return len(self.kube.writes), len(self.clients.writes)

    def story(self) -> str:
        """Say where the operator is, for messages of failed tests."""
        conditions = {c["type"]: (c["status"], c["message"]) for c in self.conditions()}
        return f"conditions {conditions}; {self.results[-1:]}; {self.recorder.told[-5:]}"

    def _watch_progress(self) -> None:
        """Hold each Reassignment to it that what it shows of a plan never falls without a reason.

        A hundred percent may turn out not to be all. A status that was wiped is a new one.
        """
        for reassignment in self.reassignments():
            status = reassignment.status
            shown = {"startedAt": status.get("startedAt"), **(status.get("progress") or {})}
            before, self._shown[reassignment.name] = self._shown.get(reassignment.name, {}), shown
            if all(shown.get(key) == before.get(key) for key in ("startedAt", "plan")):
                least = before | {"percent": min(before.get("percent", 0), 99)}
                figures = ("movesDone", "bytesDone", "percent")
                held = all(shown.get(key, 0) >= least.get(key, 0) for key in figures)
                assert held or shown.get("note"), (reassignment.name, before, shown)

    def watch_lowering(self, call: Call) -> None:
        """Hold every lowering of a StatefulSet to promise 2, at the very moment it happens."""
        if call.verb != "apply" or call.kind != "StatefulSet":
            return
        body = self.kube.find("StatefulSet", NAMESPACE, call.name)
        assert body is not None
        before = self._sizes.get(call.name, 0)
        self._sizes[call.name] = body["spec"]["replicas"]
        start = body["spec"]["ordinals"]["start"]
        for broker in range(start + body["spec"]["replicas"], start + before):
            held = [tp for tp, replicas in self.view.assignment().items() if broker in replicas]
            assert not held, f"broker {broker} is removed with {held}"
            assert self.view.requested() is None, f"broker {broker} is removed in mid-move"
            self.removed.append(broker)

    # What there is.

    @property
    def status(self) -> dict[str, Any]:
        """The BrokerCluster's status."""
        body: KubeObject | None = self.kube.find("BrokerCluster", NAMESPACE, NAME)
        found: dict[str, Any] = (body or {}).get("status", {})
        return found

    def conditions(self) -> list[dict[str, Any]]:
        """All conditions of the BrokerCluster."""
        return list(self.status.get("conditions", []))

    def condition(self, kind: str) -> tuple[str, str] | None:
        """Status and reason of a condition, None if it is not there."""
        found = next((c for c in self.conditions() if c["type"] == kind), None)
        return (found["status"], found["reason"]) if found else None

    def message(self, kind: str) -> str:
        """Message of a condition, empty if it is not there."""
        return next((str(c["message"]) for c in self.conditions() if c["type"] == kind), "")

    def reassignments(self) -> list[Reassignment]:
        """All Reassignments, oldest first."""
        found = map(decode_reassignment, self.kube.all("Reassignment"))
        return sorted(found, key=lambda r: r.number)

    def sizes(self) -> dict[str, int]:
        """`spec.replicas` of each StatefulSet."""
        return {b["metadata"]["name"]: b["spec"]["replicas"] for b in self.kube.all("StatefulSet")}

    def assert_at_rest(self, *brokers: int) -> None:
        """Everything is done, evenly on these brokers, and nothing is left lying about."""
        load = self.view.load()
        assert set(load) <= set(brokers), load
        counts = [load[b] for b in brokers]
        assert max(counts) - min(counts) <= 1, load
        assert not self.view.in_flight()
        assert self.view.requested() is None
        assert not (left := self.view.throttles()), left
        assert all(r.finished and r.throttle is None for r in self.reassignments())
        assert self.status["balancedBrokers"] == sorted(brokers)
        assert self.condition("Stalled") is None
        assert self.condition("Reconciling") is None
        assert self.condition("Available") == ("True", "AllPartitionsLed")
