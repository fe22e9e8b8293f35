"""The rate of a throttle that adapts: read the brokers' metrics, and choose."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker_operator.api.quantity import format_bytes
from broker_operator.core import adaptive, naming
from broker_operator.core.adaptive import Course, Level
from broker_operator.core.health import Look, compare, lost_replicas
from broker_operator.core.model import Unknown
from broker_operator.reconcile.outcome import Wait

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment, ThrottleRecord
    from broker_operator.api.spec import AdaptiveThrottle
    from broker_operator.core.health import Health
    from broker_operator.reconcile.scope import Scope

READ_SECONDS = 5.0
"""Metrics are read so often while partitions are in flight."""
MEASURE_SECONDS = 30.0
"""So long clients that write seldom are looked at before a move, until their latency is known. What
is not known then stays so: while it moves, nothing lowers the rate for them."""
REMEMBER_SECONDS = 300.0
"""So long after a move Kafka's percentiles still speak of it: what was before stays what it was."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the record of a throttle shall say.

    Attributes:
        rate: Bytes per second and broker.
        reason: Why, where the rate adapts.
        p99_before: Milliseconds before the first move; 0 if unknown.
    """

    rate: int
    reason: str = ""
    p99_before: int = 0


async def choose(
    scope: Scope, active: Reassignment, record: ThrottleRecord | None, limits: AdaptiveThrottle
) -> Wanted | Wait:
    """Return the rate for now. `record` is None while no throttle of `active` is in force."""
    watch, now = scope.memory.watch, scope.clock.monotonic()
    rungs = adaptive.ladder(limits.min, limits.max)
    if record is None or not record.adaptive:
        return await _begin(scope, active, record, rungs)
    if scope.diagnosis.ours:
        watch.moved = now
    before = Level(p99=record.p99_before / 1000) if record.p99_before else Level()
    if watch.uid != active.uid or watch.course is None:
        watch.uid, watch.course = active.uid, Course(calm=now)
        watch.level = before
    rate = watch.rate = adaptive.nearest(rungs, record.rate)
    if rate != record.rate:
        watch.course = Course(calm=now)
        reason = f"set to {format_bytes(rate)}/s: the limits were changed"
        return Wanted(rate, reason, record.p99_before)
    health = await _health(scope)
    if health is None:
        return Wanted(rate, record.adaptive, record.p99_before)
    decision = adaptive.decide(rungs, rate, health, watch.level or before, watch.course)
    watch.course, watch.rate = decision.course, decision.rate
    same = adaptive.kind_of(decision.reason) in ("", adaptive.kind_of(record.adaptive))
    news = decision.rate != rate or not same
    reason = decision.reason if news else record.adaptive
    return Wanted(decision.rate, reason, record.p99_before)


async def _begin(
    scope: Scope, active: Reassignment, record: ThrottleRecord | None, rungs: tuple[int, ...]
) -> Wanted | Wait:
    """Look how the brokers are before anything moves, and start, or go on at the last rate."""
    watch, now = scope.memory.watch, scope.clock.monotonic()
    recent = watch.moved is not None and now - watch.moved < REMEMBER_SECONDS
    if not recent or watch.level is None:
        first, health = watch.look, await _health(scope)
        if first is not None and health is not None and _too_few(health, first):
            watch.look, health = first, None  # what was counted so far counts on
        if health is None and _answered(scope):
            return Wait(
                "MeasuringClients",
                "looking how brokers and clients are before a move",
                READ_SECONDS,
            )
        watch.level = Level(health.p99, health.mean) if health else Level()
    level = watch.level
    if watch.uid == active.uid and watch.course is not None:
        # It goes on after a pause, and what was too much before that still is.
        watch.course = replace(watch.course, calm=now, binding=False)
    else:
        # Where something was copied just now, the next copying costs nothing at first.
        begun = now if record is None and not recent else -math.inf
        watch.uid, watch.course = active.uid, Course(calm=now, p99=level.p99, begun=begun)
        watch.rate = adaptive.first_rate(rungs)
    rate = watch.rate = adaptive.nearest(rungs, record.rate if record else watch.rate)
    before = "not known" if level.p99 is None else f"{level.p99 * 1000:.0f} ms"
    reason = f"started at {format_bytes(rate)}/s: produce p99 before is {before}"
    return Wanted(rate, reason, math.ceil((level.p99 or 0) * 1000))


async def _health(scope: Scope) -> Health | None:
    """Read the metrics if it is time; None if it is not, or if there is nothing to compare with."""
    watch, now = scope.memory.watch, scope.clock.monotonic()
    before = watch.look
    if before is not None and now - before.seconds < READ_SECONDS:
        return None
    ensemble, kafka = scope.facts.ensemble, scope.facts.kafka
    if isinstance(ensemble, Unknown) or isinstance(kafka, Unknown):
        return None
    readings = await scope.meters.read(_addresses(scope))
    flying = frozenset(scope.diagnosis.ours)
    watch.look = Look(now, readings, lost_replicas(ensemble, kafka), flying)
    if before is None or now - before.seconds > REMEMBER_SECONDS:
        return None  # one of an earlier move: a mean since then is not how clients are now
    return compare(before, watch.look, scope.memory.writing.in_sync)


def _too_few(health: Health, first: Look) -> bool:
    """Whether there are clients, but too few requests as yet to tell how long they take."""
    young = health.seconds - first.seconds < MEASURE_SECONDS
    return health.p99 is None and health.requests > 0 and young


def _answered(scope: Scope) -> bool:
    """Whether any broker has told anything, so that a second look is worth waiting for."""
    look = scope.memory.watch.look
    return look is not None and any(not isinstance(r, Unknown) for r in look.readings.values())


def _addresses(scope: Scope) -> dict[int, str]:
    """Where each registered broker's metrics are."""
    cluster, domain = scope.facts.cluster, scope.settings.cluster_domain
    registered = scope.diagnosis.registered or frozenset()
    hosts = {
        broker: naming.broker_host(pod.name, cluster.name, cluster.namespace, domain)
        for broker, pod in sorted(scope.facts.pods.items())
        if broker in registered
    }
    return {broker: f"{host}:{naming.METRICS_PORT}" for broker, host in hosts.items()}
