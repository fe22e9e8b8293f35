"""The operator, killed once at each of the moments named in $MOMENTS. Runs in its own pod.

The first process only watches: it starts the operator as a child, again and again. The child kills
itself with SIGKILL at the moment itself, so that nothing at all runs after it. A file for each
moment keeps it from dying of the same twice.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker_operator import app, config

if TYPE_CHECKING:
    from broker_operator.app import Ports

STATE = Path("/faults-state")
MOMENTS = os.environ["MOMENTS"].split()


def die(moment: str) -> None:
    """End this process here and now, if it has not died of this yet."""
    marker = STATE / moment
    if moment not in MOMENTS or marker.exists():
        return
    marker.touch()
    print(f"DYING {moment}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


class Wrapper:
    """Passes everything through."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class DyingCoordination(Wrapper):
    """Dies around a submission, and while one is in flight."""

    async def read(self) -> Any:
        ensemble = await self._inner.read()
        if any(state.in_flight for _, state in ensemble.partitions()):
            die("mid-move")
        return ensemble

    async def submit(self, batch: Any, seen: Any = None) -> None:
        die("before-create")
        await self._inner.submit(batch, seen)
        print(f"SUBMITTED {sum(map(len, batch.values()))} partitions", flush=True)
        die("after-create")


class DyingAdmin(Wrapper):
    """Dies before the throttle is swept."""

    async def clear_throttle(self, throttle: Any) -> None:
        die("before-sweep")
        await self._inner.clear_throttle(throttle)


class DyingKubernetes(Wrapper):
    """Dies before a StatefulSet is lowered."""

    async def apply(self, body: Any) -> Any:
        if body["kind"] == "StatefulSet":
            metadata = body["metadata"]
            live = await self._inner.get("StatefulSet", metadata["namespace"], metadata["name"])
            if live and body["spec"]["replicas"] < live["spec"]["replicas"]:
                die("before-removal")
        return await self._inner.apply(body)


class DyingClients(Wrapper):
    """Hands out clients that die."""

    def coordination(self, *args: Any) -> DyingCoordination:
        return DyingCoordination(self._inner.coordination(*args))

    def admin(self, *args: Any) -> DyingAdmin:
        return DyingAdmin(self._inner.admin(*args))


def deadly(ports: Ports) -> Ports:
    """Wrap the ports."""
    kube: Any = DyingKubernetes(ports.kube)
    clients: Any = DyingClients(ports.clients)
    return replace(ports, kube=kube, clients=clients)


def main() -> None:
    """Run operators, one after another, until told to stop."""
    child = 0

    def stop(*_: object) -> None:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        os._exit(0)

    while True:
        child = os.fork()
        if not child:
            app.run(config.from_environment(), deadly)
            os._exit(0)
        signal.signal(signal.SIGTERM, stop)
        _, status = os.waitpid(child, 0)
        print(f"ENDED by signal {os.WTERMSIG(status)}", flush=True)


if __name__ == "__main__":
    main()
