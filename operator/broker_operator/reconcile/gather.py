"""Read everything once -> Facts. Nothing is decided here and nothing is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from broker_operator.api.quantity import parse_bytes
from broker_operator.api.reassignment import Reassignment, decode_reassignment
from broker_operator.api.spec import InvalidSpecError, decode_cluster
from broker_operator.core import naming
from broker_operator.core.facts import Facts, Rival, StoredPlan
from broker_operator.core.lifecycle import queue, undoing
from broker_operator.core.model import BrokerSet, Ensemble, KafkaView, Pod, Unknown
from broker_operator.core.render.reassignment import read_plan
from broker_operator.ports import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import KubeObject
    from broker_operator.ports import BrokerAdmin, Coordination, Kubernetes
    from broker_operator.reconcile.scope import Memory, PlanCache

REVISION_LABEL = "controller-revision-hash"
CHILD_KINDS = ("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget")


async def gather(
    cluster: BrokerCluster,
    status: Mapping[str, Any],
    *,
    kube: Kubernetes,
    coordination: Coordination,
    admin: BrokerAdmin,
    domain: str,
    memory: Memory,
) -> Facts:
    """Observe one cluster; `domain` is the DNS domain of the Kubernetes cluster.

    `memory` spares a stored plan, which may be large, from being read anew while it is the same.

    Raises:
        TransientError: Kubernetes did not answer. Kafka and ZooKeeper become Unknown instead:
            much can be done, and everything can be reported, without them.
    """
    children, pods, claims, rivals, reassignments, ensemble = await asyncio.gather(
        _children(kube, cluster),
        kube.list("Pod", cluster.namespace, naming.selector(cluster.name)),
        kube.list("PersistentVolumeClaim", cluster.namespace, naming.selector(cluster.name)),
        kube.list("BrokerCluster", None),
        kube.list("Reassignment", cluster.namespace),
        _ensemble(coordination),
    )
    # Those of a former cluster of this name are on their way out, and not ours to go on with.
    found = [r for r in map(decode_reassignment, reassignments) if _belongs(r, cluster)]
    found.sort(key=lambda r: (r.requested, r.created if r.requested else "", r.number, r.name))
    ordered = [r for r in found if r.requested or r.owner]
    active = queue(ordered)[:1]
    undone = [r for r in (undoing(ordered),) if r and r not in active]
    return Facts(
        cluster=cluster,
        status=status,
        children={(c["kind"], c["metadata"]["name"]): c for c in children},
        broker_sets=tuple(_broker_sets(cluster, children)),
        pods={pod.broker: pod for pod in map(_pod, filter(_is_broker, pods))},
        claims={
            c["metadata"]["name"]: _capacity(c)
            for c in claims
            if "deletionTimestamp" not in c["metadata"]
        },
        rivals=tuple(_rivals(cluster, rivals, domain)),
        reassignments=tuple(ordered),
        intruders=tuple(r for r in found if not (r.requested or r.owner or r.finished)),
        last_number=max((_number(body, cluster) for body in reassignments), default=0),
        plan=await _plan(kube, active, memory.plans),
        former=await _plan(kube, undone, memory.former_plans),
        ensemble=ensemble,
        kafka=await view_kafka(admin, ensemble),
    )


def _belongs(found: Reassignment, cluster: BrokerCluster) -> bool:
    """Whether it is this cluster's, or waits to be taken in."""
    return found.owner == cluster.uid if found.owner else found.cluster == cluster.name


def _number(body: KubeObject, cluster: BrokerCluster) -> int:
    """Return the number in a name that is like our Reassignments', whoever has given it; else 0."""
    tail: str = body["metadata"]["name"].removeprefix(naming.reassignment_prefix(cluster.name))
    return int(tail) if tail.isdecimal() else 0


async def _children(kube: Kubernetes, cluster: BrokerCluster) -> list[KubeObject]:
    labels = naming.selector(cluster.name)
    found = await asyncio.gather(*(kube.list(k, cluster.namespace, labels) for k in CHILD_KINDS))
    return [
        child
        for objects in found
        for child in objects
        if "deletionTimestamp" not in child["metadata"]
    ]


def _broker_sets(cluster: BrokerCluster, children: Iterable[KubeObject]) -> Iterable[BrokerSet]:
    for child in children:
        if child["kind"] != "StatefulSet":
            continue
        name, spec = child["metadata"]["name"], child["spec"]
        status = child.get("status") or {}
        seen = status.get("observedGeneration") == child["metadata"].get("generation")
        prefix = naming.stateful_set(cluster.name, None)
        yield BrokerSet(
            name=name,
            rack=name.removeprefix(prefix).removeprefix("-") or None,
            start=(spec.get("ordinals") or {}).get("start", 0),
            replicas=spec.get("replicas", 1),
            revision=status.get("updateRevision", "") if seen else "",
        )


def _capacity(claim: KubeObject) -> int | None:
    """Return the bytes of a claim's volume, which may be more than was asked for; None so far."""
    size = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return None if size is None else parse_bytes(size)


def _is_broker(pod: KubeObject) -> bool:
    """Whether a pod with our labels is a StatefulSet's, not somebody's copy of one."""
    name: str = pod["metadata"]["name"]
    return name.rpartition("-")[2].isdecimal()


def _pod(body: KubeObject) -> Pod:
    metadata, status = body["metadata"], body.get("status") or {}
    ready = any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in status.get("conditions") or ()
    )
    return Pod(
        name=metadata["name"],
        broker=int(metadata["name"].rpartition("-")[2]),
        ready=ready and "deletionTimestamp" not in metadata,
        problem="" if ready else _pod_problem(status),
        revision=(metadata.get("labels") or {}).get(REVISION_LABEL, ""),
        uid=metadata.get("uid", ""),
    )


def _pod_problem(status: Mapping[str, Any]) -> str:
    """Say why a pod does not start, where the kubelet or the scheduler know."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"not scheduled: {condition.get('message') or condition.get('reason')}"
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        waiting = (state.get("waiting") or {}).get("reason") or ""
        if waiting in ("", "ContainerCreating", "PodInitializing"):
            continue
        last = (container.get("lastState") or {}).get("terminated") or {}
        if "exitCode" in last:
            # The kubelet's message counts its back-off: it would make each pass a new story.
            return f"{waiting}, last exit code {last['exitCode']}; see kubectl logs --previous"
        return f"{waiting}: {(state.get('waiting') or {}).get('message') or 'no message'}"
    return ""


def _rivals(cluster: BrokerCluster, bodies: Iterable[KubeObject], domain: str) -> Iterable[Rival]:
    for body in bodies:
        if body["metadata"]["uid"] == cluster.uid:
            continue
        try:
            other = decode_cluster(body)
        except InvalidSpecError:
            continue  # it serves nothing, so it collides with nothing
        yield Rival(
            namespace=other.namespace,
            name=other.name,
            uid=other.uid,
            created=other.created,
            ensemble=other.ensemble(domain),
            cluster_id=str((body.get("status") or {}).get("clusterId") or ""),
        )


async def _plan(
    kube: Kubernetes, whose: Sequence[Reassignment], cache: PlanCache
) -> StoredPlan | Unknown | None:
    """Read the stored plan of a reassignment, if there is one and it has a plan."""
    reassignment = next(iter(whose), None)
    if reassignment is None or not reassignment.plan_hash:
        cache.plan = None
        return None
    name, namespace = reassignment.name, reassignment.body["metadata"]["namespace"]
    parts = [await kube.get("ConfigMap", namespace, part) for part in reassignment.config_maps]
    if any(part is None for part in parts):
        return Unknown(f"a ConfigMap of {name}'s plan is gone")
    source = (reassignment.plan_hash, [part for part in parts if part is not None])
    if cache.plan is None or cache.source != source:
        try:
            plan = read_plan(source[1])
        except ValueError as error:
            return Unknown(str(error))
        if plan.hash != reassignment.plan_hash:
            return Unknown(f"the stored plan of {name} is not the one that was recorded")
        cache.source, cache.plan = source, plan
    return cache.plan


async def _ensemble(coordination: Coordination) -> Ensemble | Unknown:
    try:
        return await coordination.read()
    except TransientError as error:
        return Unknown(str(error))


async def view_kafka(admin: BrokerAdmin, ensemble: Ensemble | Unknown) -> KafkaView | Unknown:
    """Ask the registered brokers for leaders, ISRs and log dirs."""
    if isinstance(ensemble, Unknown):
        return ensemble
    if not ensemble.brokers:
        return Unknown("no broker is registered")
    try:
        leadership, logs = await asyncio.gather(
            admin.leadership(), admin.log_dirs(sorted(ensemble.brokers))
        )
    except TransientError as error:
        return Unknown(str(error))
    return KafkaView(leadership=leadership, logs=logs)
