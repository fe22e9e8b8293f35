"""Which throttle settings are ours: recorded, and still as we set them. All others stay.

What a plan may set is a pure function of it. Of its lists only those partitions are set that are on
the move, so any part of a list that consists of whole partitions may be ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker_operator.api.reassignment import ThrottleRecord
from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
    Throttle,
    ThrottleConfigs,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from broker_operator.core.model import TopicPartition

_MARKS = range(3)
"""Bytes per second that a broker's rate may be above the recorded one: see `unseen`."""


def shades(rate: int) -> list[str]:
    """Return what brokers may show where a rate of ours is set."""
    return [str(rate + mark) for mark in _MARKS]


def unseen(rate: int, live: ThrottleConfigs) -> int:
    """Return a rate, higher by a byte or two if need be, that no broker shows yet.

    A broker never tells which lists it goes by, but it does tell its rate, and it hears of both in
    the order in which they were set (`/config/changes`): once it shows a new one, it has heard of
    the lists before.
    """
    shown = {value for values in live.brokers.values() for value in values.values()}
    return next((int(shade) for shade in shades(rate) if shade not in shown), rate)


def narrow(planned: Throttle, moving: Collection[TopicPartition]) -> Throttle:
    """Keep of the lists what is on the move; a list that names nothing of it becomes empty.

    Brokers count all that they copy of listed partitions against the rate, also for replicas that
    are in sync (Kafka's `ReplicaFetcherThread.processPartitionData` for followers, and for leaders
    `KafkaApis.sizeOfThrottledPartitions`): what has moved, or has yet to, would take the rate from
    what is moving.
    """
    numbers: dict[str, set[str]] = {}
    for topic, number in moving:
        numbers.setdefault(topic, set()).add(str(number))

    def lists(values: Mapping[str, str]) -> dict[str, str]:
        return {topic: _part(value, numbers.get(topic, ())) for topic, value in values.items()}

    return replace(
        planned,
        leader_replicas=lists(planned.leader_replicas),
        follower_replicas=lists(planned.follower_replicas),
    )


def restrict(wanted: Throttle, topics: Collection[str], *, rated: Collection[int]) -> Throttle:
    """Keep the rates of `rated` brokers and the lists of `topics`.

    Only replicas on rated brokers are listed: on any other the listing would put our moves under
    somebody else's rate, however low that is.
    """

    def lists(values: Mapping[str, str]) -> dict[str, str]:
        kept = {
            topic: ",".join(e for e in value.split(",") if int(e.rpartition(":")[2]) in rated)
            for topic, value in values.items()
            if topic in topics
        }
        return {topic: value for topic, value in kept.items() if value}

    return replace(
        wanted,
        brokers=tuple(b for b in wanted.brokers if b in rated),
        leader_replicas=lists(wanted.leader_replicas),
        follower_replicas=lists(wanted.follower_replicas),
    )


def unchanged(ours: Throttle, record: ThrottleRecord, live: ThrottleConfigs) -> Throttle:
    """Leave out what shows another value: somebody else has set it since.

    Each setting counts for itself: of a broker, one side may be ours and the other not. What shows
    no value is kept: a broker may not have heard of ours yet. Lists are returned as they are shown.
    """
    rates = {shade for rate in (record.rate, *record.former) for shade in shades(rate)}

    def lists(key: str, values: Mapping[str, str]) -> dict[str, str]:
        shown = {t: live.topics.get(t, {}).get(key, v) for t, v in values.items()}
        return {t: its for t, its in shown.items() if its == _part(values[t], _partitions_in(its))}

    def rated(key: str) -> set[int]:
        shown = {b: live.brokers.get(b, {}).get(key) for b in ours.brokers}
        return {b for b, value in shown.items() if value is None or value in rates}

    leading, following = rated(LEADER_RATE), rated(FOLLOWER_RATE)
    return Throttle(
        rate=ours.rate,
        brokers=tuple(sorted(leading & following)),
        leader_replicas=lists(LEADER_REPLICAS, ours.leader_replicas),
        follower_replicas=lists(FOLLOWER_REPLICAS, ours.follower_replicas),
        leader_only=tuple(sorted(leading - following)),
        follower_only=tuple(sorted(following - leading)),
    )


def as_found(record: ThrottleRecord, brokers: Collection[int], live: ThrottleConfigs) -> Throttle:
    """Return what is ours without a plan to tell: lists that name none but recorded brokers."""

    def lists(key: str) -> dict[str, str]:
        found = {topic: values.get(key, "") for topic, values in live.topics.items()}
        named = {topic: _brokers_in(value) for topic, value in found.items() if value}
        return {t: found[t] for t, ids in named.items() if ids and ids.issubset(record.brokers)}

    return Throttle(record.rate, tuple(brokers), lists(LEADER_REPLICAS), lists(FOLLOWER_REPLICAS))


def retrace(
    planned: Throttle,
    rates: Collection[int],
    live: ThrottleConfigs,
    registered: Collection[int],
) -> ThrottleRecord | None:
    """Tell from what is set what a lost record said; None if nothing shows that it is ours.

    Lists are set before rates, and nobody else makes the plan's: where such a list is, a rate is
    ours on the brokers that it names, and on others of the plan that carry the same, unless it
    names a partition of theirs without them. Of several rates it is the one that most of those
    carry that are named.

    Args:
        planned: What the plan may have set on all of its brokers and topics; its rate is of no
            importance.
        rates: What the spec may have led to.
        live: What is set.
        registered: Brokers that are up.
    """
    best, most = None, 0
    for rate in sorted(rates):
        same = set(shades(rate))
        carrying = {b for b, values in live.brokers.items() if not same.isdisjoint(values.values())}
        # Whoever was away, or had somebody else's rate, was left off our lists: see `restrict`.
        listed, left_off = _listed(planned, live, {*registered} - (live.brokers.keys() - carrying))
        named = frozenset[int]().union(*listed.values())
        if len(named & carrying) > most:
            most = len(named & carrying)
            brokers = named | (carrying.intersection(planned.brokers) - left_off)
            best = ThrottleRecord(rate, tuple(sorted(brokers)), tuple(sorted(listed)))
    return best


def _listed(
    planned: Throttle, live: ThrottleConfigs, needed: Collection[int]
) -> tuple[dict[str, set[int]], set[int]]:
    """Return topics with a list as planned, and whom it names: all whom it must of `needed`.

    Also returned is who should be in these lists, and is not.
    """
    found: dict[str, set[int]] = {}
    left_off: set[int] = set()
    for key, values in (
        (LEADER_REPLICAS, planned.leader_replicas),
        (FOLLOWER_REPLICAS, planned.follower_replicas),
    ):
        for topic, value in values.items():
            shown = live.topics.get(topic, {}).get(key, "")
            whole, named = _part(value, _partitions_in(shown)), _brokers_in(shown)
            absent = _brokers_in(whole) - named
            entries = [e for e in whole.split(",") if int(e.rpartition(":")[2] or -1) in named]
            if not named or shown != ",".join(entries):
                continue
            left_off |= absent
            if absent.isdisjoint(needed):
                found.setdefault(topic, set()).update(named)
    return found, left_off


def kept(ours: Throttle, swept: Throttle, live: ThrottleConfigs) -> list[str]:
    """Name the brokers and topics that have a value of somebody else's where ours was set."""
    brokers = [b for b in ours.brokers if b in live.brokers and b not in swept.brokers]
    topics = {
        topic
        for key, before, after in (
            (LEADER_REPLICAS, ours.leader_replicas, swept.leader_replicas),
            (FOLLOWER_REPLICAS, ours.follower_replicas, swept.follower_replicas),
        )
        for topic in set(before) - set(after)
        if key in live.topics.get(topic, {})
    }
    return [*(f"broker {b}" for b in brokers), *sorted(topics)]


def _brokers_in(value: str) -> set[int]:
    """Return the brokers of a list such as `0:1,0:2`; none for `*`, which is never ours."""
    ids = [entry.rpartition(":")[2] for entry in value.split(",")]
    return {int(broker) for broker in ids if broker.isdecimal()}


def _partitions_in(value: str) -> set[str]:
    """Return the partitions of a list such as `0:1,0:2`."""
    return {entry.partition(":")[0] for entry in value.split(",")}


def _part(value: str, partitions: Collection[str]) -> str:
    """Keep the entries of a list that are of these partitions."""
    return ",".join(e for e in value.split(",") if e.partition(":")[0] in partitions)
