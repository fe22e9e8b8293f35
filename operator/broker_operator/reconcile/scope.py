"""What the steps of one pass share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from broker_operator.api.spec import API_VERSION

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.adaptive import Course, Level
    from broker_operator.core.catch_up import Sample
    from broker_operator.core.diagnose import Diagnosis
    from broker_operator.core.facts import Facts, StoredPlan
    from broker_operator.core.health import Look
    from broker_operator.core.model import BrokerId, KubeObject
    from broker_operator.core.pace import Pace
    from broker_operator.ports import (
        BrokerAdmin,
        Clock,
        Coordination,
        Kubernetes,
        Meters,
        Recorder,
    )
    from broker_operator.reconcile.outcome import Blocked


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's own settings.

    Attributes:
        kafka_image: Repository of the broker image; the Kafka version is the tag.
        cluster_domain: DNS domain of the Kubernetes cluster.
        proof_seconds: Least time between the first proof that a broker is empty and its removal.
        resync_seconds: Longest time between two passes.
    """

    kafka_image: str = "broker-operator/kafka"
    cluster_domain: str = "cluster.local"
    proof_seconds: float = 5.0
    resync_seconds: float = 60.0


@dataclass(slots=True)
class PlanCache:
    """A stored plan that was read, which may be large, with the hash and ConfigMaps it is from."""

    source: tuple[str, list[KubeObject]] = ("", [])
    plan: StoredPlan | None = None


@dataclass(slots=True)
class Watch:
    """What the adaptive throttle goes by.

    Attributes:
        look: The last look at the brokers' metrics.
        level: Latencies before the moves began.
        course: The way so far of the reassignment `uid`.
        rate: Its last rate.
        moved: Monotonic time at which something was last seen in flight.
    """

    look: Look | None = None
    level: Level | None = None
    course: Course | None = None
    rate: int = 0
    uid: str = ""
    moved: float | None = None


@dataclass(slots=True)
class Writing:
    """What producers write to partitions of the plan.

    Attributes:
        samples: Sizes of the last minute.
        said: What was said of them last.
        at: Monotonic time of that.
        low: Since when an adaptive throttle has been below what is written.
        in_sync: Bytes per second that listed replicas in sync take "to" and "from" brokers, of the
            rate there.
    """

    samples: list[Sample] = field(default_factory=list)
    said: str = ""
    at: float | None = None
    low: float | None = None
    in_sync: dict[tuple[str, BrokerId], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sightings:
    """Since when something is so that every pass has seen, up to the last one. As in `Memory`."""

    proofs: dict[BrokerId, float] = field(default_factory=dict)
    strays: dict[BrokerId, float] = field(default_factory=dict)
    away: dict[BrokerId, float] = field(default_factory=dict)


@dataclass(slots=True)
class Memory:
    """What is kept between passes. All of it may be lost at any time at the cost of a delay.

    Attributes:
        proofs: Leaving broker -> monotonic time at which it was first seen empty.
        strays: Leaving broker -> monotonic time at which only stray logs were first seen on it.
        unmade: Broker -> monotonic time since which its StatefulSet owes it a pod.
        awaited: StatefulSet -> what it is said to owe, and since which monotonic time.
        away: Broker that is wanted, or moved to -> monotonic time since which it is gone.
        last: What the last pass has noted of these three.
        pace: What the last passes have seen of the reassignment under way.
        throttled: Uid, plan hash, rate, brokers, topics for which the throttle is known to be set.
        unheard: What is in the controller's way, and since which monotonic time.
        flying_since: Monotonic time since which something is in flight.
        lagging_since: Monotonic time since which lagging replicas hold the next batch up.
        elections: Preferred leader elections asked for by (uid, plan hash).
        said: What the last pass logged.
        plans: The stored plan of the active reassignment.
        former_plans: That of the one being undone.
        watch: What the adaptive throttle goes by.
        writing: What producers write to partitions of the plan.
        unplanned: Uid and resourceVersion of a Reassignment that is known to have no stored plan.
    """

    proofs: dict[BrokerId, float] = field(default_factory=dict)
    strays: dict[BrokerId, float] = field(default_factory=dict)
    unmade: dict[BrokerId, float] = field(default_factory=dict)
    awaited: dict[str, tuple[str, float]] = field(default_factory=dict)
    away: dict[BrokerId, float] = field(default_factory=dict)
    last: Sightings = field(default_factory=Sightings)
    pace: Pace | None = None
    throttled: tuple[str, str, int, frozenset[BrokerId], tuple[str, ...]] | None = None
    unheard: tuple[str, float] | None = None
    flying_since: float | None = None
    lagging_since: float | None = None
    elections: dict[tuple[str, str], int] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    plans: PlanCache = field(default_factory=PlanCache)
    former_plans: PlanCache = field(default_factory=PlanCache)
    watch: Watch = field(default_factory=Watch)
    writing: Writing = field(default_factory=Writing)
    unplanned: tuple[str, str] | None = None

    def turn(self) -> None:
        """Begin a pass: what it does not see again is not known to have lasted.

        It may end before it has looked, as while the cluster is paused. A broker that was gone
        before then may have been back, and one that was empty may have held something.
        """
        self.last = Sightings(self.proofs, self.strays, self.away)
        self.proofs, self.strays, self.away = {}, {}, {}


@dataclass(slots=True)
class Scope:
    """One pass: the facts, what follows from them, and the ways to act.

    Attributes:
        body: The BrokerCluster object as read, for Events.
        balanced: A step found that nothing needs to move over the desired brokers.
        obstacle: A step found that the controller must not be asked for moves, and why.
        touched: Uids of Reassignments that a step wrote to: of these `facts` is behind.
        unfit: Uid of a Reassignment -> why its plan does not fit, which takes long to find out.
    """

    body: KubeObject
    facts: Facts
    diagnosis: Diagnosis
    kube: Kubernetes
    coordination: Coordination
    admin: BrokerAdmin
    meters: Meters
    clock: Clock
    recorder: Recorder
    memory: Memory
    settings: Settings
    balanced: bool = False
    obstacle: Blocked | None = None
    touched: set[str] = field(default_factory=set)
    unfit: dict[str, str] = field(default_factory=dict)

    @property
    def image(self) -> str:
        """The broker image."""
        spec = self.facts.cluster.spec
        return spec.image or f"{self.settings.kafka_image}:{spec.version}"

    def timestamp(self) -> str:
        """Now, as Kubernetes writes it."""
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    async def tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Post an Event on the BrokerCluster."""
        await self.recorder.event(self.body, reason=reason, message=message, warning=warning)

    async def update(self, reassignment: Reassignment, **changes: Any) -> Reassignment:
        """Write the reassignment's status with these keys replaced (None removes a key).

        Raises:
            ConflictError: It has changed since it was read. Another process may have recorded a
                throttle in it, which the status as we read it would take off the record.
        """
        status = {**reassignment.status, **changes}
        status = {key: value for key, value in status.items() if value is not None}
        metadata = reassignment.body["metadata"]
        self.touched.add(reassignment.uid)
        body = await self.kube.apply_status(
            {
                "apiVersion": API_VERSION,
                "kind": "Reassignment",
                "metadata": {
                    key: metadata[key] for key in ("name", "namespace", "resourceVersion")
                },
                "status": status,
            }
        )
        return replace(reassignment, body=body)
