"""Facts -> what is true, what blocks, and why. Everything that decides reads a Diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.core import naming
from broker_operator.core.layout import Slot, claimed_ids, lay_out
from broker_operator.core.model import Ensemble, KafkaView, TopicPartition, Unknown
from broker_operator.core.planner.problem import mean_size
from broker_operator.core.planner.remaining import Remaining, remaining

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.facts import Facts
    from broker_operator.core.model import BrokerId


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What follows from the facts of one pass.

    Attributes:
        slots: StatefulSets as they shall be.
        desired: Broker ids that the spec asks for.
        existing: Broker ids that a StatefulSet keeps a pod for.
        volumes: Bytes of the volume of each broker of ours that has one, None while not known.
        registered: Ids under `/brokers/ids`, None if unknown.
        ready: Existing brokers whose pod is ready, and that are registered as far as is known.
        replicas: Broker -> replicas that the metadata names on it (adding and removing included),
            None if unknown.
        ours: Partitions in flight towards the active plan, or back to where it found them.
        foreign: Partitions in flight to anywhere else, or requested by somebody else.
        offline: Partitions without a leader, None if unknown.
        awaited: Live brokers whose replicas are waited for: those that are desired, but the ones
            that the active Reassignment empties. That they do not keep up may be the reason.
        lagging: Partitions not in flight where a replica on an awaited broker is out of sync; None
            if unknown.
        left: What the active plan still has to do, None without one or if unknown.
    """

    slots: tuple[Slot, ...]
    desired: frozenset[BrokerId]
    existing: frozenset[BrokerId]
    volumes: Mapping[BrokerId, int | None]
    registered: frozenset[BrokerId] | None
    ready: frozenset[BrokerId]
    replicas: Mapping[BrokerId, int] | None
    ours: tuple[TopicPartition, ...]
    foreign: tuple[TopicPartition, ...]
    offline: tuple[TopicPartition, ...] | None
    awaited: frozenset[BrokerId]
    lagging: tuple[TopicPartition, ...] | None
    left: Remaining | None

    @property
    def leaving(self) -> frozenset[BrokerId]:
        """Ids not desired that exist, or that hold replicas in one of our StatefulSets."""
        held = {b for b in self.replicas or () if any(slot.owns(b) for slot in self.slots)}
        return (self.existing | held) - self.desired

    @property
    def missing(self) -> frozenset[BrokerId]:
        """Desired ids that are not registered; all of them if that is unknown."""
        return self.desired - (self.registered or frozenset())

    @property
    def present(self) -> int:
        """How many desired ids are registered."""
        return len(self.desired) - len(self.missing)

    @property
    def occupied(self) -> frozenset[BrokerId]:
        """Leaving brokers that still hold replicas."""
        return frozenset(b for b in self.leaving if (self.replicas or {}).get(b))

    def kept(self, slot: Slot) -> int:
        """How many brokers a slot keeps: never fewer than exist, or hold a replica on a volume.

        An id that metadata names and that never was a broker of ours is somebody's mistake: the
        controller takes any number that it is sent.
        """
        ids = [b for b in self.existing | self.occupied.intersection(self.volumes) if slot.owns(b)]
        return max([slot.desired, *(b - slot.start + 1 for b in ids)])


def diagnose(facts: Facts) -> Diagnosis:
    """Draw every conclusion that more than one step needs."""
    slots = lay_out(facts.cluster.name, facts.cluster.spec, facts.broker_sets, facts.claims)
    names = {slot.name for slot in slots}
    volumes = {
        broker: facts.claims[naming.claim(owner, broker)]
        for owner, ids in claimed_ids(facts.claims).items()
        if owner in names
        for broker in ids
    }
    ensemble = facts.ensemble if isinstance(facts.ensemble, Ensemble) else None
    ours, foreign = _in_flight(facts, ensemble)
    desired = frozenset(b for slot in slots for b in slot.ids)
    awaited = desired.intersection(ensemble.brokers if ensemble else ()) - _emptied(facts)
    offline, lagging = _health(ensemble, facts.kafka, awaited)
    existing = frozenset(b for s in facts.broker_sets for b in s.ids)
    running = frozenset(b for b in existing if b in facts.pods and facts.pods[b].ready)
    return Diagnosis(
        slots=slots,
        desired=desired,
        existing=existing,
        volumes=volumes,
        registered=frozenset(ensemble.brokers) if ensemble else None,
        ready=running.intersection(ensemble.brokers) if ensemble else running,
        replicas=ensemble.replicas if ensemble and not ensemble.unreadable else None,
        ours=ours,
        foreign=foreign,
        offline=offline,
        awaited=awaited,
        lagging=lagging,
        left=_left(facts, ensemble),
    )


def _in_flight(
    facts: Facts, ensemble: Ensemble | None
) -> tuple[tuple[TopicPartition, ...], tuple[TopicPartition, ...]]:
    """Split what is in flight into our plan's and everybody else's."""
    if ensemble is None:
        return (), ()
    flying = {tp: set(state.target) for tp, state in ensemble.partitions() if state.in_flight}
    if ensemble.requested is not None and not isinstance(ensemble.requested, Unknown):
        for topic, partitions in ensemble.requested.items():
            for number, replicas in partitions.items():
                flying.setdefault(TopicPartition(topic, number), set(replicas))
    plan = None if isinstance(facts.plan, Unknown) else facts.plan
    ours: list[TopicPartition] = []
    foreign: list[TopicPartition] = []
    ways = (plan.target, plan.origin) if plan else ()
    for tp, target in sorted(flying.items()):
        planned = [set(way.get(tp.topic, {}).get(tp.partition, ())) for way in ways]
        # No plan leads to an empty list, which is also what a plan has for what it does not name.
        (ours if target and target in planned else foreign).append(tp)
    return tuple(ours), tuple(foreign)


def _emptied(facts: Facts) -> frozenset[BrokerId]:
    """Return the brokers that keep running and shall hold nothing, as a user asks."""
    active = facts.active
    return active.evacuate.union((active.replace or ())[:1]) if active else frozenset()


def _health(
    ensemble: Ensemble | None, kafka: KafkaView | Unknown, awaited: frozenset[BrokerId]
) -> tuple[tuple[TopicPartition, ...] | None, tuple[TopicPartition, ...] | None]:
    """Find offline and lagging partitions; what Kafka did not mention is being made or deleted."""
    if ensemble is None or isinstance(kafka, Unknown):
        return None, None
    offline, lagging = [], []
    for tp, state in ensemble.partitions():
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        if seen is None:
            continue
        if seen.leader is None:
            offline.append(tp)
        if not state.in_flight and not seen.isr.issuperset(awaited.intersection(state.replicas)):
            lagging.append(tp)
    for topic in ensemble.unreadable:
        led = kafka.leadership.get(topic, {})
        offline += [TopicPartition(topic, n) for n, seen in led.items() if seen.leader is None]
    return tuple(sorted(offline)), tuple(sorted(lagging))


def _left(facts: Facts, ensemble: Ensemble | None) -> Remaining | None:
    if ensemble is None or ensemble.unreadable:
        return None  # a topic that cannot be read would be taken for deleted
    if facts.recorded_cluster_id not in ("", ensemble.cluster_id):
        return None  # so would all that another cluster, or an emptied ZooKeeper, has not got
    if facts.plan is None or isinstance(facts.plan, Unknown):
        return None
    known = largest_sizes(facts.kafka) if isinstance(facts.kafka, KafkaView) else {}
    mean = mean_size(facts.plan.target, known)  # as it was foretold
    return remaining(ensemble.topics, facts.plan.ends, known, mean=mean)


def largest_sizes(kafka: KafkaView) -> dict[str, dict[int, int]]:
    """Bytes per partition: its largest replica on any broker that answered."""
    largest: dict[str, dict[int, int]] = {}
    for logs in kafka.logs.values():
        if isinstance(logs, Unknown):
            continue
        for topic, partitions in logs.sizes.items():
            known = largest.setdefault(topic, {})
            for number, size in partitions.items():
                known[number] = max(size, known.get(number, 0))
    return largest
