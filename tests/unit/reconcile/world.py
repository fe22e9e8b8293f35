"""A small world for the reconciler: an API server, a Kafka cluster, a kubelet and a clock.

Everything is in memory and in virtual time. `settle` makes passes until nothing changes any more.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from broker_operator.api.reassignment import decode_reassignment
from broker_operator.core import naming
from broker_operator.core.model import RegisteredBroker
from broker_operator.core.render.common import digest
from broker_operator.reconcile.gather import REVISION_LABEL
from broker_operator.reconcile.reconciler import Reconciler, Result
from broker_operator.reconcile.scope import Memory, Settings
from tests.fakes.kafka import FakeBrokerAdmin, FakeCoordination, FakeKafka, FakePartition
from tests.fakes.kube import Call, FakeKube
from tests.fakes.meters import FakeMeters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import BrokerId, KubeObject, Replicas

NAMESPACE, NAME = "team", "demo"
CONNECT = "zk:2181/demo"
QUIET_PASSES = 3
"""So many passes without a write, in a row, mean that nothing goes on."""
PASS_LIMIT = 300


class Moved(NamedTuple):
    """One replica that began to be copied to a broker."""

    topic: str
    partition: int
    broker: int


class Told(NamedTuple):
    """One Event."""

    reason: str
    message: str
    warning: bool


class Clock:
    """`ports.Clock` that moves only when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Recorder:
    """`ports.Recorder` that remembers."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    async def event(
        self,
        about: KubeObject,  # noqa: ARG002 - the port's
        *,
        reason: str,
        message: str,
        warning: bool = False,
    ) -> None:
        self.told.append(Told(reason, message, warning))

    def reasons(self) -> list[str]:
        return [told.reason for told in self.told]


class WatchedKafka(FakeKafka):
    """A fake cluster that lists every replica it begins to copy."""

    moved: list[Moved]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.moved = []

    def _start(self, partition: FakePartition, target: Replicas) -> None:
        name = next(
            (topic, number)
            for topic, partitions in self.topics.items()
            for number, one in partitions.items()
            if one is partition
        )
        begun = set(target).difference(partition.state.replicas)
        self.moved += [Moved(*name, broker) for broker in sorted(begun)]
        super()._start(partition, target)


class OneCluster:
    """`ports.Clients` of a world with one ensemble path."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka
        self.released: list[tuple[str, str]] = []

    def coordination(self, connect: str, namespace: str) -> FakeCoordination:  # noqa: ARG002
        return self.kafka.coordination

    def admin(
        self,
        connect: str,  # noqa: ARG002
        namespace: str,  # noqa: ARG002
        bootstrap: tuple[str, ...],
    ) -> FakeBrokerAdmin:
        self.kafka.admin.bootstrap = bootstrap
        return self.kafka.admin

    async def release(self, connect: str, namespace: str) -> None:
        self.released.append((connect, namespace))


class World:
    """One BrokerCluster `team/demo`, and everything around it.

    Attributes:
        broken: Ids whose pods never become ready, with what the kubelet says about them.
        refused: Ids whose pods the API server does not let be made.
        removed: Brokers that a lowered StatefulSet took away, in order.
        results: What each pass returned.
    """

    def __init__(self, replicas: int = 3, **spec: Any) -> None:
        self.clock = Clock()
        self.recorder = Recorder()
        self.kube = FakeKube(now=self.clock.now)
        self.kafka = WatchedKafka(complete_after=1)
        self.clients = OneCluster(self.kafka)
        self.meters = FakeMeters()
        self.memory = Memory()
        self.broken: dict[BrokerId, str] = {}
        self.refused: set[BrokerId] = set()
        self.removed: list[BrokerId] = []
        self.results: list[Result] = []
        self.reconciler = self.new_reconciler()
        self._sizes: dict[str, int] = {}
        self.kube.after = self._watch_lowering
        self.kube.put(cluster_body(replicas, **spec))

    def new_reconciler(self, **ports: Any) -> Reconciler:
        """Return the reconciler of a new process; `ports` replace this world's."""
        own: dict[str, Any] = {
            "kube": self.kube,
            "clients": self.clients,
            "meters": self.meters,
            "clock": self.clock,
            "recorder": self.recorder,
            "settings": Settings(),
        }
        return Reconciler(**(own | ports))

    def restart_operator(self) -> None:
        """Forget everything that is kept in memory only."""
        self.memory = Memory()
        self.reconciler = self.new_reconciler()

    # What people do.

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the cluster's spec."""
        self.kube.edit("BrokerCluster", NAMESPACE, NAME, lambda body: change(body["spec"]))

    def scale(self, replicas: int) -> None:
        """Set `spec.replicas`, as `kubectl scale` does."""
        self.edit(lambda spec: spec.update(replicas=replicas))

    def fill(self, **topics: int) -> None:
        """Create topics of so many partitions, dealt out evenly over the live brokers, RF 2."""
        live, dealt = sorted(self.kafka.brokers), 0
        for topic, count in topics.items():
            rows = range(dealt, dealt + count)
            spread = {
                i: (live[n % len(live)], live[(n + 1) % len(live)]) for i, n in enumerate(rows)
            }
            self.kafka.create_topic(topic, spread, size=1000)
            dealt += count

    # Passes.

    async def one_pass(self) -> Result:
        """Make one pass, then let the kubelet and the clock catch up."""
        result = await self.reconciler.run(NAMESPACE, NAME, self.memory)
        self.results.append(result)
        self.kubelet()
        self.clock.seconds += max(1.0 if result.delay is None else result.delay, 0.01)
        return result

    async def settle(self) -> None:
        """Make passes until nothing changes and nothing is waited for.

        Raises:
            AssertionError: It goes on and on.
        """
        quiet = 0
        for _ in range(PASS_LIMIT):
            before = self._footprint()
            await self.one_pass()
            quiet = quiet + 1 if self._footprint() == before else 0
            if quiet == QUIET_PASSES:
                return
        raise AssertionError(f"no rest after {PASS_LIMIT} passes; last: {self.results[-1]}")

    async def until(self, reached: Callable[[], bool]) -> None:
        """Make passes until a condition holds.

        Raises:
            AssertionError: It never does.
        """
        for _ in range(PASS_LIMIT):
            if reached():
                return
            await self.one_pass()
        raise AssertionError(f"never reached; last: {self.results[-1]}")

    def _footprint(self) -> object:
        states = [(tp, part.state) for tp, part in self.partitions()]
        return len(self.kube.writes), len(self.kafka.writes), states, sorted(self.kafka.brokers)

    # The kubelet.

    def kubelet(self) -> None:
        """Start and stop pods as the StatefulSets say; brokers register and unregister."""
        wanted: dict[BrokerId, tuple[str, str | None]] = {}
        for body in self.kube.all("StatefulSet"):
            self._observe(body)
            container = body["spec"]["template"]["spec"]["containers"][0]
            rack = {e["name"]: e.get("value") for e in container["env"]}.get("BROKER_RACK")
            for broker in set(_ids(body)) - self.refused:
                wanted[broker] = (f"{body['metadata']['name']}-{broker}", rack)
        for body in self.kube.all("Pod"):
            broker = int(body["metadata"]["name"].rpartition("-")[2])
            if broker not in wanted:
                self.kube.remove("Pod", NAMESPACE, body["metadata"]["name"])
                if self._deletes_volume_of(body["metadata"]["name"]):
                    self.kube.remove(
                        "PersistentVolumeClaim", NAMESPACE, f"data-{body['metadata']['name']}"
                    )
                if broker in self.kafka.brokers:
                    self.kafka.stop_broker(broker)
        for broker, (pod, rack) in wanted.items():
            self._run(broker, pod, rack)

    def _observe(self, body: KubeObject) -> None:
        """Write down what new pods are made from, as the StatefulSet controller does."""
        status = {
            "observedGeneration": body["metadata"]["generation"],
            "updateRevision": digest(body["spec"]["template"]),
        }
        if body.get("status") != status:
            self.kube.put(body | {"status": status})

    def _revision(self, pod: str) -> str:
        """Return what a pod was made from, or would be now."""
        if found := self.kube.find("Pod", NAMESPACE, pod):
            return str(found["metadata"]["labels"][REVISION_LABEL])
        owner = self.kube.find("StatefulSet", NAMESPACE, pod.rpartition("-")[0])
        return digest(owner["spec"]["template"]) if owner else ""

    def _deletes_volume_of(self, pod: str) -> bool:
        """Whether the StatefulSet controller deletes a pod's volume when it scales it away."""
        owner = self.kube.find("StatefulSet", NAMESPACE, pod.rpartition("-")[0])
        policy = (owner or {}).get("spec", {}).get("persistentVolumeClaimRetentionPolicy", {})
        return bool(policy.get("whenScaled") == "Delete")

    def _run(self, broker: BrokerId, pod: str, rack: str | None) -> None:
        body = pod_body(pod, self.broken.get(broker, ""), self._revision(pod))
        if self.kube.find("Pod", NAMESPACE, pod) is None:
            self.kube.put(body)
            self.kube.put(claim_body(f"data-{pod}"))
        elif self.broken.get(broker) is not None:
            self.kube.put(body)
        if broker in self.broken:
            if broker in self.kafka.brokers:
                self.kafka.stop_broker(broker)
        elif broker not in self.kafka.brokers:
            self.kube.put(body)
            self.kafka.start_broker(broker, rack)
            self.kafka.brokers[broker] = RegisteredBroker(broker, rack, (host(pod),))

    def _watch_lowering(self, call: Call) -> None:
        """Hold every lowering of a StatefulSet to promise 2, at the very moment it happens."""
        if call.verb != "apply" or call.kind != "StatefulSet":
            return
        body = self.kube.find("StatefulSet", NAMESPACE, call.name)
        assert body is not None
        before = self._sizes.get(call.name, 0)
        self._sizes[call.name] = body["spec"]["replicas"]
        start = body["spec"]["ordinals"]["start"]
        for broker in range(start + body["spec"]["replicas"], start + before):
            holds = [tp for tp, part in self.partitions() if broker in part.state.replicas]
            assert not holds, f"broker {broker} is removed with {holds}"
            assert self.kafka.request is None, f"broker {broker} is removed in mid-move"
            self.removed.append(broker)

    # What there is.

    @property
    def body(self) -> KubeObject:
        """The BrokerCluster."""
        found = self.kube.find("BrokerCluster", NAMESPACE, NAME)
        assert found is not None
        return found

    @property
    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.body.get("status", {})
        return found

    def condition(self, kind: str) -> tuple[str, str] | None:
        """Status and reason of a condition, None if it is not there."""
        for c in self.status.get("conditions", []):
            if c["type"] == kind:
                return c["status"], c["reason"]
        return None

    def message(self, kind: str) -> str:
        """Message of a condition that is there."""
        return str(next(c for c in self.status["conditions"] if c["type"] == kind)["message"])

    def reassignments(self) -> list[Reassignment]:
        """All Reassignments, oldest first."""
        found = map(decode_reassignment, self.kube.all("Reassignment"))
        return sorted(found, key=lambda r: r.number)

    def sizes(self) -> dict[str, int]:
        """`spec.replicas` of each StatefulSet."""
        return {b["metadata"]["name"]: b["spec"]["replicas"] for b in self.kube.all("StatefulSet")}

    def partitions(self) -> Iterator[tuple[tuple[str, int], FakePartition]]:
        """Every partition."""
        for topic, partitions in self.kafka.topics.items():
            for number, partition in partitions.items():
                yield (topic, number), partition

    def assignment(self) -> dict[tuple[str, int], Replicas]:
        """Where every replica is."""
        return {tp: partition.state.replicas for tp, partition in self.partitions()}

    def load(self) -> Counter[BrokerId]:
        """Replicas per broker."""
        return Counter(b for replicas in self.assignment().values() for b in replicas)

    def throttled(self) -> bool:
        """Whether any replication throttle is in force."""
        configs = [*self.kafka.broker_configs.values(), *self.kafka.topic_configs.values()]
        return any(configs)

    def in_flight(self) -> list[tuple[str, int]]:
        """Partitions that the controller is moving."""
        return [tp for tp, partition in self.partitions() if partition.state.in_flight]

    def writes(self) -> list[str]:
        """Every write at any port but to the cluster's status."""
        calls = [(c.verb, c.kind) for c in self.kube.writes]
        report = ("apply_status", "BrokerCluster")
        return [*(" ".join(c) for c in calls if c != report), *self.kafka.writes]

    def forget_writes(self) -> None:
        """Start counting anew."""
        self.kube.calls.clear()
        self.kafka.writes.clear()

    def assert_at_rest(self, *brokers: BrokerId) -> None:
        """Everything is done, evenly on these brokers, and nothing is left lying about."""
        load = self.load()
        assert set(load) <= set(brokers)
        counts = [load[b] for b in brokers]
        assert max(counts) - min(counts) <= 1, counts
        assert not self.in_flight()
        assert not self.throttled()
        assert all(r.finished and r.throttle is None for r in self.reassignments())
        assert all(p.leader == p.state.replicas[0] for _, p in self.partitions())
        assert sorted(self.kafka.brokers) == sorted(brokers)
        assert self.status["balancedBrokers"] == sorted(brokers)
        assert self.condition("Stalled") is None
        assert self.condition("Reconciling") is None
        assert self.condition("Available") == ("True", "AllPartitionsLed")


def cluster_body(replicas: int, **spec: Any) -> KubeObject:
    """Return a BrokerCluster as its user writes it."""
    return {
        "apiVersion": "broker-operator.dev/v1alpha1",
        "kind": "BrokerCluster",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "zookeeper": {"connect": CONNECT}, **spec},
    }


def pod_body(name: str, problem: str = "", revision: str = "") -> KubeObject:
    """Return a broker's pod, ready unless it has a problem."""
    status: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": "False" if problem else "True"}]
    }
    if problem:
        state = {"waiting": {"reason": problem}}
        status["containerStatuses"] = [{"name": "kafka", "state": state}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": naming.labels(NAME, "3.9.2") | {REVISION_LABEL: revision},
        },
        "status": status,
    }


def claim_body(name: str) -> KubeObject:
    """Return a broker's volume claim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": naming.selector(NAME)},
    }


def host(pod: str) -> str:
    """Return the name that a broker advertises."""
    return naming.broker_host(pod, NAME, NAMESPACE, "cluster.local")


def _ids(stateful_set: KubeObject) -> range:
    start = stateful_set["spec"]["ordinals"]["start"]
    return range(start, start + stateful_set["spec"]["replicas"])


async def filled_world(replicas: int = 3, **spec: Any) -> World:
    """Return a world at rest with data on its brokers."""
    world = World(replicas, **spec)
    await world.settle()
    world.fill(orders=6, payments=6)
    await world.settle()
    return world
