"""What kopf calls. One daemon per BrokerCluster; events wake it, or clean up where it never ran.

No create, update or field handlers: they see edges, and a cluster must be brought where its spec
wants it whatever was missed. A daemon that raised or returned would be dead until restart, so it
does neither, and nothing here touches kopf's `patch`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import kopf

from broker_operator.api.spec import FINALIZER, GROUP, VERSION
from broker_operator.core.naming import MANAGED_BY

if TYPE_CHECKING:
    from broker_operator.loop import ClusterLoops

INSTANCE = "app.kubernetes.io/instance"
TOKEN_LIFETIME = timedelta(minutes=10)
OURS = {"app.kubernetes.io/managed-by": MANAGED_BY}


def register(registry: kopf.OperatorRegistry, loops: ClusterLoops) -> None:
    """Register every handler."""
    kopf.on.login(registry=registry)(login)
    _register_daemon(registry, loops)
    _register_wakes(registry, loops)

    @kopf.on.probe(id="loops", registry=registry)
    async def alive(**_: Any) -> str:
        if stuck := loops.stuck():
            raise kopf.PermanentError(f"no heartbeat of {', '.join(stuck)}")
        return "ok"


async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Log in with the service account, else with a kubeconfig, for ten minutes at a time.

    The kubelet replaces the token; kopf would use the old one until it is refused, and exit.
    """
    found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
    return replace(found, expiration=datetime.now(tz=UTC) + TOKEN_LIFETIME) if found else None


def _register_daemon(registry: kopf.OperatorRegistry, loops: ClusterLoops) -> None:
    @kopf.daemon(GROUP, VERSION, "brokerclusters", registry=registry)
    async def serve(namespace: str | None, name: str, uid: str, stopped: Any, **_: Any) -> None:
        await loops.run(str(namespace), name, stopped.wait)
        if stopped.reason and kopf.DaemonStoppingReason.RESOURCE_DELETED in stopped.reason:
            await loops.finalize(str(namespace), name, uid)


def _register_wakes(registry: kopf.OperatorRegistry, loops: ClusterLoops) -> None:
    @kopf.on.event(GROUP, VERSION, "brokerclusters", registry=registry)
    async def cluster_changed(
        namespace: str | None, name: str, uid: str, body: kopf.Body, event: kopf.RawEvent, **_: Any
    ) -> None:
        metadata = body.metadata
        # Our own status writes leave the generation as observed: they wake nobody.
        if metadata.get("generation") != body.status.get("observedGeneration"):
            loops.wake(str(namespace), name)
        if event["type"] == "DELETED":
            loops.forget(uid)
            await loops.adrift(str(namespace))
        elif metadata.get("deletionTimestamp") and FINALIZER in metadata.get("finalizers", ()):
            # kopf starts no daemon for what is being deleted already, but takes its finalizer off
            # only once this has returned.
            await loops.finalize(str(namespace), name, uid)

    @kopf.on.event(GROUP, VERSION, "reassignments", registry=registry)
    async def reassignment_changed(
        namespace: str | None, spec: kopf.Spec, event: kopf.RawEvent, **_: Any
    ) -> None:
        body: dict[str, Any] = dict(event["object"])
        metadata, seen = body["metadata"], (body.get("status") or {}).get("observedGeneration")
        gone = event["type"] == "DELETED"
        deleting = not gone and "deletionTimestamp" in metadata
        # Our own status writes leave the generation as observed: they wake nobody. What is found
        # at the start may have been observed by an operator that could not end it.
        if gone or metadata.get("generation") != seen or (deleting and event["type"] is None):
            served = loops.wake(str(namespace), str(spec.get("cluster", "")))
            # What goes with its cluster is not served by the next cluster of that name.
            if deleting or not (served or gone):
                await loops.adrift(str(namespace))

    @kopf.on.event("v1", "pods", labels=OURS, registry=registry)
    @kopf.on.event("apps", "v1", "statefulsets", labels=OURS, registry=registry)
    async def child_changed(namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
        loops.wake(str(namespace), labels.get(INSTANCE, ""))
