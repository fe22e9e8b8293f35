"""What is said while ZooKeeper or Kafka does not answer. It ends by itself, or with its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.reconcile.outcome import Blocked

if TYPE_CHECKING:
    from broker_operator.core.model import Unknown


def zookeeper(read: Unknown) -> Blocked:
    """Say that ZooKeeper cannot be read; `reason` of what was read names the servers."""
    message = (
        f"ZooKeeper cannot be read ({read.reason}), and nothing moves before it can; if that "
        "lasts, see that the servers in spec.zookeeper.connect run"
    )
    return Blocked("ZooKeeperUnreachable", message, stalled=False, seconds=2.0)


def kafka(read: Unknown) -> Blocked:
    """Say that no broker can be asked."""
    message = (
        f"Kafka cannot be asked ({read.reason}), and nothing moves before it can; if that lasts, "
        "see the brokers' pods"
    )
    return Blocked("KafkaUnreachable", message, stalled=False, seconds=2.0)
