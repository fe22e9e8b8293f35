"""Read everything once -> Facts. Nothing is decided here and nothing is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from broker_operator.api.reassignment import CLUSTER_LABEL, Reassignment, decode_reassignment
from broker_operator.api.spec import InvalidSpecError, decode_cluster
from broker_operator.core import naming
from broker_operator.core.facts import Facts, Rival, StoredPlan
from broker_operator.core.model import BrokerSet, Ensemble, KafkaView, Pod, Unknown
from broker_operator.core.planner import assignment_hash
from broker_operator.core.render.reassignment import read_plan
from broker_operator.ports import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker_operator.api.spec import BrokerCluster
    from broker_operator.core.model import KubeObject
    from broker_operator.ports import BrokerAdmin, Coordination, Kubernetes
    from broker_operator.reconcile.scope import Memory

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
        kube.list("Reassignment", cluster.namespace, {CLUSTER_LABEL: cluster.name}),
        _ensemble(coordination),
    )
    # Those of a former cluster of this name are on their way out, and not ours to go on with.
    own = [body for body in reassignments if _belongs(body, cluster)]
    ordered = sorted(map(decode_reassignment, own), key=lambda r: (r.number, r.name))
    return Facts(
        cluster=cluster,
        status=status,
        children={(c["kind"], c["metadata"]["name"]): c for c in children},
        broker_sets=tuple(_broker_sets(cluster, children)),
        pods={pod.broker: pod for pod in map(_pod, filter(_is_broker, pods))},
        claims=frozenset(
            c["metadata"]["name"] for c in claims if "deletionTimestamp" not in c["metadata"]
        ),
        rivals=tuple(_rivals(cluster, rivals, domain)),
        reassignments=tuple(ordered),
        plan=await _plan(kube, cluster, ordered, memory),
        ensemble=ensemble,
        kafka=await view_kafka(admin, ensemble),
    )


def _belongs(body: KubeObject, cluster: BrokerCluster) -> bool:
    owners = body["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner["uid"] == cluster.uid for owner in owners)


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
        prefix = naming.stateful_set(cluster.name, None)
        yield BrokerSet(
            name=name,
            rack=name.removeprefix(prefix).removeprefix("-") or None,
            start=(spec.get("ordinals") or {}).get("start", 0),
            replicas=spec.get("replicas", 1),
        )


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
    kube: Kubernetes, cluster: BrokerCluster, reassignments: list[Reassignment], memory: Memory
) -> StoredPlan | Unknown | None:
    """Read the plan of the newest reassignment, if that is still under way and has one."""
    active = reassignments[-1] if reassignments else None
    if active is None or active.finished or not active.plan_hash:
        memory.plan = None
        return None
    parts = [await kube.get("ConfigMap", cluster.namespace, name) for name in active.config_maps]
    if any(part is None for part in parts):
        return Unknown(f"a ConfigMap of {active.name}'s plan is gone")
    source = (active.plan_hash, [part for part in parts if part is not None])
    if memory.plan is None or memory.plan[0] != source:
        try:
            plan = read_plan(source[1])
        except ValueError as error:
            return Unknown(str(error))
        if assignment_hash(plan.target) != active.plan_hash:
            return Unknown(f"the stored plan of {active.name} is not the one that was recorded")
        memory.plan = (source, plan)
    return memory.plan[1]


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
