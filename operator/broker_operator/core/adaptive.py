"""The throttle `Adaptive`: as much as clients do not notice.

Rates stand on a ladder, so that those which may ever have been set are few. While all is well and
the moves need more, the rate goes up by a rung; when it is not, twice in a row, it is halved,
except for what the first copying costs at any rate; and when a replica that is no part of the move
falls out of its ISR, it goes to the foot. A rate that was too much is not tried again for a time
that doubles: whoever comes back to it every half minute is felt by one request in ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker_operator.api.quantity import format_bytes
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.core.health import Health, Lost

RUNG = 2**0.5
"""A rung's ratio to the one below: two of them are one half."""
LATENCY_TIMES, LATENCY_SLACK, MEAN_SLACK = 1.5, 0.005, 0.0025
"""Latency may rise to this multiple of what it was before, or by so many seconds if that is more:
a percentile of a few milliseconds leaps by itself, a mean less. One request in forty that waits for
a tenth of a second is 2.5 milliseconds of the mean; each start and end of a move costs some."""
MEAN_SHARE, MEAN_MOST = 0.1, 0.010
"""The mean may also rise by this share of the percentile before, but not by more seconds than that:
where one request in a hundred takes long anyway, the mean of the few between two looks wavers with
how many of these are in it."""
RISE_TIMES = 1.1
"""A percentile that is this multiple of the one before has risen; by less it just wavers."""
IDLE_LEAST, IDLE_ENOUGH = 0.3, 0.5
"""Idle share of request handlers below which the rate is halved, and below which it stays."""
BINDING = 0.7
"""Share of a rate from which on it, and nothing else, holds the moves back."""
USUAL = 50 * 1024**2
"""The default of a throttle that looks at nothing. Every change of a rate is felt: whoever starts
lower has more of them, and arrives later (ADR 7)."""
CALM_SECONDS, BEYOND_SECONDS = 20.0, 60.0
"""So long all must be well before the rate rises: up to `USUAL`, and above it, where a rung costs
clients something. A move that is short enough to feel the wait is soon over anyway."""
PROVED = 2.0
"""So much suspicion lowers the rate."""
SETTLE_SECONDS = 12.0
"""Kafka averages the throttled rate over 11 seconds, unless told otherwise (ADR 7): before that, a
lower one shows no effect."""
BEGIN_SECONDS = 20.0
"""So long the first copying is felt at any rate: sources, target and controller have to compile and
load what they have not run for long, and all moves of a first batch begin at once."""
FORGET_SECONDS = 180.0
"""So long Kafka's 99th percentile may go on about what is past."""
BAR_SECONDS, BAR_MOST_SECONDS = 120.0, 1800.0
"""How long a rate that was too much is not tried again: the first time, and at most."""


@dataclass(frozen=True, slots=True)
class Level:
    """Produce latency in seconds before the moves began; None where it is not known."""

    p99: float | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """What is remembered of the way so far. Whoever has lost it takes more time, that is all.

    Attributes:
        calm: Monotonic time since which nothing has spoken against a higher rate.
        binding: Whether the moves were seen to be held back by the present rate.
        lowered: When it was lowered last.
        high: Since when the percentile has been high, or the rate was lowered for it.
        p99: The percentile last seen; while it is high, the highest of that time.
        barred: The lowest rate that was too much.
        until: Until when that is not tried again.
        penalty: For how many seconds it was barred.
        suspicion: How often clients were seen to suffer without a break. A look in which moves
            began or ended counts half: that is felt at any rate, and at a lower one for longer.
        begun: When it began to copy after a time without any, if that was seen.
        hint: Kind of the last reason, told or not.
    """

    calm: float
    binding: bool = False
    lowered: float | None = None
    high: float | None = None
    p99: float | None = None
    barred: int | None = None
    until: float = 0.0
    penalty: float = 0.0
    suspicion: float = 0.0
    begun: float = -math.inf
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next rate, why in words (empty: nothing new to say), and the way so far."""

    rate: int
    reason: str
    course: Course


def ladder(least: int, most: int) -> tuple[int, ...]:
    """Return the rates between two limits, both included, in rising order."""
    rungs = [least]
    while (rate := round(least * RUNG ** len(rungs))) < most:
        rungs.append(rate)
    return tuple(sorted({*rungs, most}))


def first_rate(rungs: Sequence[int]) -> int:
    """Return where to start: where a throttle stands that looks at nothing, or just below."""
    return nearest(rungs, USUAL)


def nearest(rungs: Sequence[int], rate: int) -> int:
    """Return the highest rung that is not above a rate, else the lowest."""
    return max((rung for rung in rungs if rung <= rate), default=rungs[0])


def kind_of(reason: str) -> str:
    """Return the part of a reason that has no numbers and tells what kind of reason it is."""
    return reason.partition(":")[0]


def latency_limit(before: float, slack: float = LATENCY_SLACK) -> float:
    """Return the seconds up to which a latency is as good as it was before."""
    return max(before * LATENCY_TIMES, before + slack)


def figures(health: Health, level: Level) -> str:
    """Say how the brokers are: `produce p99 4 ms (4 ms before), handlers 92 % idle`."""
    parts = []
    if health.p99 is not None:
        before = "" if level.p99 is None else f" ({_ms(level.p99)} before)"
        parts.append(f"produce p99 {_ms(health.p99)}{before}")
    if health.handlers_idle is not None:
        parts.append(f"handlers {health.handlers_idle:.0%} idle")
    return ", ".join(parts) or "no clients at work"


def decide(
    rungs: Sequence[int], rate: int, health: Health, level: Level, course: Course
) -> Decision:
    """Return the rate that comes next.

    Args:
        rungs: The ladder.
        rate: The present rate, one of the rungs.
        health: What has been seen at this rate since the last decision.
        level: How it was before.
        course: Of the last decision.
    """
    now = health.seconds
    high = _above(health.p99, level.p99)
    rising = high and _rises(health.p99, course.p99)
    used, counted = health.used, health.counted
    course = replace(
        course,
        p99=max(_known(health.p99, course.p99), default=None) if high else health.p99,
        high=(now if course.high is None else course.high) if high else None,
        binding=course.binding or (counted is not None and counted >= BINDING * rate),
    )
    if alarm := _alarm(health):
        return _lower(rungs[0], rate, now, course, alarm)
    if busy := _busy(health, level, course, rising=rising):
        if now - course.begun < BEGIN_SECONDS:
            return Decision(rate, "", replace(course, calm=now))
        suspicion = course.suspicion + (0.5 if health.turned else 1.0)
        course = replace(course, calm=now, suspicion=suspicion)
        if suspicion < PROVED:
            return Decision(rate, "", course)
        if course.lowered is not None and now - course.lowered < SETTLE_SECONDS:
            return Decision(rate, "", course)
        if used is not None and used < rungs[0] / 2:
            return _keep(rate, course, f"kept, for clients wait and moves take hardly any: {busy}")
        return _lower(_half(rungs, rate, used), rate, now, course, busy)
    course = replace(course, suspicion=0.0)
    if doubt := _doubt(health, level, high=high and not _fades(health, level)):
        return _keep(rate, replace(course, calm=now), f"kept, {doubt}")
    return _rise(rungs, rate, health, level, course)


def _alarm(health: Health) -> str:
    """Name what must not happen at all."""
    if health.lost:
        return f"replicas are out of sync that should not be: {_replicas(health.lost)}"
    if health.shrinks:
        return f"replicas were dropped from an ISR: {health.shrinks}"
    return ""


def _busy(health: Health, level: Level, course: Course, *, rising: bool) -> str:
    """Say in figures that clients suffer now.

    A high percentile that does not rise may be a memory. It counts once it has lasted for longer
    than Kafka remembers; until then, the mean of what was just answered tells.
    """
    wavers = min(MEAN_MOST, MEAN_SHARE * (level.p99 or 0.0))
    mean = _above(health.mean, level.mean, max(MEAN_SLACK, wavers))
    lasting = course.high is not None and health.seconds - course.high >= FORGET_SECONDS
    high = rising or lasting
    idle = health.handlers_idle is not None and health.handlers_idle < IDLE_LEAST
    if not (high or mean or idle):
        return ""
    told = figures(health, level)
    return f"mean {_ms(health.mean)}, {told}" if mean and health.mean is not None else told


def _fades(health: Health, level: Level) -> bool:
    """Whether a high percentile is but a memory: what was just answered took as long as before."""
    return not (health.mean is None or level.mean is None) and not _rises(health.mean, level.mean)


def _doubt(health: Health, level: Level, *, high: bool) -> str:
    """Say what speaks against more, though not for less."""
    if health.unknown:
        return f"for metrics are missing: {health.unknown}"
    if health.used is None:
        return "for brokers do not tell what moves take of them"
    if health.doubtful:
        return f"for replicas seem to be out of sync: {_replicas(health.doubtful)}"
    told = figures(health, level)
    if high:
        return f"until the produce p99 has come down: {told}"
    if health.handlers_idle is not None and health.handlers_idle < IDLE_ENOUGH:
        return f"for brokers have enough to do: {told}"
    return ""


def _rise(
    rungs: Sequence[int], rate: int, health: Health, level: Level, course: Course
) -> Decision:
    """Go up by a rung, if there is one, it is of use, and it is time."""
    now, told = health.seconds, figures(health, level)
    above = [rung for rung in rungs if rung > rate]
    if not above:
        return _keep(rate, course, f"kept, for it is the most allowed: {told}")
    if not course.binding:
        used = format_bytes(round(health.used or 0))
        return _keep(rate, course, f"kept, for it holds nothing back: moves take {used}/s")
    if course.barred is not None and above[0] >= course.barred and now < course.until:
        barred = format_bytes(course.barred)
        return _keep(rate, course, f"kept, for more was too much: {barred}/s; {told}")
    if now - course.calm < (CALM_SECONDS if rate <= USUAL else BEYOND_SECONDS):
        return Decision(rate, "", course)
    kind = f"raised to {format_bytes(above[0])}/s"
    course = replace(course, calm=now, binding=False, hint=kind)
    return Decision(above[0], f"{kind}: {told}", course)


def _lower(to: int, rate: int, now: float, course: Course, why: str) -> Decision:
    """Go down, and remember what was too much."""
    high = None if course.high is None else now
    course = replace(course, calm=now, lowered=now, high=high)
    if to == rate:
        return _keep(rate, course, f"kept, for it is the least allowed: {why}")
    again = course.barred is not None and rate >= course.barred
    penalty = min(BAR_MOST_SECONDS, 2 * course.penalty) if again else BAR_SECONDS
    kind = f"lowered to {format_bytes(to)}/s"
    course = replace(
        course, binding=False, barred=rate, until=now + penalty, penalty=penalty, hint=kind
    )
    return Decision(to, f"{kind}: {why}", course)


def _keep(rate: int, course: Course, reason: str) -> Decision:
    """Stay; say why once it has been the reason twice."""
    kind = kind_of(reason)
    said = reason if kind == course.hint else ""
    return Decision(rate, said, replace(course, hint=kind))


def _half(rungs: Sequence[int], rate: int, used: float | None) -> int:
    """Return the rung of half the rate, or of half of what is used if that is less."""
    base = rate if used is None else min(rate, max(used, rungs[0]))
    return nearest(rungs, round(base / 2) + 1)


def _replicas(lost: Lost) -> str:
    return name_some(f"{tp} on broker {broker}" for tp, broker in sorted(lost))


def _rises(now: float | None, before: float | None) -> bool:
    return now is not None and before is not None and now > before * RISE_TIMES


def _known(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _above(now: float | None, before: float | None, slack: float = LATENCY_SLACK) -> bool:
    return now is not None and before is not None and now > latency_limit(before, slack)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
