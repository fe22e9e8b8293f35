"""The replication throttle that a plan needs (KIP-73)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import Throttle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.core.model import Assignment, BrokerId


def throttle_for(
    origin: Assignment, target: Assignment, rate: int, brokers: Iterable[BrokerId]
) -> Throttle:
    """Return the throttle for the moves from origin to target.

    As Kafka's own tool does it: leaders are held back for every origin replica of a moving
    partition, any of which may come to lead it; followers for its new replicas only, so that
    the in-sync ones keep up unhindered. A partition that is only reordered copies nothing.

    Args:
        origin: Where the replicas were when the reassignment began.
        target: Where they go.
        rate: Bytes per second and broker, for either side.
        brokers: Brokers whose rate may be set, usually those that exist. Of these, the ones in
            the origin or target of a moving partition are returned.
    """
    leaders: dict[str, str] = {}
    followers: dict[str, str] = {}
    involved: set[BrokerId] = set()
    for topic, partitions in sorted(target.items()):
        before: list[tuple[int, BrokerId]] = []
        new: list[tuple[int, BrokerId]] = []
        for number, replicas in sorted(partitions.items()):
            sources = set(origin.get(topic, {}).get(number, ()))
            added = set(replicas) - sources
            if sources and added:
                before += [(number, broker) for broker in sorted(sources)]
                new += [(number, broker) for broker in sorted(added)]
                involved |= sources.union(replicas)
        if new:
            leaders[topic] = _listed(before)
            followers[topic] = _listed(new)
    return Throttle(rate, tuple(sorted(involved.intersection(brokers))), leaders, followers)


def _listed(replicas: list[tuple[int, BrokerId]]) -> str:
    return ",".join(f"{number}:{broker}" for number, broker in replicas)
