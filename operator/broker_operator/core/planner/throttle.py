"""The replication throttle that a plan needs (KIP-73)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.core.model import Throttle, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.core.model import Assignment, BrokerId


@dataclass(frozen=True, slots=True)
class Listed:
    """Whom the throttle's lists name of a partition.

    Attributes:
        leaders: Replicas that it had: any of them may come to lead it.
        followers: Replicas that it gets.
    """

    leaders: frozenset[BrokerId]
    followers: frozenset[BrokerId]


def listed(origin: Assignment, target: Assignment) -> dict[TopicPartition, Listed]:
    """Return what is listed of each partition that gets a replica, in order.

    As Kafka's own tool does it: leaders are held back for every origin replica of a moving
    partition, any of which may come to lead it; followers for its new replicas only, so that
    the in-sync ones keep up unhindered. A partition that is only reordered copies nothing.
    """
    found = {}
    for topic, partitions in sorted(target.items()):
        for number, replicas in sorted(partitions.items()):
            before = frozenset(origin.get(topic, {}).get(number, ()))
            added = frozenset(replicas) - before
            if before and added:
                found[TopicPartition(topic, number)] = Listed(before, added)
    return found


def throttle_for(
    origin: Assignment, target: Assignment, rate: int, brokers: Iterable[BrokerId]
) -> Throttle:
    """Return the throttle for the moves from origin to target: the lists of `listed`.

    Args:
        origin: Where the replicas were when the reassignment began.
        target: Where they go.
        rate: Bytes per second and broker, for either side.
        brokers: Brokers whose rate may be set, usually those that exist. Of these, the ones in
            the origin or target of a moving partition are returned.
    """
    leading: dict[str, list[str]] = {}
    following: dict[str, list[str]] = {}
    involved: set[BrokerId] = set()
    for (topic, number), its in listed(origin, target).items():
        leading.setdefault(topic, []).extend(f"{number}:{b}" for b in sorted(its.leaders))
        following.setdefault(topic, []).extend(f"{number}:{b}" for b in sorted(its.followers))
        involved |= its.leaders | its.followers
    leaders, followers = (
        {topic: ",".join(entries) for topic, entries in lists.items()}
        for lists in (leading, following)
    )
    return Throttle(rate, tuple(sorted(involved.intersection(brokers))), leaders, followers)
