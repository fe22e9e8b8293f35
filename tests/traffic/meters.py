"""Pure meters: pace, latency of a window, and the time that passed without an acknowledgement."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUCKET_RATIO = 1.05
"""A bucket of latencies reaches from one power of this, in milliseconds, to the next."""


@dataclass(slots=True)
class Pacer:
    """Says how many records are due, so that `rate` of them go out each second.

    After a stall it catches up on a quarter of a second at most: an outage must not be followed by
    a burst that would be measured as the brokers' latency.

    Attributes:
        rate: Records per second, > 0.
        started: Any monotonic time in seconds.
    """

    rate: float
    started: float
    _owed: float = 0.0
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.started

    def due(self, now: float) -> int:
        """Return the records to send now and count them as sent."""
        self._owed = min(self._owed + (now - self._last) * self.rate, max(1.0, self.rate / 4))
        self._last = now
        whole = int(self._owed)
        self._owed -= whole
        return whole


@dataclass(slots=True)
class Latencies:
    """Latencies in seconds since they were last taken."""

    _values: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        """Note one."""
        self._values.append(seconds)

    def take(self) -> dict[str, Any]:
        """Return p50, p99 and the maximum in milliseconds (None if there were none); start anew.

        `counts` has how many there were in each bucket, for percentiles of a longer time: see
        `percentile`.
        """
        values, self._values = sorted(self._values), []
        return {
            "p50_ms": _milliseconds(values, 0.50),
            "p99_ms": _milliseconds(values, 0.99),
            "max_ms": _milliseconds(values, 1.0),
            "counts": dict(Counter(str(_bucket(value)) for value in values)),
        }


def percentile(counts: Iterable[Mapping[str, int]], quantile: float) -> float | None:
    """Return a percentile in milliseconds over several windows, at most 5 % too high.

    None if there was nothing in any of them.
    """
    whole: Counter[int] = Counter()
    for window in counts:
        whole.update({int(bucket): number for bucket, number in window.items()})
    rest = math.ceil(quantile * whole.total())
    for bucket in sorted(whole):
        rest -= whole[bucket]
        if rest <= 0:
            return round(BUCKET_RATIO**bucket, 2)
    return None


def _bucket(seconds: float) -> int:
    """Return the number of a latency's bucket, whose upper end is `BUCKET_RATIO` to that power."""
    return math.ceil(math.log(max(seconds * 1000, 0.01), BUCKET_RATIO))


def _milliseconds(ordered: list[float], quantile: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[math.ceil(quantile * len(ordered)) - 1] * 1000, 1)


@dataclass(slots=True)
class AckClock:
    """Measures how long the brokers acknowledged nothing although something was in flight."""

    in_flight: int = 0
    longest: float = 0.0
    _since: float = 0.0
    _window: float = 0.0

    def sent(self, now: float) -> None:
        """Note a record handed to the client."""
        if self.in_flight == 0:
            self._since = now
        self.in_flight += 1

    def settled(self, now: float) -> None:
        """Note the broker's answer for one record."""
        self.in_flight -= 1
        self._note(now)
        self._since = now

    def take(self, now: float) -> float:
        """Return the longest silence of this window in seconds, an ongoing one included."""
        if self.in_flight:
            self._note(now)
        window, self._window = self._window, 0.0
        return window

    def _note(self, now: float) -> None:
        silence = now - self._since
        self._window = max(self._window, silence)
        self.longest = max(self.longest, silence)
