"""What one pass sees of the replicas that a plan still has to copy, and what came of the last."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from broker_operator.api.quantity import format_bytes
from broker_operator.core.model import BrokerLogs, TopicPartition
from broker_operator.core.planner.problem import mean_size
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker_operator.core.model import Assignment, BrokerId, Ensemble, KafkaView, Sizes
    from broker_operator.core.planner.remaining import Remaining

Move: TypeAlias = "tuple[TopicPartition, BrokerId]"
"""A replica to be copied, and the broker that it is copied to."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A replica on its way.

    Attributes:
        copied: Bytes on its target's disk, as last told.
        leader: Who sends it; None if nobody leads, or if Kafka did not mention the partition.
        trouble: Why nothing arrives, where that is certain; empty if it may.
        since: Monotonic time at which it was first seen on its way.
    """

    copied: int
    leader: BrokerId | None
    trouble: str
    since: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one pass saw of a plan's moves.

    Attributes:
        at: Monotonic time.
        left: Moves that are not done -> bytes of the partition's largest replica. A size that is
            not known counts as the mean of the others, as in the plan.
        flights: Those of `left` that are under way.
        senders: Who sends, or would send now, each of `left`.
    """

    at: float
    left: Mapping[Move, int]
    flights: Mapping[Move, Flight]
    senders: Mapping[Move, BrokerId]

    def rest(self, move: Move) -> int:
        """Bytes of a move that have not arrived."""
        flight = self.flights.get(move)
        return self.left[move] - (flight.copied if flight else 0)

    @property
    def held_up(self) -> bool:
        """Whether something under way cannot go on for now."""
        return any(flight.trouble for flight in self.flights.values())


@dataclass(frozen=True, slots=True)
class Gain:
    """What happened between two looks.

    Attributes:
        received, sent: Bytes that arrived, by target and by leader.
        lost: Bytes that had arrived and are there no more.
        causes: Why, in sentences; empty if nothing is lost.
    """

    received: Mapping[BrokerId, int] = field(default_factory=dict)
    sent: Mapping[BrokerId, int] = field(default_factory=dict)
    lost: int = 0
    causes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that arrived, whatever was lost."""
        return sum(self.received.values())


def look(
    target: Assignment,
    ensemble: Ensemble,
    kafka: KafkaView,
    *,
    left: Remaining,
    sizes: Sizes,
    at: float,
) -> Look:
    """Look at the moves that `left` still has.

    Args:
        target: Where the plan leads.
        ensemble: Live state.
        kafka: Leaders, and what has arrived.
        left: What `remaining` says of both.
        sizes: Bytes of each partition's largest replica.
        at: Now, monotonic.
    """
    found: dict[Move, int] = {}
    flights: dict[Move, Flight] = {}
    senders: dict[Move, BrokerId] = {}
    mean: int | None = None
    for tp in left.partitions:
        state = ensemble.topics[tp.topic][tp.partition]
        missing = set(target[tp.topic][tp.partition]).difference(state.replicas)
        flying = set(target[tp.topic][tp.partition]).intersection(state.adding)
        size = sizes.get(tp.topic, {}).get(tp.partition)
        if size is None:
            mean = mean_size(target, sizes) if mean is None else mean
            size = mean
        leader = _leader(kafka, tp)
        for broker in sorted(missing | flying):
            found[tp, broker] = size
            senders[tp, broker] = (state.origin or state.replicas)[0] if leader is None else leader
            if broker in flying:
                flights[tp, broker] = _flight(
                    tp, broker, size=size, ensemble=ensemble, kafka=kafka, at=at
                )
    return Look(at, found, flights, senders)


def carried(before: Look, now: Look, silent: Iterable[Move]) -> Look:
    """Return `now` with what only the look before can tell.

    That is when a flight began, and what had arrived at a broker that does not answer: unknown is
    not nothing.
    """
    unheard = set(silent)
    flights = {
        move: replace(
            flight,
            since=before.flights[move].since,
            copied=min(now.left[move], before.flights[move].copied)
            if move in unheard
            else flight.copied,
        )
        if move in before.flights
        else flight
        for move, flight in now.flights.items()
    }
    return replace(now, flights=flights)


def silent(now: Look, kafka: KafkaView) -> list[Move]:
    """Return the flights whose target did not tell what has arrived."""
    return [move for move in now.flights if not isinstance(kafka.logs.get(move[1]), BrokerLogs)]


def compare(before: Look, now: Look, ensemble: Ensemble, sizes: Sizes) -> Gain:
    """Return what two looks at the same plan tell of the time between them.

    A partition that was deleted gives nothing and takes nothing: what was copied was copied.
    """
    received: dict[BrokerId, int] = {}
    sent: dict[BrokerId, int] = {}
    shrunk: dict[BrokerId, int] = {}
    called_off: list[Move] = []
    lost = 0
    for move, size in before.left.items():
        (tp, broker), copied = move, size - before.rest(move)
        if tp.partition not in ensemble.topics.get(tp.topic, {}):
            continue
        if move not in now.left:
            gained = sizes.get(tp.topic, {}).get(tp.partition, size) - copied
        else:
            gained = now.left[move] - now.rest(move) - copied
            # Retention that takes segments off the leader takes them off the copy as well.
            if gained < min(0, now.left[move] - size):
                lost -= gained
                if move in now.flights:
                    shrunk[broker] = shrunk.get(broker, 0) - gained
                else:
                    called_off.append(move)
        if gained > 0:
            source = before.senders[move]
            received[broker] = received.get(broker, 0) + gained
            sent[source] = sent.get(source, 0) + gained
    undone = [move for move in now.left if move not in before.left]
    lost += sum(now.rest(move) for move in undone)
    return Gain(received, sent, lost, tuple(_causes(shrunk, called_off, undone)))


def _causes(
    shrunk: Mapping[BrokerId, int], called_off: list[Move], undone: list[Move]
) -> Iterable[str]:
    for broker, count in sorted(shrunk.items()):
        yield f"broker {broker} has lost {format_bytes(count)} that were copied to it"
    if called_off:
        names = name_some(sorted({tp for tp, _ in called_off}))
        yield f"{len(called_off)} moves were called off half-way ({names})"
    if undone:
        names = name_some(sorted({tp for tp, _ in undone}))
        yield f"{len(undone)} replicas that were in place are no more ({names})"


def _leader(kafka: KafkaView, tp: TopicPartition) -> BrokerId | None:
    seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
    return seen.leader if seen else None


def _flight(
    tp: TopicPartition,
    broker: BrokerId,
    *,
    size: int,
    ensemble: Ensemble,
    kafka: KafkaView,
    at: float,
) -> Flight:
    logs, seen = kafka.logs.get(broker), kafka.leadership.get(tp.topic, {}).get(tp.partition)
    copied = None
    if isinstance(logs, BrokerLogs):
        copied = logs.sizes.get(tp.topic, {}).get(tp.partition)
    trouble = ""
    if broker not in ensemble.brokers:
        trouble = f"broker {broker} is not registered"
    elif seen is not None and seen.leader is None:
        trouble = "no broker leads it, so there is nothing to copy from"
    elif isinstance(logs, BrokerLogs) and logs.failed and copied is None:
        trouble = f"a log dir of broker {broker} has failed"
    return Flight(min(size, copied or 0), seen.leader if seen else None, trouble, at)
