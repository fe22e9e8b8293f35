"""Yelp's kafka-utils: `kafka-cluster-manager`'s `decommission` and `rebalance`, without limits.

Runs as `yelp COUNT|GENETIC INPUT OUTPUT`. Racks are its replication groups.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from tests.bench.planner.drivers.drive import drive, in_topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.planner.drivers.drive import Plan, Question

_INFO = "kafka_utils.kafka_cluster_manager.cluster_info"
_BALANCERS = {
    "count": ("partition_count_balancer", "PartitionCountBalancer"),
    "genetic": ("genetic_balancer", "GeneticBalancer"),
}
_NO_LIMIT = 10**9


def asked(balancer: Any) -> Callable[[Question], Callable[[], Callable[[], Plan]]]:
    """Return what plans with this balancer of kafka-utils.

    A removal takes two commands, `decommission` and, without the brokers that went,
    `rebalance --replication-groups --brokers --leaders`; everything else takes the second only.
    """
    topology = importlib.import_module(f"{_INFO}.cluster_topology").ClusterTopology
    measurer = importlib.import_module(f"{_INFO}.partition_measurer").UniformPartitionMeasurer

    def ask(question: Question) -> Callable[[], Callable[[], Plan]]:
        start = {
            (topic, partition): replicas
            for topic, lists in question.topics.items()
            for partition, replicas in enumerate(lists)
        }
        # Each generation moves one replica or leader: enough for twice the moves that are needed.
        generations = f"--num-gens {max(100, 2 * question.moves)}"
        args = argparse.Namespace(
            replication_groups=True,
            brokers=True,
            leaders=True,
            max_partition_movements=_NO_LIMIT,
            max_leader_changes=_NO_LIMIT,
            max_movement_size=None,
            balancer_args=[generations] if "Genetic" in balancer.__name__ else [],
        )

        def cluster(assignment: Any, brokers: Any) -> Any:
            racks = {broker: {"rack": question.brokers[broker]} for broker in brokers}
            sizes = measurer(None, racks, assignment, args)
            return topology(assignment, racks, sizes, lambda broker: broker.metadata["rack"])

        def plan() -> Callable[[], Plan]:
            assignment = start
            if question.removed:
                whole = cluster(assignment, question.brokers)
                balancer(whole, args).decommission_brokers(question.removed)
                assignment = whole.assignment
            rest = cluster(assignment, question.targets)
            balancer(rest, args).rebalance()
            return lambda: (in_topics(rest.assignment), {})

        return plan

    return ask


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    module, name = _BALANCERS[sys.argv.pop(1)]
    drive(asked(getattr(importlib.import_module(f"{_INFO}.{module}"), name)))
