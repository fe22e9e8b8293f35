"""Which throttle settings are ours: recorded, and still as we set them. All others stay."""

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
    no value is kept: a broker may not have heard of ours yet.
    """
    rates = {str(rate) for rate in (record.rate, *record.former)}

    def lists(key: str, values: Mapping[str, str]) -> dict[str, str]:
        return {t: v for t, v in values.items() if live.topics.get(t, {}).get(key, v) == v}

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


def pick(throttle: Throttle, live: ThrottleConfigs, *, shown: bool) -> Throttle:
    """Keep the lists that are shown as they stand here, or those that are not."""

    def lists(key: str, values: Mapping[str, str]) -> dict[str, str]:
        return {t: v for t, v in values.items() if (live.topics.get(t, {}).get(key) == v) is shown}

    return replace(
        throttle,
        leader_replicas=lists(LEADER_REPLICAS, throttle.leader_replicas),
        follower_replicas=lists(FOLLOWER_REPLICAS, throttle.follower_replicas),
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

    Lists are set before rates, and nobody else makes the plan's: a rate is ours only on brokers
    that stand in such a list. Of several rates it is the one that most of these carry.

    Args:
        planned: The plan's throttle, of which only the lists matter.
        rates: What the spec may have led to.
        live: What is set.
        registered: Brokers that are up.
    """
    best, most = None, 0
    for rate in sorted(rates):
        carrying = {b for b, values in live.brokers.items() if str(rate) in values.values()}
        # Whoever was away, or had somebody else's rate, was left off our lists: see `restrict`.
        listed = _listed(planned, live, {*registered} - (live.brokers.keys() - carrying))
        brokers = frozenset[int]().union(*listed.values())
        if len(brokers & carrying) > most:
            most = len(brokers & carrying)
            best = ThrottleRecord(rate, tuple(sorted(brokers)), tuple(sorted(listed)))
    return best


def _listed(
    planned: Throttle, live: ThrottleConfigs, needed: Collection[int]
) -> dict[str, set[int]]:
    """Return topics with a list as planned, and whom it names: all whom it must of `needed`."""
    found: dict[str, set[int]] = {}
    for key, values in (
        (LEADER_REPLICAS, planned.leader_replicas),
        (FOLLOWER_REPLICAS, planned.follower_replicas),
    ):
        for topic, value in values.items():
            shown = live.topics.get(topic, {}).get(key, "")
            named = _brokers_in(shown)
            entries = [e for e in value.split(",") if int(e.rpartition(":")[2]) in named]
            whole = (_brokers_in(value) - named).isdisjoint(needed)
            if whole and named and shown == ",".join(entries):
                found.setdefault(topic, set()).update(named)
    return found


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
