"""The composition root: everything is made here, and only here is everything known."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import signal
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import kopf

from broker_operator import handlers, logs
from broker_operator.adapters import kube
from broker_operator.adapters.clients import KafkaClients
from broker_operator.adapters.clock import SystemClock
from broker_operator.adapters.meters import HttpMeters
from broker_operator.adapters.metrics import Metrics
from broker_operator.adapters.recorder import EventRecorder
from broker_operator.api.spec import FINALIZER, GROUP
from broker_operator.loop import ClusterLoops
from broker_operator.reconcile.reconciler import Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubernetes.aio.client import ApiClient

    from broker_operator.config import Config
    from broker_operator.ports import Clients, Clock, Kubernetes, Meters, Recorder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """The reconciler's ways to the world. Tests wrap them to watch, or to fail, each call."""

    kube: Kubernetes
    clients: Clients
    meters: Meters
    clock: Clock
    recorder: Recorder


def run(config: Config, wrap: Callable[[Ports], Ports] = lambda ports: ports) -> None:
    """Run the operator until it is told to stop."""
    logs.setup(config.log_format)
    # Each event and probe is a line of kopf's. Of the clients only failures matter, and those
    # come back to us as exceptions.
    for chatty in ("kopf.objects", "kopf.activities"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for client in ("kafka", "kazoo"):
        logging.getLogger(client).setLevel(logging.CRITICAL)
    asyncio.run(_serve(config, wrap))


async def _serve(config: Config, wrap: Callable[[Ports], Ports]) -> None:
    client = await kube.connect()
    metrics = Metrics()
    clients = KafkaClients(
        cluster_domain=config.settings.cluster_domain,
        on_zookeeper_write=lambda _: metrics.write("zookeeper"),
        on_kafka_write=lambda _: metrics.write("kafka"),
    )
    meters = HttpMeters()
    ports = wrap(_ports(config, client, metrics, clients, meters))
    loops = ClusterLoops(
        reconciler=Reconciler(
            kube=ports.kube,
            clients=ports.clients,
            meters=ports.meters,
            clock=ports.clock,
            recorder=ports.recorder,
            settings=config.settings,
        ),
        telemetry=metrics,
        clock=ports.clock,
        resync_seconds=config.settings.resync_seconds,
    )
    stop_flag = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(_on_lost_exception, metrics))
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop_flag.set)
    metrics.serve(config.metrics_port)
    try:
        await kopf.operator(
            registry=_registry(loops),
            settings=_settings(),
            standalone=True,
            # kopf would ask for the user's name, and an arbitrary uid in a pod has none.
            identity=cast("Any", socket.gethostname()),
            clusterwide=not config.namespaces,
            namespaces=config.namespaces,
            liveness_endpoint=f"http://0.0.0.0:{config.health_port}/healthz",
            stop_flag=stop_flag,
        )
    finally:
        metrics.close()
        meters.close()
        await clients.close()
        await client.close()


def _on_lost_exception(
    metrics: Metrics, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    """Count what a task raised and nobody took: kopf's daemons would end so, without a word."""
    metrics.error("task")
    loop.default_exception_handler(context)


def _ports(
    config: Config, client: ApiClient, metrics: Metrics, clients: KafkaClients, meters: HttpMeters
) -> Ports:
    api = kube.KubeApi(
        client, namespaces=config.namespaces, on_write=lambda _: metrics.write("kubernetes")
    )
    clock = SystemClock()
    # Events are told, not owed: little patience, and counted apart from what changes clusters.
    talker = kube.KubeApi(client, on_write=lambda _: metrics.write("events"), timeout=5.0)
    recorder = EventRecorder(talker, clock)
    return Ports(kube=api, clients=clients, meters=meters, clock=clock, recorder=recorder)


def _registry(loops: ClusterLoops) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, loops)
    return registry


class EndlessBackoff:
    """Seconds between tries of one request of kopf's: 1 to 30 with jitter, for ever.

    With a finite list, an API server that is away for a minute would end every daemon for good.
    """

    def __iter__(self) -> Iterator[float]:
        """Start anew: each request walks the list for itself."""
        for attempt in itertools.count():
            yield min(30.0, 2.0 ** min(attempt, 5)) * random.uniform(0.5, 1.0)  # noqa: S311


def _settings() -> kopf.OperatorSettings:
    """Return kopf's settings; docs/adr/0002-kopf.md gives the reason of each."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1.0
    settings.watching.chunk_size = 500
    ours = ",".join(f"{key}={value}" for key, value in handlers.OURS.items())
    settings.watching.label_selectors["v1", "pods"] = ours
    settings.watching.label_selectors["apps", "v1", "statefulsets"] = ours
    settings.networking.request_timeout = 30
    settings.networking.enforce_retry_after = True
    settings.networking.error_backoffs = EndlessBackoff()
    settings.execution.max_workers = 4
    settings.background.cancellation_polling = 5
    settings.process.ultimate_exiting_timeout = 45
    return settings
