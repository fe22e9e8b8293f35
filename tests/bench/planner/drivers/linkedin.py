"""LinkedIn's kafka-tools: `kafka-assigner`'s `remove` and `balance -t count leader rackaware`."""

from __future__ import annotations

import argparse
import importlib
import logging
from typing import TYPE_CHECKING

from tests.bench.planner.drivers.drive import drive, in_topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.planner.drivers.drive import Plan, Question

_TYPES = ["count", "leader", "rackaware"]  # it demands that rackaware be the last


def ask(question: Question) -> Callable[[], Callable[[], Plan]]:
    """Return what plans as `kafka-assigner` does; a removal takes two of its actions."""
    models = importlib.import_module("kafka.tools.models.cluster")
    broker_model = importlib.import_module("kafka.tools.models.broker").Broker
    remove = importlib.import_module("kafka.tools.assigner.actions.remove").ActionRemove
    balance = importlib.import_module("kafka.tools.assigner.actions.balance").ActionBalance
    removed = question.removed
    args = argparse.Namespace(exclude_topics=[], types=_TYPES, brokers=removed, to_brokers=[])

    def plan() -> Callable[[], Plan]:
        cluster = models.Cluster()
        for broker, rack in question.brokers.items():
            cluster.add_broker(broker_model("b", id=broker))
            cluster.brokers[broker].rack = rack
        for topic, lists in question.topics.items():
            numbered = {str(number): replicas for number, replicas in enumerate(lists)}
            models.add_topic_with_replicas(cluster, topic, {"partitions": numbered})
        for partition in cluster.partitions():
            partition.size = 1
        if removed:
            remove(args, cluster).process_cluster()
            for broker in removed:
                del cluster.brokers[broker]
        balance(args, cluster).process_cluster()
        return lambda: (
            in_topics(
                {
                    (each.topic.name, each.num): [replica.id for replica in each.replicas]
                    for each in cluster.partitions()
                }
            ),
            {},
        )

    return plan


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    drive(ask)
