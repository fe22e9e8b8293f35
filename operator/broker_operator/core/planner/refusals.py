"""What makes a plan impossible, said before any work is done."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from broker_operator.core.model import TopicPartition
from broker_operator.core.planner.types import PlanRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.core.model import BrokerId
    from broker_operator.core.planner.types import PlanRequest

_NAMED = 3


def check(request: PlanRequest) -> None:
    """Return if a plan exists.

    Raises:
        PlanRefusedError: NoTargetBrokers, UnknownBroker, InvalidWeight, UnknownTopic,
            PinnedTopicChanged, PinnedTopicOnLeavingBroker, ReplicationFactorTooLow,
            ReplicationFactorTooHigh or NoLiveReplica.
    """
    _check_brokers(request)
    _check_topics(request)
    _check_pins(request)
    _check_replication_factors(request)
    _check_live_replicas(request)


def _check_brokers(request: PlanRequest) -> None:
    if not request.targets:
        raise PlanRefusedError(
            "NoTargetBrokers",
            f"no broker would remain of {len(request.brokers)} to hold the replicas of "
            f"{_count(len(request.assignment), 'topic')}; keep at least one",
        )
    live = {broker.id for broker in request.brokers if broker.live}
    if missing := sorted(request.targets - live):
        named = _some([str(broker) for broker in missing])
        raise PlanRefusedError(
            "UnknownBroker",
            f"cannot move replicas to broker {named}: {len(missing)} of the "
            f"{len(request.targets)} brokers that shall hold them "
            f"{'is' if len(missing) == 1 else 'are'} not registered; start them, or leave them out",
        )
    for broker in request.brokers:
        if not 0 < broker.weight < math.inf:
            raise PlanRefusedError(
                "InvalidWeight",
                f"broker {broker.id} has weight {broker.weight:g}; give it a finite number above "
                "0, or none for 1",
            )
    if unknown := sorted(request.excluded - {broker.id for broker in request.brokers}):
        named = _some([str(broker) for broker in unknown])
        raise PlanRefusedError(
            "UnknownBroker",
            f"cannot exclude broker {named}: there is none among the {len(request.brokers)} "
            f"known ({_some([str(broker.id) for broker in request.brokers])}); leave it out",
        )


def _check_topics(request: PlanRequest) -> None:
    for what, topics in (("pin", request.pinned), ("change", request.factors)):
        if unknown := sorted(set(topics).difference(request.assignment)):
            raise PlanRefusedError(
                "UnknownTopic",
                f"cannot {what} topic {_some(unknown)}: there is none among the "
                f"{_count(len(request.assignment), 'topic')} known; check the name, or leave it "
                "out",
            )
    if both := sorted(request.pinned.intersection(request.factors)):
        raise PlanRefusedError(
            "PinnedTopicChanged",
            f"topic {_some(both)} is pinned, and shall get another replication factor: "
            "give up one of the two",
        )


def _check_pins(request: PlanRequest) -> None:
    """Refuse to leave a pinned topic on a broker that is no target: both cannot be had."""
    stuck = [
        (TopicPartition(topic, partition), broker)
        for topic in sorted(request.pinned)
        for partition, replicas in sorted(request.assignment[topic].items())
        for broker in replicas
        if broker not in request.targets
    ]
    if not stuck:
        return
    (name, broker), topics = stuck[0], sorted({name.topic for name, _ in stuck})
    count = "1 replica" if len(stuck) == 1 else f"{len(stuck)} replicas"
    raise PlanRefusedError(
        "PinnedTopicOnLeavingBroker",
        f"pinned topic {_some(topics)} has {count} on brokers that are removed or dead, such as "
        f"{name} on broker {broker}; unpin it, or keep the broker",
    )


def _check_replication_factors(request: PlanRequest) -> None:
    remain, few = len(request.targets), len(request.targets - request.excluded)
    high: dict[str, int] = {}
    closed: dict[str, int] = {}
    for topic, partitions in sorted(request.assignment.items()):
        for partition, replicas in partitions.items():
            factor = request.factors.get(topic, len(set(replicas))) if replicas else 0
            if factor < 1 and replicas:
                raise PlanRefusedError(
                    "ReplicationFactorTooLow",
                    f"topic {topic} cannot have replication factor {factor}; ask for one from 1 to "
                    f"{remain}, the number of brokers that may hold it",
                )
            if topic not in request.pinned and factor > few:
                if factor > remain:
                    high[topic] = max(factor, high.get(topic, 0))
                elif factor > few + len(_held_by_excluded(request, topic, partition)):
                    closed[topic] = max(factor, closed.get(topic, 0))
    if high:
        only = f"only {_count(remain, 'broker')} would remain"
        raise _too_high(request, high, only, f"keep at least {max(high.values())} brokers")
    if closed:
        only = f"only {_count(few, 'broker')} may receive replicas"
        raise _too_high(request, closed, only, f"let at least {max(closed.values())} receive them")


def _held_by_excluded(request: PlanRequest, topic: str, partition: int) -> frozenset[BrokerId]:
    held = request.held.get(topic, {}).get(partition, request.assignment[topic][partition])
    return request.targets.intersection(request.excluded, held)


def _too_high(
    request: PlanRequest, factors: dict[str, int], why: str, remedy: str
) -> PlanRefusedError:
    high = list(factors.items())
    topic, factor = high[0]
    has = "is to have" if topic in request.factors else "has"
    others = _some([f"{name} ({n})" for name, n in high[1:]], _NAMED - 1)
    also = f"; the same holds for {others}" if others else ""
    return PlanRefusedError(
        "ReplicationFactorTooHigh",
        f"topic {topic} {has} replication factor {factor}, but {why}{also}; {remedy} or "
        f"{'ask for a lower one' if topic in request.factors else 'lower the replication factor'}",
    )


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _check_live_replicas(request: PlanRequest) -> None:
    """Refuse what cannot be copied: no target is dead, so such a partition would have to move."""
    live = {broker.id for broker in request.brokers if broker.live}
    lost = [
        TopicPartition(topic, partition)
        for topic, partitions in sorted(request.assignment.items())
        for partition, replicas in sorted(partitions.items())
        if replicas and live.isdisjoint(request.held.get(topic, {}).get(partition, replicas))
    ]
    if not lost:
        return
    held = {
        broker
        for topic, number in lost
        for broker in request.held.get(topic, {}).get(number, request.assignment[topic][number])
    }
    subject = "1 partition has" if len(lost) == 1 else f"{len(lost)} partitions have"
    raise PlanRefusedError(
        "NoLiveReplica",
        f"{subject} no live replica to copy from: {_some([str(name) for name in lost])}, held by "
        f"broker {_some([str(broker) for broker in sorted(held)])}; bring "
        f"{'it' if len(held) == 1 else 'these'} back, or delete the topic",
    )


def _some(names: Sequence[str], count: int = _NAMED) -> str:
    """Join the first `count` names and say how many more there are."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")
