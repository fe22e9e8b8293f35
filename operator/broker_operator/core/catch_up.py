"""Whether replicas that are being added can ever catch up at the throttle.

They receive at most the throttled rate and follow a leader that producers write to: where these
write as fast, the move never ends. Kafka counts against the rate whatever it copies of a partition
that the throttle lists, "to ensure total replication traffic doesn't exceed quota": at the broker
that receives it also after it has caught up (`ReplicaFetcherThread.processPartitionData`), and at
its leader what every follower takes (`KafkaApis.sizeOfThrottledPartitions`). What is in sync is
never held back, so all of that is taken from what has yet to catch up. Told from sizes on disk, so
it needs no metrics.
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
    from broker_operator.core.planner.throttle import Listed

LEAST_SECONDS = 15.0
"""A growth over less time says nothing: batches of producers come in bursts."""
MARGIN = 2
"""The rate that would do is this multiple of what writing takes: half of it is to catch up."""

_KI, _MI = 1024, 1024**2


@dataclass(frozen=True, slots=True)
class Flow:
    """What one broker copies of listed partitions while something there has yet to catch up.

    Attributes:
        side: "to" the broker that receives, or "from" the one that sends.
        rate: Bytes per second that it takes to keep up with those who write.
        in_sync: Of these, what goes to replicas in sync that no move adds. It is never held back,
            nor is it among the bytes that Kafka calls a reassignment's.
    """

    side: str
    broker: BrokerId
    rate: float
    in_sync: float = 0.0


Sample = tuple[float, "Mapping[TopicPartition, int]"]
"""Monotonic seconds, and the bytes of each listed partition then."""


def sizes_of(partitions: Iterable[TopicPartition], kafka: KafkaView) -> dict[TopicPartition, int]:
    """Return the bytes of the leader's replica of each of these, where they are known."""
    found = {}
    for tp in partitions:
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        logs = kafka.logs.get(seen.leader) if seen and seen.leader is not None else None
        if logs is None or isinstance(logs, Unknown):
            continue
        size = logs.sizes.get(tp.topic, {}).get(tp.partition)
        if size is not None:
            found[tp] = size
    return found


def growth(samples: Sequence[Sample]) -> dict[TopicPartition, float]:
    """Return the bytes per second that producers wrote to each partition of the last sample.

    Only what was seen for long enough has one. A size that falls, when old segments are deleted,
    counts as none written.
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
    rates: Mapping[TopicPartition, float],
    lists: Mapping[TopicPartition, Listed],
    ensemble: Ensemble,
    kafka: KafkaView,
) -> list[Flow]:
    """Add up what each broker copies, where something waits for the rest of its rate.

    Args:
        rates: Of `growth`.
        lists: Of `planner.throttle.listed`.
        ensemble: Tells who has a replica, and who is up to copy it.
        kafka: Tells who leads, and who is in sync.
    """
    sums: defaultdict[tuple[str, BrokerId], float] = defaultdict(float)
    in_sync: defaultdict[tuple[str, BrokerId], float] = defaultdict(float)
    waiting: set[tuple[str, BrokerId]] = set()
    for tp, rate in rates.items():
        state = ensemble.topics.get(tp.topic, {}).get(tp.partition)
        seen = kafka.leadership.get(tp.topic, {}).get(tp.partition)
        if state is None or seen is None or seen.leader is None:
            continue
        settled = seen.isr - set(state.adding)
        copying = ensemble.brokers.keys() & set(state.replicas) - {seen.leader}
        for broker in lists[tp].followers & copying:
            sums["to", broker] += rate
            in_sync["to", broker] += rate * (broker in settled)
        behind = (lists[tp].followers & copying) - seen.isr
        waiting.update(("to", broker) for broker in behind)
        if seen.leader in lists[tp].leaders:
            sums["from", seen.leader] += rate * len(copying)
            in_sync["from", seen.leader] += rate * len(copying & settled)
            if behind:
                waiting.add(("from", seen.leader))
    return [Flow(*end, rate, in_sync[end]) for end, rate in sums.items() if end in waiting]


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
        f"throttle {format_bytes(throttle)}/s cannot catch up: keeping up with producers takes "
        f"{format_bytes(round(flow.rate))}/s of what may go {flow.side} broker {flow.broker}; "
        f"set {setting} to at least {enough(flow.rate)}"
    )


def enough(rate: float) -> str:
    """Return the quantity that leaves moves as much as producers write, rounded up."""
    wanted = rate * MARGIN
    unit, name = (_MI, "Mi") if wanted > _MI else (_KI, "Ki")
    return f"{-int(-wanted // unit)}{name}"
