"""How well the brokers serve their clients, from what their metrics say now and said before.

Kafka's 99th percentile is that of a sample which forgets within minutes: it rises soon, and falls
late. So what happened between two looks is told from counters as well: a mean times its count is
a sum, and sums have differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from broker_operator.core.model import Ensemble, KafkaView, TopicPartition, Unknown
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker_operator.core.model import BrokerId

MIN_REQUESTS = 20
"""With fewer produce requests between two looks a broker's percentile says nothing."""

Lost: TypeAlias = "frozenset[tuple[TopicPartition, BrokerId]]"
"""Replicas that should be in sync and are not."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one broker's metrics say; None is what its page does not have.

    Attributes:
        produce_p99: Seconds, of the recent produce requests.
        produce_mean: Seconds, of all produce requests since the broker started.
        produce_count: How many these are.
        handlers_idle: Share of the last minute in which the request handlers were idle.
        handlers_idle_seconds: Seconds for which they were since the broker started.
        isr_shrinks: How often a leader here has dropped a replica from its ISR.
        moved_in: Bytes received for replicas that a reassignment adds.
        moved_out: Bytes sent likewise.
    """

    produce_p99: float | None = None
    produce_mean: float | None = None
    produce_count: float | None = None
    handlers_idle: float | None = None
    handlers_idle_seconds: float | None = None
    isr_shrinks: float | None = None
    moved_in: float | None = None
    moved_out: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at all brokers, at a monotonic time in seconds.

    Attributes:
        readings: What each of them told.
        lost: Replicas that were out of sync and should not be.
        flying: Partitions that were being moved.
    """

    seconds: float
    readings: Mapping[BrokerId, Reading | Unknown]
    lost: Lost = frozenset()
    flying: frozenset[TopicPartition] = frozenset()


@dataclass(frozen=True, slots=True)
class Health:
    """What two looks show. None is what they cannot.

    Attributes:
        seconds: Monotonic time of the later one.
        p99: Seconds, the slowest broker's among those that had produce requests in between.
        mean: Seconds, of the produce requests in between.
        requests: How many produce requests there were in between, at all brokers that told.
        handlers_idle: Share, of the busiest broker's request handlers.
        shrinks: How often a replica was dropped from an ISR in between.
        lost: Replicas out of sync in both, though neither being added nor on a broker that is down.
        doubtful: Likewise, but in the later one only. A broker that has yet to hear of a move's end
            shows its replicas so.
        used: Bytes per second that the moves took of the busiest broker, in or out.
        counted: Bytes per second that Kafka counted against the rate of a broker, where it was
            most: what the moves took, and what kept replicas in sync so.
        turned: Whether moves have begun or ended in between, which is felt at any rate.
        unknown: What is not known of a broker, in words; empty if all have told.
    """

    seconds: float
    p99: float | None = None
    mean: float | None = None
    requests: int = 0
    handlers_idle: float | None = None
    shrinks: int = 0
    lost: Lost = frozenset()
    doubtful: Lost = frozenset()
    used: float | None = None
    counted: float | None = None
    turned: bool = False
    unknown: str = ""


def lost_replicas(ensemble: Ensemble, kafka: KafkaView) -> Lost:
    """Find the replicas that should be in sync: not being added, and on a live broker.

    A partition without a leader has other troubles.
    """
    lost = set()
    for tp, state in ensemble.partitions():
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        if seen is None or seen.leader is None:
            continue
        for broker in state.replicas:
            if broker not in seen.isr and broker not in state.adding and broker in ensemble.brokers:
                lost.add((tp, broker))
    return frozenset(lost)


def compare(
    before: Look, now: Look, in_sync: Mapping[tuple[str, BrokerId], float] | None = None
) -> Health:
    """Tell what happened between two looks.

    Args:
        before: The earlier one.
        now: The later one.
        in_sync: Bytes per second that listed replicas in sync take "to" and "from" brokers.
    """
    told: list[tuple[Reading, Reading]] = []
    moved: dict[tuple[str, BrokerId], float] = {}
    elapsed = now.seconds - before.seconds
    silent = []
    for broker, reading in sorted(now.readings.items()):
        former = before.readings.get(broker, Unknown("seen for the first time"))
        if isinstance(reading, Unknown):
            silent.append(f"broker {broker} ({reading.reason})")
        elif isinstance(former, Unknown) or _restarted(former, reading):
            silent.append(f"broker {broker} (told only once yet)")
        else:
            told.append((former, reading))
            for side, counter in (("to", _moved_in), ("from", _moved_out)):
                grown = _grown(former, reading, counter)
                if grown is not None:
                    moved[side, broker] = grown / elapsed
    busy = [(f, r) for f, r in told if (_grown(f, r, _count) or 0) >= MIN_REQUESTS]
    kept = in_sync or {}
    return Health(
        seconds=now.seconds,
        p99=max(_known(r.produce_p99 for _, r in busy), default=None),
        mean=_mean(busy),
        requests=round(sum(_known(_grown(f, r, _count) for f, r in told))),
        handlers_idle=min(_known(_idle(f, r, elapsed) for f, r in told), default=None),
        shrinks=round(sum(_known(_grown(f, r, _shrinks) for f, r in told))),
        lost=now.lost & before.lost,
        doubtful=now.lost - before.lost,
        used=max(moved.values(), default=None),
        counted=max((rate + kept.get(end, 0.0) for end, rate in moved.items()), default=None),
        turned=now.flying != before.flying,
        unknown=name_some(silent),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _grown(
    before: Reading, now: Reading, counter: Callable[[Reading], float | None]
) -> float | None:
    """Return how far a counter went; None if one of both does not have it."""
    first, last = counter(before), counter(now)
    return None if first is None or last is None else max(0.0, last - first)


def _restarted(before: Reading, now: Reading) -> bool:
    """Whether the counters have begun anew."""
    first, last = before.handlers_idle_seconds, now.handlers_idle_seconds
    return first is not None and last is not None and last < first


def _idle(before: Reading, now: Reading, elapsed: float) -> float | None:
    """Return the idle share in between, or that of the last minute for want of a counter."""
    grown = _grown(before, now, _idle_seconds)
    return now.handlers_idle if grown is None else min(1.0, grown / elapsed)


def _mean(pairs: list[tuple[Reading, Reading]]) -> float | None:
    """Return the mean of the requests in between, over all brokers."""
    known = [(f, r) for f, r in pairs if f.produce_mean is not None and r.produce_mean is not None]
    requests = sum(_known(_grown(f, r, _count) for f, r in known))
    seconds = sum(_known(_grown(f, r, _total) for f, r in known))
    return seconds / requests if requests else None


def _count(reading: Reading) -> float | None:
    return reading.produce_count


def _total(reading: Reading) -> float | None:
    """Return the seconds of all produce requests together."""
    return (reading.produce_mean or 0.0) * (reading.produce_count or 0.0)


def _shrinks(reading: Reading) -> float | None:
    return reading.isr_shrinks


def _idle_seconds(reading: Reading) -> float | None:
    return reading.handlers_idle_seconds


def _moved_in(reading: Reading) -> float | None:
    return reading.moved_in


def _moved_out(reading: Reading) -> float | None:
    return reading.moved_out
