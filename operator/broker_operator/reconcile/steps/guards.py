"""Reasons to touch nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core import naming
from broker_operator.core.model import Unknown
from broker_operator.core.text import name_some
from broker_operator.reconcile.outcome import DONE, Blocked, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker_operator.reconcile.scope import Scope


_ANEW = "delete this BrokerCluster and make it with another chroot"


async def check(scope: Scope) -> Outcome:
    """Run the guards in order; the first that objects ends the pass."""
    for guard in GUARDS:
        objection = guard(scope)
        if objection is not None:
            return objection
    return DONE


def not_ours(scope: Scope) -> Blocked | None:
    """Say why Kafka must not be written to even to clean up after a cluster that is deleted.

    `spec.paused` is no such reason: to delete is what its user decided last.
    """
    found = (guard(scope) for guard in (_rival, _migrating, _wrong_cluster, _foreign_brokers))
    return next((objection for objection in found if objection is not None), None)


def _stop(reason: str, message: str, *, stalled: bool = True) -> Blocked:
    return Blocked(reason, message, stalled=stalled, ends_pass=True)


def _paused(scope: Scope) -> Blocked | None:
    if not scope.facts.cluster.spec.paused:
        return None
    return _stop(
        "Paused", "spec.paused is true: nothing is changed until it is false", stalled=False
    )


def _rival(scope: Scope) -> Blocked | None:
    """Of two BrokerClusters on one Kafka cluster, the older one keeps it."""
    cluster = scope.facts.cluster
    recorded = scope.facts.recorded_cluster_id
    path = cluster.ensemble(scope.settings.cluster_domain)
    for rival in scope.facts.rivals:
        same = rival.ensemble == path or (recorded and rival.cluster_id == recorded)
        if same and (rival.created, rival.uid) < (cluster.created, cluster.uid):
            return _stop(
                "EnsembleInUse",
                f"spec.zookeeper.connect {cluster.spec.connect!r} belongs to BrokerCluster "
                f"{rival.namespace}/{rival.name}, which is older; {_ANEW}",
            )
    return None


def _unreachable(scope: Scope) -> Blocked | None:
    """Make no first broker before ZooKeeper has shown that the place is free."""
    ensemble = scope.facts.ensemble
    if not isinstance(ensemble, Unknown) or scope.facts.broker_sets:
        return None
    connect = scope.facts.cluster.spec.connect
    return _stop(
        "ZooKeeperUnreachable",
        f"spec.zookeeper.connect {connect!r} cannot be read: {ensemble.reason}; no first broker is "
        "made before it can. See that ZooKeeper runs; if the name is wrong, delete this "
        "BrokerCluster and make it anew, for the field cannot be changed",
    )


def _populated(scope: Scope) -> Blocked | None:
    """Bring no empty brokers to data: Kafka would elect them, and the data would be gone.

    The ids that metadata has in sync need not be these brokers. They are if we keep them running,
    or if their volumes wait for them.
    """
    ensemble, facts = scope.facts.ensemble, scope.facts
    if isinstance(ensemble, Unknown) or facts.broker_sets or facts.claims or not ensemble.names:
        return None
    return _stop(
        "EnsembleInUse",
        f"spec.zookeeper.connect {facts.cluster.spec.connect!r} holds {len(ensemble.names)} "
        f"topics of Kafka cluster {ensemble.cluster_id}, but this BrokerCluster has no volume with "
        "their data; delete it and make it with the name and namespace that it was made with then, "
        "or with another chroot",
    )


def _migrating(scope: Scope) -> Blocked | None:
    ensemble = scope.facts.ensemble
    if isinstance(ensemble, Unknown) or not ensemble.migrating:
        return None
    return _stop(
        "MigrationInProgress",
        "/migration exists in ZooKeeper: a KRaft controller owns the metadata now; "
        "finish or roll back the migration first",
    )


def _wrong_cluster(scope: Scope) -> Blocked | None:
    ensemble, recorded = scope.facts.ensemble, scope.facts.recorded_cluster_id
    if isinstance(ensemble, Unknown) or not recorded or ensemble.cluster_id == recorded:
        return None
    found = f"is {ensemble.cluster_id}" if ensemble.cluster_id else "does not exist"
    return _stop(
        "WrongCluster",
        f"/cluster/id in ZooKeeper {found}, but status.clusterId is {recorded}: "
        f"spec.zookeeper.connect {scope.facts.cluster.spec.connect!r} leads to another cluster, or "
        f"ZooKeeper has lost its data. Nothing is touched until it shows {recorded} again: lead "
        "the name back, or restore ZooKeeper's data",
    )


def _foreign_brokers(scope: Scope) -> Blocked | None:
    """Brokers that advertise anything but our pods' names belong to somebody else."""
    ensemble, cluster = scope.facts.ensemble, scope.facts.cluster
    if isinstance(ensemble, Unknown):
        return None
    ours = naming.broker_host("", cluster.name, cluster.namespace, scope.settings.cluster_domain)
    foreign = [
        f"{b.id} at {', '.join(b.hosts)}"
        for _, b in sorted(ensemble.brokers.items())
        if not any(host.endswith(ours) for host in b.hosts)
    ]
    if not foreign:
        return None
    return _stop(
        "EnsembleInUse",
        f"{len(foreign)} brokers that are not this BrokerCluster's are registered in "
        f"spec.zookeeper.connect {cluster.spec.connect!r}: broker {name_some(foreign)}; stop them, "
        f"or {_ANEW}",
    )


GUARDS: tuple[Callable[[Scope], Blocked | None], ...] = (
    _rival,
    _unreachable,
    _populated,
    _migrating,
    _wrong_cluster,
    _foreign_brokers,
    _paused,
)
