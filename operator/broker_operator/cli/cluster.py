"""A cluster as the commands see it, whatever it was read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker_operator.core.model import Broker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import (
        Assignment,
        BrokerId,
        PartitionState,
        Replicas,
        Sizes,
    )


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where everything is.

    Attributes:
        assignment: Every partition's replicas; its target if it is half-way through a move.
        brokers: Every broker that lives or that the assignment names; empty if nobody asked.
        held: Brokers with full copies, of those partitions alone that are half-way.
        sizes: Bytes of each partition's largest replica, as far as they are known.
        notes: Sentences on what could not be read.
    """

    assignment: Assignment
    brokers: tuple[Broker, ...] = ()
    held: Assignment = field(default_factory=dict)
    sizes: Sizes = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def cluster_of(
    topics: Mapping[str, Mapping[int, PartitionState]],
    racks: Mapping[BrokerId, str | None],
    sizes: Sizes,
    notes: tuple[str, ...] = (),
) -> Cluster:
    """Make a cluster from the state of its partitions and the racks of its live brokers.

    Brokers that only partitions name are dead, and in no rack that anybody knows.
    """
    assignment: dict[str, dict[int, Replicas]] = {}
    held: dict[str, dict[int, Replicas]] = {}
    named = set(racks)
    for topic, partitions in topics.items():
        assignment[topic] = {number: state.target for number, state in partitions.items()}
        half_way = {n: state.origin for n, state in partitions.items() if state.in_flight}
        if half_way:
            held[topic] = half_way
        for state in partitions.values():
            named.update(state.replicas)
    brokers = tuple(Broker(b, racks.get(b), live=b in racks) for b in sorted(named))
    return Cluster(assignment, brokers, held, sizes, notes)
