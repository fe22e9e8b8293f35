"""Whether replicas that are being added can ever catch up at the throttle.

They receive at most the throttled rate and follow a leader that producers write to: where these
write as fast, the move never ends. The leader counts what it sends to all followers of a partition
that moves, also those in sync (`KafkaApis.sizeOfThrottledPartitions`), so that it comes to this
sooner. Told from sizes on disk, so it needs no metrics.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.api.quantity import format_bytes
from broker_operator.core.model import TopicPartition, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker_operator.core.model import BrokerId, Ensemble, KafkaView

LEAST_SECONDS = 15.0
"""A growth over less time says nothing: batches of producers come in bursts."""
MARGIN = 2
"""The rate that would do is this multiple of what writing takes: half of it is to catch up."""

_KI, _MI = 1024, 1024**2


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream of moves that one broker's rate holds back.

    Attributes:
        side: "to" the broker that receives, or "from" the one that sends.
        rate: Bytes per second that it takes there to keep up with those who write to what moves.
    """

    side: str
    broker: BrokerId
    rate: float


Sample = tuple[float, "Mapping[TopicPartition, int]"]
"""Monotonic seconds, and the bytes of each partition that had replicas being added then."""


def sizes_in_flight(ensemble: Ensemble, kafka: KafkaView) -> dict[TopicPartition, int]:
    """Return the bytes of the leader's replica of each partition that is being copied."""
    found = {}
    for tp, state in ensemble.partitions():
        if not state.adding:
            continue
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        logs = kafka.logs.get(seen.leader) if seen and seen.leader is not None else None
        if logs is None or isinstance(logs, Unknown):
            continue
        size = logs.sizes.get(tp.topic, {}).get(tp.partition)
        if size is not None:
            found[tp] = size
    return found


def growth(samples: Sequence[Sample]) -> dict[TopicPartition, float]:
    """Return the bytes per second that producers wrote to each partition that is in flight still.

    Only what was in flight for long enough has one. A size that falls, when old segments are
    deleted, counts as none written.
    """
    if not samples:
        return {}
    written: dict[TopicPartition, float] = {}
    since: dict[TopicPartition, float] = {}
    last: dict[TopicPartition, int] = {}
    for seconds, sizes in samples:
        for tp, size in sizes.items():
            since.setdefault(tp, seconds)
            written[tp] = written.get(tp, 0.0) + max(0, size - last.get(tp, size))
            last[tp] = size
    end, flying = samples[-1]
    spans = {tp: end - since[tp] for tp in flying}
    return {tp: written[tp] / span for tp, span in spans.items() if span >= LEAST_SECONDS}


def flows(
    rates: Mapping[TopicPartition, float], ensemble: Ensemble, kafka: KafkaView
) -> list[Flow]:
    """Add the growth up for each broker that receives, and for each leader that sends.

    A leader sends a partition to all of its followers. What has no replica that has yet to catch up
    counts nowhere: it does not stay on the lists.
    """
    sums: defaultdict[tuple[str, BrokerId], float] = defaultdict(float)
    for tp, rate in rates.items():
        state = ensemble.topics.get(tp.topic, {}).get(tp.partition)
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        if state is None or seen is None or seen.leader is None:
            continue
        behind = set(state.adding) - seen.isr
        if behind:
            sums["from", seen.leader] += rate * len(seen.isr.union(behind) - {seen.leader})
        for broker in behind:
            sums["to", broker] += rate
    return [Flow(side, broker, rate) for (side, broker), rate in sums.items()]


def too_low(found: Iterable[Flow], throttle: int, held: Iterable[BrokerId]) -> Flow | None:
    """Return the worst flow that a throttle never lets catch up, if there is one.

    Args:
        found: From `flows`.
        throttle: Bytes per second and broker.
        held: Brokers whose rate is set.
    """
    limited = set(held)
    stuck = [flow for flow in found if flow.broker in limited and flow.rate >= throttle]
    return max(stuck, key=lambda flow: (flow.rate, flow.side, -flow.broker), default=None)


def advise(flow: Flow, throttle: int, setting: str) -> str:
    """Say that a throttle is too low, and what would do.

    Args:
        flow: What it never lets catch up.
        throttle: Bytes per second and broker.
        setting: Path of the field in the spec that is to be raised.
    """
    return (
        f"throttle {format_bytes(throttle)}/s cannot catch up: what producers write to what moves "
        f"{flow.side} broker {flow.broker} takes {format_bytes(round(flow.rate))}/s of it; "
        f"set {setting} to at least {enough(flow.rate)}"
    )


def enough(rate: float) -> str:
    """Return the quantity that leaves moves as much as producers write, rounded up."""
    wanted = rate * MARGIN
    unit, name = (_MI, "Mi") if wanted > _MI else (_KI, "Ki")
    return f"{-int(-wanted // unit)}{name}"
