"""One endless loop per cluster: wake, pass, back off. It never raises and never returns early."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from broker_operator.logs import bound
from broker_operator.ports import RejectedError, TransientError
from broker_operator.reconcile.scope import Memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker_operator.ports import Clock, Telemetry
    from broker_operator.reconcile.reconciler import Reconciler

log = logging.getLogger(__name__)

MIN_BACKOFF, MAX_BACKOFF = 1.0, 300.0
FINALIZE_SECONDS = 20.0
"""A deleted cluster is let go after this long even if Kafka cannot be reached."""
ATTEMPT_SECONDS = 10.0
"""One attempt at cleaning up takes no longer than this."""
ADRIFT_ATTEMPTS = 10
"""So often Reassignments without a cluster are seen to: for about half a minute."""
STUCK_SECONDS = 300.0
"""A pass that takes longer than this is not coming back: the liveness probe says so."""

ClusterKey = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class ClusterLoops:
    """The loops of all clusters: their wake-up calls and their heartbeats."""

    reconciler: Reconciler
    telemetry: Telemetry
    clock: Clock
    resync_seconds: float = 60.0
    _wakes: dict[ClusterKey, asyncio.Event] = field(default_factory=dict)
    _heartbeats: dict[ClusterKey, float] = field(default_factory=dict)
    _finalized: set[str] = field(default_factory=set)
    _adrift: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wake(self, namespace: str, name: str) -> bool:
        """Make a cluster's loop look now; return whether there is one."""
        event = self._wakes.get((namespace, name))
        if event is not None:
            event.set()
        return event is not None

    def stuck(self) -> list[str]:
        """Return the clusters whose loop has not come round for too long."""
        limit = self.clock.monotonic() - STUCK_SECONDS - self.resync_seconds
        return [f"{ns}/{name}" for (ns, name), beat in self._heartbeats.items() if beat < limit]

    async def run(
        self, namespace: str, name: str, stopped: Callable[[], Awaitable[object]]
    ) -> None:
        """Serve one cluster until `stopped()` comes true."""
        key = (namespace, name)
        wake = self._wakes.setdefault(key, asyncio.Event())
        memory, attempt = Memory(), 0
        end = asyncio.create_task(_awaited(stopped))
        try:
            while not end.done():
                wake.clear()  # before reading: what changes from here on wakes us again
                self._heartbeats[key] = self.clock.monotonic()
                delay, failed = await self._pass(key, memory)
                attempt = attempt + 1 if failed else 0
                if failed:
                    delay = _backoff(attempt)
                await self._sleep(end, wake, min(delay, self.resync_seconds))
        finally:
            end.cancel()
            self._wakes.pop(key, None)
            self._heartbeats.pop(key, None)

    async def finalize(self, namespace: str, name: str, uid: str) -> None:
        """Clean up after a deleted cluster, once. Bounded: the object goes even if Kafka is down.

        While its loop runs, nothing is done: who runs it calls this afterwards. A call that could
        not even let the Reassignments go, for the API server was away, does not count.
        """
        key = (namespace, name)
        if key in self._wakes or uid in self._finalized:
            return
        self._finalized.add(uid)
        deadline, done = self.clock.monotonic() + FINALIZE_SECONDS, False
        try:
            for step in (self.reconciler.finalize, self.reconciler.release):
                # However long the first step took: the second may have to try again, too.
                deadline = max(deadline, self.clock.monotonic() + ATTEMPT_SECONDS)
                done = await self._clean(step, key, deadline)
        finally:
            if not done:
                self._finalized.discard(uid)
            self._heartbeats.pop(key, None)
        self.telemetry.drop(namespace, name)

    def forget(self, uid: str) -> None:
        """Forget a cluster that is gone: nobody will ask to finalize it again."""
        self._finalized.discard(uid)

    async def adrift(self, namespace: str) -> None:
        """See to a namespace's Reassignments for which there is no BrokerCluster. Bounded."""
        # Many of them may go at once: what one call has done, the next need not.
        async with self._adrift:
            for attempt in range(1, ADRIFT_ATTEMPTS + 1):
                try:
                    await self.reconciler.adrift(namespace)
                except (TransientError, RejectedError) as error:
                    log.warning("Looking for Reassignments adrift in %s: %s", namespace, error)
                    await asyncio.sleep(min(_backoff(attempt), 5.0))
                else:
                    return

    async def _clean(
        self, step: Callable[[str, str], Awaitable[None]], key: ClusterKey, deadline: float
    ) -> bool:
        """Take a step, again and again until the deadline; return whether it went through."""
        attempt = 0
        while True:
            self._heartbeats[key] = self.clock.monotonic()
            try:
                await asyncio.wait_for(step(*key), ATTEMPT_SECONDS)
            except (TransientError, RejectedError, TimeoutError) as error:
                log.warning("Cleaning up %s/%s: %s", *key, error)
            except Exception:
                log.exception("Cleaning up %s/%s failed", *key)
            else:
                return True
            attempt += 1
            if self.clock.monotonic() >= deadline:
                log.error("Giving up cleaning up %s/%s", *key)
                return False
            await asyncio.sleep(min(_backoff(attempt), 5.0))

    async def _pass(self, key: ClusterKey, memory: Memory) -> tuple[float, bool]:
        """Make one pass; return the seconds until the next and whether it failed."""
        with bound(namespace=key[0], name=key[1], reconcileID=uuid4().hex[:8]):
            return await self._bound_pass(key, memory)

    async def _bound_pass(self, key: ClusterKey, memory: Memory) -> tuple[float, bool]:
        started = self.clock.monotonic()
        delay, failed, result = self.resync_seconds, True, "error"
        try:
            done = await self.reconciler.run(*key, memory)
        except (TransientError, RejectedError) as error:
            log.warning("Pass over %s/%s: %s", *key, error)
            result = "retry"
        except Exception:
            log.exception("Pass over %s/%s failed", *key)
        else:
            failed = bool(done.retry)
            result = "retry" if failed else ("success" if done.delay is None else "waiting")
            if failed:
                log.warning("Pass over %s/%s: %s", *key, done.retry)
            if done.delay is not None:
                delay = done.delay
            self.telemetry.cluster(*key, done.status)
            if done.reassignment is not None:
                self.telemetry.reassignment(*key, *done.reassignment)
        self.telemetry.pass_finished(*key, result, self.clock.monotonic() - started)
        return delay, failed

    async def _sleep(self, end: asyncio.Task[None], wake: asyncio.Event, seconds: float) -> None:
        """Sleep until woken, stopped or out of time."""
        waking = asyncio.create_task(wake.wait())
        try:
            await asyncio.wait({end, waking}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()


async def _awaited(stopped: Callable[[], Awaitable[object]]) -> None:
    await stopped()


def _backoff(attempt: int) -> float:
    """Exponential with full jitter: 1 s, 2 s, 4 s ... 5 min, each times a random share."""
    ceiling: float = min(MAX_BACKOFF, MIN_BACKOFF * 2 ** min(attempt - 1, 20))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
