"""Which partitions are the slowest, and why."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from statistics import median
from typing import TYPE_CHECKING

from broker_operator.api.quantity import format_bytes
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.api.reassignment import ThrottleRecord
    from broker_operator.core.copying import Flight, Look, Move
    from broker_operator.core.model import BrokerId, TopicPartition
    from broker_operator.core.pace import Pace

NAMED = 3
"""Partitions in flight that a report names."""
NEAR_THROTTLE = 0.75
"""From this share of its throttle on a broker is held back by it. The rest is what the first
fetches of a batch, and fetches of 1 MB that come in seconds apart, leave of half a minute."""
BUSY_SENDS = 3
"""A leader that sends so many replicas at once is busy; two share a link without much harm."""
SLOW_SHARE = 0.5
"""A target that takes less than this share of what the others take is much slower than they."""


def slowest(pace: Pace, throttle: ThrottleRecord | None) -> tuple[tuple[TopicPartition, str], ...]:
    """Name the partitions in flight that cannot go on, then those of which least has arrived."""
    flights = pace.look.flights
    into = {broker: pace.received(broker) for broker in {broker for _, broker in flights}}
    order = sorted(flights, key=lambda move: (not flights[move].trouble, _share(pace, move), *move))
    named = []
    for move in order[:NAMED]:
        flight = flights[move]
        told = f"{floor(100 * _share(pace, move))}% has arrived at broker {move[1]}"
        if flight.trouble:
            why = f"{flight.trouble}; {told}"
        else:
            limit = (
                _throttled(pace, move, throttle, into)
                or _busy(flights, move)
                or _slow(move[1], into)
            )
            why = f"{told}; {limit}" if limit else told
        named.append((move[0], why))
    return tuple(named)


def held_up(look: Look) -> list[str]:
    """Say for `blockedBy` what in flight cannot go on, and why: one sentence a reason."""
    stuck: dict[str, set[TopicPartition]] = {}
    for (tp, _), flight in look.flights.items():
        if flight.trouble:
            stuck.setdefault(flight.trouble, set()).add(tp)
    return [
        f"{len(names)} partitions in flight cannot go on ({name_some(sorted(names))}): {trouble}"
        for trouble, names in sorted(stuck.items())
    ]


def _share(pace: Pace, move: Move) -> Fraction:
    """All of an empty partition has arrived: it is not what anybody waits for."""
    size = pace.look.left[move]
    return Fraction(pace.look.flights[move].copied, size) if size else Fraction(1)


def _throttled(
    pace: Pace,
    move: Move,
    throttle: ThrottleRecord | None,
    into: Mapping[BrokerId, float | None],
) -> str:
    if throttle is None or throttle.swept:
        return ""
    target, leader = move[1], pace.look.flights[move].leader
    rates = [("receives", target, into[target])]
    if leader is not None:
        rates.append(("sends", leader, pace.sent(leader)))
    for verb, broker, rate in rates:
        if broker in throttle.brokers and (rate or 0) >= NEAR_THROTTLE * throttle.rate:
            limit = format_bytes(throttle.rate)
            return f"broker {broker} {verb} all that the throttle of {limit}/s lets through"
    return ""


def _busy(flights: Mapping[Move, Flight], move: Move) -> str:
    """Whether its leader has more to do than its target, and much."""
    leader = flights[move].leader
    sends = sum(flight.leader == leader for flight in flights.values())
    if leader is None or sends < BUSY_SENDS or sends <= sum(b == move[1] for _, b in flights):
        return ""
    return f"its leader, broker {leader}, sends {sends} replicas at once"


def _slow(broker: BrokerId, into: Mapping[BrokerId, float | None]) -> str:
    own = into[broker]
    others = [rate for other, rate in into.items() if other != broker and rate is not None]
    if own is None or not others or own >= SLOW_SHARE * (usual := median(others)):
        return ""
    return (
        f"broker {broker} takes {format_bytes(round(own))}/s, others {format_bytes(round(usual))}"
        "/s: look at its disks"
    )
