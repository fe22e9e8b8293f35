"""Whether what a plan brings to each broker fits on its disks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import BrokerId, Sizes
    from broker_operator.core.planner.types import Plan


class Overfull(NamedTuple):
    """A broker whose disks would not hold what comes. Both in bytes."""

    broker: BrokerId
    incoming: int
    usable: int


def overfull(plan: Plan, sizes: Sizes, usable: Mapping[BrokerId, int]) -> list[Overfull]:
    """Return the brokers that a plan would fill up, fullest first.

    What leaves a broker does not count: whether it goes before the rest comes is up to the batches.

    Args:
        plan: What is to be moved.
        sizes: Bytes per partition; a missing one counts as nothing.
        usable: Bytes left on each broker's disks; a broker that is not named is not judged.
    """
    incoming: Counter[BrokerId] = Counter()
    for topic, partitions in plan.changes.items():
        for number, replicas in partitions.items():
            size = sizes.get(topic, {}).get(number, 0)
            for broker in set(replicas).difference(plan.origin[topic][number]):
                incoming[broker] += size
    found = [Overfull(b, n, usable[b]) for b, n in incoming.items() if n > usable.get(b, n)]
    return sorted(found, key=lambda it: (it.usable - it.incoming, it.broker))
