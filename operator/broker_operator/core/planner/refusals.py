"""What makes a plan impossible, said before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import TopicPartition
from broker_operator.core.planner.types import PlanRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.core.planner.types import PlanRequest

_NAMED = 3


def check(request: PlanRequest) -> None:
    """Return if a plan exists.

    Raises:
        PlanRefusedError: NoTargetBrokers, UnknownBroker, ReplicationFactorTooHigh or NoLiveReplica.
    """
    _check_targets(request)
    _check_replication_factors(request)
    _check_live_replicas(request)


def _check_targets(request: PlanRequest) -> None:
    if not request.targets:
        raise PlanRefusedError("NoTargetBrokers", "no broker would remain to hold the replicas")
    live = {broker.id for broker in request.brokers if broker.live}
    missing = sorted(request.targets - live)
    if missing:
        named = _some([str(broker) for broker in missing])
        raise PlanRefusedError(
            "UnknownBroker", f"cannot move replicas to broker {named}: not registered"
        )


def _check_replication_factors(request: PlanRequest) -> None:
    remain = len(request.targets)
    factors = {
        topic: max((len(set(replicas)) for replicas in partitions.values()), default=0)
        for topic, partitions in request.assignment.items()
    }
    high = sorted((topic, factor) for topic, factor in factors.items() if factor > remain)
    if not high:
        return
    topic, factor = high[0]
    others = _some([f"{name} ({n})" for name, n in high[1:]], _NAMED - 1)
    also = f"; the same holds for {others}" if others else ""
    brokers = "broker" if remain == 1 else "brokers"
    raise PlanRefusedError(
        "ReplicationFactorTooHigh",
        f"topic {topic} has replication factor {factor}, but only {remain} {brokers} would "
        f"remain{also}; set spec.replicas to at least {max(n for _, n in high)} or lower the "
        "replication factor",
    )


def _check_live_replicas(request: PlanRequest) -> None:
    """Refuse what cannot be copied: no target is dead, so such a partition would have to move."""
    live = {broker.id for broker in request.brokers if broker.live}
    lost = [
        TopicPartition(topic, partition)
        for topic, partitions in sorted(request.assignment.items())
        for partition, replicas in sorted(partitions.items())
        if replicas and live.isdisjoint(replicas)
    ]
    if not lost:
        return
    subject = "1 partition has" if len(lost) == 1 else f"{len(lost)} partitions have"
    raise PlanRefusedError(
        "NoLiveReplica",
        f"{subject} no live replica to copy from: {_some([str(name) for name in lost])}; "
        "bring back one of the brokers that hold them, or delete the topic",
    )


def _some(names: Sequence[str], count: int = _NAMED) -> str:
    """Join the first `count` names and say how many more there are."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")
