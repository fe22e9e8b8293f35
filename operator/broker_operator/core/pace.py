"""How fast a reassignment goes, and when it will be done.

The time that is left is that of the broker with most left to send or to receive, at the pace at
which this load has fallen: brokers work side by side, each at a throttle of its own, so the bytes
of all of them together, and their rate, tell little of the end. Measured on throttled moves of 20
to 70 s, from a quarter on: the error was up to 18 % of the rest this way, up to 68 % the other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker_operator.core.copying import Gain, Look, Move
    from broker_operator.core.model import BrokerId

SAMPLE_SECONDS = 60.0
"""Rates are means over this long: a replica grows in fetch-sized steps, and batches have gaps."""
RECENT_SECONDS = 30.0
"""The rate of a single broker is that of this long: who is slow now need not have been before."""
SMOOTH_SECONDS = 10.0
"""The predicted end is a mean over this long: a fetch brings up to 1 MB of each partition, which is
seconds of work at a low throttle."""
LEAST_SECONDS = 3.0
"""A rate over less time than this would be noise."""
IDLE_SECONDS = 10.0
"""With nothing in flight for longer, this is no gap between batches: something is waited for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, in figures.

    Attributes:
        at: Monotonic time.
        allowed: Bytes per broker that the throttle has let through since the first sample; seconds
            since then without a throttle.
        load: Bytes that the busiest broker has left to send or to receive.
        done: Bytes copied so far.
        received, sent: Bytes by broker since the first sample.
        end: When it will be done as told by the samples up to this one; None if they cannot tell.
    """

    at: float
    allowed: float
    load: int
    done: int
    received: Mapping[BrokerId, int]
    sent: Mapping[BrokerId, int]
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What is remembered of a reassignment under way. Losing it costs the rate for some seconds.

    Attributes:
        uid, plan: The reassignment, and the hash of its plan.
        look: The last one.
        base: Bytes of each move when the plan was first looked at: what progress is counted in, so
            that producers do not turn it back.
        done: Bytes copied so far, under former plans as well.
        samples: The last minute.
        rate: Throttle of the last sample, bytes per second and broker; None without one.
        idle_since: Monotonic time since which nothing is in flight.
        causes: Why less is done than is shown, until that is shown.
    """

    uid: str
    plan: str
    look: Look
    base: Mapping[Move, int]
    done: int
    samples: tuple[Sample, ...] = ()
    rate: int | None = None
    idle_since: float | None = None
    causes: tuple[str, ...] = ()

    @property
    def bytes_per_second(self) -> int | None:
        """Bytes copied per second over the last minute; None while it cannot be told."""
        if not self.samples:
            return None
        first, last = self.samples[0], self.samples[-1]
        if last.at - first.at < LEAST_SECONDS or last.done < first.done:
            return None
        return round((last.done - first.done) / (last.at - first.at))

    @property
    def seconds_left(self) -> float | None:
        """Seconds until every move is done; None while it cannot be told."""
        if self.look.held_up or not self.samples or self.samples[-1].end is None:
            return None
        now = self.samples[-1].at
        ends = [s.end for s in self.samples if s.end is not None and now - s.at <= SMOOTH_SECONDS]
        return max(0.0, sum(ends) / len(ends) - now)

    def received(self, broker: BrokerId) -> float | None:
        """Bytes per second that a broker has received lately, None while it cannot be told."""
        begun = [f.since for move, f in self.look.flights.items() if move[1] == broker]
        return self._recent(begun, lambda s: s.received.get(broker, 0))

    def sent(self, broker: BrokerId) -> float | None:
        """Bytes per second that a broker has sent to moves lately, None while it cannot be told."""
        begun = [f.since for f in self.look.flights.values() if f.leader == broker]
        return self._recent(begun, lambda s: s.sent.get(broker, 0))

    def _recent(self, begun: list[float], count: Callable[[Sample], int]) -> float | None:
        """Return a rate since the first of these flights began, or over what counts as lately."""
        if not self.samples or not begun:
            return None
        last = self.samples[-1]
        start = max(min(begun), last.at - RECENT_SECONDS)
        first = next(s for s in self.samples if s.at >= start or s is last)
        if last.at - first.at < LEAST_SECONDS:
            return None
        return (count(last) - count(first)) / (last.at - first.at)


def begin(uid: str, plan: str, now: Look, done: int, rate: int | None) -> Pace:
    """Return the pace at the first look at a plan; `done` bytes were copied before."""
    pace = Pace(uid, plan, now, dict(now.left), done, rate=rate)
    return _sampled(pace, rate, {}, {})


def go_on(pace: Pace, now: Look, gain: Gain, rate: int | None) -> Pace:
    """Return the pace after another look at the same plan.

    Args:
        pace: After the look before.
        now: The new one, with what was carried over.
        gain: What happened in between.
        rate: Bytes per second that every broker may send, and receive, now; None if any is free.
    """
    idle = None if now.flights else (now.at if pace.idle_since is None else pace.idle_since)
    pace = replace(
        pace,
        look=now,
        done=max(0, pace.done + gain.bytes - gain.lost),
        idle_since=idle,
        causes=tuple(dict.fromkeys((*pace.causes, *gain.causes))),
    )
    idles = idle is not None and now.at - idle >= IDLE_SECONDS
    if idles or (pace.rate is None) != (rate is None):
        return _sampled(replace(pace, samples=(), rate=rate), rate, {}, {})
    return _sampled(pace, rate, gain.received, gain.sent)


def load(now: Look) -> dict[tuple[str, BrokerId], int]:
    """Bytes that each broker has left to receive and to send."""
    loads: Counter[tuple[str, BrokerId]] = Counter()
    for move in now.left:
        rest = now.rest(move)
        loads["receive", move[1]] += rest
        loads["send", now.senders[move]] += rest
    return loads


def _sampled(
    pace: Pace, rate: int | None, received: Mapping[BrokerId, int], sent: Mapping[BrokerId, int]
) -> Pace:
    at = pace.look.at
    last = pace.samples[-1] if pace.samples else Sample(at, 0.0, 0, 0, {}, {})
    # What was let through since then was so at the throttle of then.
    flow = 1.0 if pace.rate is None else float(pace.rate)
    sample = Sample(
        at=at,
        allowed=last.allowed + (at - last.at) * flow,
        load=max(load(pace.look).values(), default=0),
        done=pace.done,
        received=_sum(last.received, received),
        sent=_sum(last.sent, sent),
    )
    kept = (*(s for s in pace.samples if at - s.at <= SAMPLE_SECONDS), sample)
    if pace.rate != rate:
        # Ends foretold at the former throttle are void, the share of it that was used is not.
        kept = tuple(replace(s, end=None) for s in kept)
    kept = (*kept[:-1], replace(sample, end=_end(kept, rate)))
    return replace(pace, samples=kept, rate=rate)


def _end(samples: tuple[Sample, ...], rate: int | None) -> float | None:
    """Foretell the end from the share of what was allowed that the busiest broker has used.

    No broker goes on faster than its throttle for long, however much it catches up after a gap.
    """
    first, last = samples[0], samples[-1]
    allowed, used = last.allowed - first.allowed, first.load - last.load
    if last.at - first.at < LEAST_SECONDS or used <= 0 or allowed <= 0:
        return None
    pace = used / allowed if rate is None else min(1.0, used / allowed) * rate
    return last.at + last.load / pace


def _sum(one: Mapping[BrokerId, int], other: Mapping[BrokerId, int]) -> Mapping[BrokerId, int]:
    return Counter(one) + Counter(other) if other else one
