"""The life of a cluster, as a list of steps."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker_operator.api.reassignment import CLUSTER_LABEL, SWEEP_FINALIZER
from broker_operator.api.spec import API_VERSION, InvalidSpecError, decode_cluster
from broker_operator.core import naming
from broker_operator.core.diagnose import diagnose
from broker_operator.core.status import invalid_status
from broker_operator.ports import RejectedError, TransientError
from broker_operator.reconcile import absence, adrift, report
from broker_operator.reconcile.gather import gather
from broker_operator.reconcile.outcome import Blocked, Done, Outcome, Retry, Wait, rejected
from broker_operator.reconcile.scope import Memory, Scope, Settings
from broker_operator.reconcile.steps import (
    brokers,
    guards,
    move,
    objects,
    plan,
    queue,
    remove,
    repair,
    throttle,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from broker_operator.core.model import KubeObject
    from broker_operator.ports import (
        BrokerAdmin,
        Clients,
        Clock,
        Coordination,
        Kubernetes,
        Meters,
        Recorder,
    )

log = logging.getLogger(__name__)

STEPS: tuple[Callable[[Scope], Awaitable[Outcome]], ...] = (
    guards.check,  # may this cluster be touched at all?
    absence.note,  # which brokers are away, seen in every pass
    remove.prove,  # which leaving brokers are empty, likewise
    objects.apply,  # services, config, PDB, service account
    brokers.apply,  # StatefulSets: never fewer brokers than hold data
    brokers.replace,  # pods that a former template keeps from starting
    brokers.wait,  # who is not ready yet, and why
    queue.admit,  # what users ask for, one at a time
    repair.clear,  # what is in the controller's way
    plan.make,  # must partitions move, and where to?
    move.advance,  # batch by batch, then leaders, throttle, record
    remove.apply,  # leaving brokers that are proved empty
    tidy.history,  # old reassignments
)


@dataclass(frozen=True, slots=True)
class Result:
    """What the loop needs to know of a pass.

    Attributes:
        delay: Seconds after which to look again, None for the ordinary resync.
        retry: Why the pass should be tried again with back-off; empty if it went through.
        status: The cluster's status as it now is, for metrics.
        reassignment: Name and status of the reassignment under way, for metrics.
    """

    delay: float | None
    retry: str
    status: dict[str, Any]
    reassignment: tuple[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings BrokerClusters where their specs want them, one pass at a time."""

    kube: Kubernetes
    clients: Clients
    meters: Meters
    clock: Clock
    recorder: Recorder
    settings: Settings

    async def run(self, namespace: str, name: str, memory: Memory) -> Result:
        """Make one pass over a cluster.

        Raises:
            TransientError: Kubernetes did not answer, so not even the status could be written.
        """
        memory.turn()
        body = await self.kube.get("BrokerCluster", namespace, name)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return Result(delay=None, retry="", status={})
        try:
            scope = await self._scope(body, memory)
        except InvalidSpecError as error:
            return await self._refuse(body, error)
        outcomes = await _walk(scope)
        _log(namespace, name, outcomes, memory)
        status, moving = await report.write(scope, outcomes)
        return Result(_delay(outcomes), _retry(outcomes), status, moving)

    async def finalize(self, namespace: str, name: str) -> None:
        """Sweep what a deleted cluster's reassignments have set.

        Nothing is swept where a guard forbids to write: `release` tells what is left then.

        Raises:
            TransientError, RejectedError: Not everything could be swept; call again, or give up
                with `release`.
        """
        body = await self.kube.get("BrokerCluster", namespace, name)
        if body is None:
            return
        try:
            scope = await self._scope(body, Memory())
        except InvalidSpecError:
            return
        if (objection := guards.not_ours(scope)) is not None:
            log.warning("%s/%s: not swept: %s", namespace, name, objection.message)
            return
        failures: list[TransientError | RejectedError] = []
        for reassignment in scope.facts.reassignments:
            try:
                if reassignment.throttle is not None:
                    await throttle.sweep(scope, reassignment)
            except (TransientError, RejectedError) as error:
                failures.append(error)  # the brokers of the next one may well answer
        if failures:
            raise failures[0]

    async def adrift(self, namespace: str) -> None:
        """See `adrift.look`."""
        await adrift.look(self.kube, self.recorder, self.clock, namespace)

    async def release(self, namespace: str, name: str) -> None:
        """Take our finalizers off a deleted cluster's reassignments and close its connections.

        Says in an Event what throttle could not be swept: nobody will remember it.

        Raises:
            TransientError: Kubernetes did not answer.
        """
        labels = {CLUSTER_LABEL: name}
        cluster = await self.kube.get("BrokerCluster", namespace, name)
        for body in await self.kube.list("Reassignment", namespace, labels):
            if SWEEP_FINALIZER in (body["metadata"].get("finalizers") or ()):
                await adrift.let_go(self.kube, self.recorder, body, cluster or body)
        connect = ((cluster or {}).get("spec") or {}).get("zookeeper", {}).get("connect")
        if connect:
            await self.clients.release(connect, namespace)

    async def _scope(self, body: KubeObject, memory: Memory) -> Scope:
        cluster = decode_cluster(body)
        coordination, admin = self._connect(cluster.name, cluster.namespace, cluster.spec.connect)
        facts = await gather(
            cluster,
            body.get("status") or {},
            kube=self.kube,
            coordination=coordination,
            admin=admin,
            domain=self.settings.cluster_domain,
            memory=memory,
        )
        return Scope(
            body=body,
            facts=facts,
            diagnosis=diagnose(facts),
            kube=self.kube,
            coordination=coordination,
            admin=admin,
            meters=self.meters,
            clock=self.clock,
            recorder=self.recorder,
            memory=memory,
            settings=self.settings,
        )

    def _connect(self, name: str, namespace: str, connect: str) -> tuple[Coordination, BrokerAdmin]:
        domain = f"{namespace}.svc.{self.settings.cluster_domain}:{naming.KAFKA_PORT}"
        bootstrap = (f"{naming.brokers(name)}.{domain}", f"{naming.headless(name)}.{domain}")
        return (
            self.clients.coordination(connect, namespace),
            self.clients.admin(connect, namespace, bootstrap),
        )

    async def _refuse(self, body: KubeObject, error: InvalidSpecError) -> Result:
        metadata, old = body["metadata"], body.get("status") or {}
        now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        status = invalid_status(old, metadata["generation"], error.problems, now)
        if status != old:
            await self.kube.apply_status(
                {
                    "apiVersion": API_VERSION,
                    "kind": "BrokerCluster",
                    "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
                    "status": status,
                }
            )
            await self.recorder.event(body, reason="InvalidSpec", message=str(error), warning=True)
        return Result(delay=None, retry="", status=status)


async def _walk(scope: Scope) -> list[Outcome]:
    """Run the steps until one ends the pass. A step's failure ends it too, but is reported."""
    outcomes: list[Outcome] = []
    for step in STEPS:
        try:
            outcome = await step(scope)
        except TransientError as error:
            outcome = Retry(str(error))
        except RejectedError as error:
            outcome = rejected(error, ends_pass=True)
        if not isinstance(outcome, Done):
            outcomes.append(outcome)
        if isinstance(outcome, Wait | Retry) or (
            isinstance(outcome, Blocked) and outcome.ends_pass
        ):
            break
    return outcomes


def _log(namespace: str, name: str, outcomes: Sequence[Outcome], memory: Memory) -> None:
    """Say what keeps a cluster busy, once: not in every pass that finds the same."""
    said = tuple(f"{o.reason}: {o.message}" for o in outcomes if isinstance(o, Wait | Blocked))
    if said != memory.said:
        for line in said or ("Settled",):
            log.info("%s/%s %s", namespace, name, line)
    memory.said = said


def _delay(outcomes: Sequence[Outcome]) -> float | None:
    waits = [o.seconds for o in outcomes if isinstance(o, Wait | Blocked)]
    return min(waits) if waits else None


def _retry(outcomes: Sequence[Outcome]) -> str:
    return next((o.message for o in outcomes if isinstance(o, Retry)), "")
