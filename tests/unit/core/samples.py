"""Facts of a small cluster, to be changed in one point by each test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker_operator.api.reassignment import decode_reassignment
from broker_operator.api.spec import decode_cluster
from broker_operator.core.facts import Facts
from broker_operator.core.model import (
    BrokerLogs,
    BrokerSet,
    Ensemble,
    KafkaView,
    Leadership,
    PartitionState,
    Pod,
    RegisteredBroker,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.api.spec import BrokerCluster

MIB = 1024**2


def cluster(replicas: int = 3, **spec: Any) -> BrokerCluster:
    """Return a decoded BrokerCluster `team/demo`."""
    return decode_cluster(
        {
            "metadata": {
                "name": "demo",
                "namespace": "team",
                "uid": "cluster-uid",
                "generation": 4,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"replicas": replicas, "zookeeper": {"connect": "zk:2181/demo"}, **spec},
        }
    )


def reassignment(
    number: int = 1, *, brokers: Iterable[int] = (0, 1, 2), **status: Any
) -> Reassignment:
    """Return a decoded Reassignment `demo-<number>`."""
    return decode_reassignment(
        {
            "metadata": {"name": f"demo-{number}", "namespace": "team", "uid": f"uid-{number}"},
            "spec": {"cluster": "demo", "cause": "ScaleDown", "brokers": [*brokers]},
            "status": status,
        }
    )


def request(name: str = "wish", **spec: Any) -> Reassignment:
    """Return a decoded Reassignment that a user has made, and that nobody has looked at."""
    return decode_reassignment(
        {
            "metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}"},
            "spec": {"cluster": "demo", **spec},
        }
    )


def finished(reason: str = "Succeeded") -> list[dict[str, str]]:
    """Return the conditions of a Reassignment that ended."""
    status = "True" if reason == "Succeeded" else "False"
    return [{"type": "Complete", "status": status, "reason": reason, "message": ""}]


def ensemble(*brokers: int, **changes: Any) -> Ensemble:
    """Return ZooKeeper's content with two partitions on brokers 0, 1 and 2."""
    content = Ensemble(
        cluster_id="kafka-id",
        brokers={b: RegisteredBroker(b, None, (f"demo-broker-{b}",)) for b in brokers},
        controller=0,
        migrating=False,
        topics={"orders": {0: PartitionState((0, 1)), 1: PartitionState((1, 2))}},
        requested=None,
    )
    return replace(content, **changes)


def kafka(**changes: Any) -> KafkaView:
    """Return what brokers 0, 1 and 2 say of these partitions, all in sync."""
    view = KafkaView(
        leadership={
            "orders": {0: Leadership(0, frozenset({0, 1})), 1: Leadership(1, frozenset({1, 2}))}
        },
        logs={
            0: BrokerLogs({"orders": {0: 5 * MIB}}),
            1: BrokerLogs({"orders": {0: 4 * MIB, 1: 3 * MIB + 1}}),
            2: BrokerLogs({"orders": {1: 3 * MIB}}),
        },
    )
    return replace(view, **changes)


def facts(**changes: Any) -> Facts:
    """Return the facts of a healthy cluster of three, at rest."""
    healthy = Facts(
        cluster=cluster(),
        status={},
        children={},
        broker_sets=(BrokerSet("demo-broker", None, 0, 3),),
        pods={b: Pod(f"demo-broker-{b}", b, ready=True) for b in range(3)},
        claims={},
        rivals=(),
        reassignments=(),
        intruders=(),
        last_number=0,
        plan=None,
        former=None,
        ensemble=ensemble(0, 1, 2),
        kafka=kafka(),
    )
    return replace(healthy, **changes)
