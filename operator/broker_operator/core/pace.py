"""How fast a reassignment goes, and when it will be done.

Brokers work side by side, each at a throttle of its own, so the bytes of all together and their
rate tell little of the end: on throttled moves that was off by up to 68 % of what was left. The
time that is left is told by the busiest broker of the batch that is under way, then by the busiest
one of all that waits, at the pace at which the busiest broker's load has fallen. Measured on moves
of 36 to 91 s, in one batch to four, at 1 to 4 MiB/s, from a quarter on: off by up to 13 % of what
was left, or by 2.2 s in the last quarter of a minute.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
DEBT_SHARE = 0.5
"""A broker that comes out of a gap may send more than its throttle allows, and Kafka, which looks
back eleven seconds, has some of that made up for by waiting. Measured: about half of it."""
LAST_SECONDS = 1.0
"""From the last byte until all replicas are in sync, and that is seen."""
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
class Batch:
    """What was last submitted.

    Attributes:
        at: Monotonic time of the last look before it, or of a new throttle.
        load: Bytes of it that its busiest broker had to send or to receive then.
    """

    at: float
    load: int


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
        batch: What is under way, or was last.
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
    batch: Batch = Batch(0.0, 0)

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

    @property
    def least_seconds(self) -> float | None:
        """Seconds before which what is in flight cannot have arrived; None without a throttle."""
        if self.rate is None:
            return None
        return _busiest(self.look.flights, self.look) / self.rate

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
    batch = Batch(now.at, _busiest(now.flights, now))
    pace = Pace(uid, plan, now, dict(now.left), done, rate=rate, batch=batch)
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
        batch=_batch(pace, now, rate),
        done=max(0, pace.done + gain.bytes - gain.lost),
        idle_since=idle,
        causes=tuple(dict.fromkeys((*pace.causes, *gain.causes))),
    )
    idles = idle is not None and now.at - idle >= IDLE_SECONDS
    if idles or (pace.rate is None) != (rate is None):
        return _sampled(replace(pace, samples=(), rate=rate), rate, {}, {})
    return _sampled(pace, rate, gain.received, gain.sent)


def load(moves: Iterable[Move], now: Look) -> Mapping[tuple[str, BrokerId], int]:
    """Bytes that each broker has left to receive and to send, of these moves."""
    loads: Counter[tuple[str, BrokerId]] = Counter()
    for move in moves:
        rest = now.rest(move)
        loads["receive", move[1]] += rest
        loads["send", now.senders[move]] += rest
    return loads


def _busiest(moves: Iterable[Move], now: Look) -> int:
    return max(load(moves, now).values(), default=0)


def _batch(pace: Pace, now: Look, rate: int | None) -> Batch:
    """Return what is under way: another batch if there is a flight that was none before."""
    if pace.rate != rate:
        return Batch(now.at, _busiest(now.flights, now))
    before = pace.look
    if before.flights.keys() >= now.flights.keys():
        return pace.batch
    return Batch(before.at, _busiest(before.left.keys() & now.flights.keys(), before))


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
        load=_busiest(pace.look.left, pace.look),
        done=pace.done,
        received=_sum(last.received, received),
        sent=_sum(last.sent, sent),
    )
    kept = (*(s for s in pace.samples if at - s.at <= SAMPLE_SECONDS), sample)
    if pace.rate != rate:
        # Ends foretold at the former throttle are void, the share of it that was used is not.
        kept = tuple(replace(s, end=None) for s in kept)
    kept = (*kept[:-1], replace(sample, end=_end(pace, kept, rate)))
    return replace(pace, samples=kept, rate=rate)


def _end(pace: Pace, samples: tuple[Sample, ...], rate: int | None) -> float | None:
    """Foretell the end from the share of what was allowed that the busiest broker has used.

    No broker goes on faster than its throttle for long, however much it catches up after a gap.
    """
    first, last, now = samples[0], samples[-1], pace.look
    allowed, used = last.allowed - first.allowed, first.load - last.load
    if last.at - first.at < LEAST_SECONDS or used <= 0 or allowed <= 0:
        return None
    if not now.left:
        return now.at
    speed = used / allowed if rate is None else min(1.0, used / allowed) * rate
    seconds = _busiest(now.flights, now) / speed
    if now.flights and rate is not None:
        due = pace.batch.at + pace.batch.load / rate - now.at
        seconds += DEBT_SHARE * max(0.0, due - seconds)
    waiting = now.left.keys() - now.flights.keys()
    return now.at + seconds + _busiest(waiting, now) / speed + LAST_SECONDS


def _sum(one: Mapping[BrokerId, int], other: Mapping[BrokerId, int]) -> Mapping[BrokerId, int]:
    return Counter(one) + Counter(other) if other else one
