"""What a pass sees of the replicas that are still to be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.copying import Flight, Gain, Look, carried, compare, look, silent
from broker_operator.core.model import (
    BrokerLogs,
    KafkaView,
    Leadership,
    PartitionState,
    TopicPartition,
    Unknown,
)
from broker_operator.core.planner import remaining
from tests.unit.core.samples import ensemble

if TYPE_CHECKING:
    from broker_operator.core.copying import Move

A, B = (TopicPartition("t", 0), 3), (TopicPartition("t", 1), 3)
WAITING, DONE = PartitionState((0, 1)), PartitionState((0, 3))
FLYING = PartitionState((0, 3, 1), adding=(3,), removing=(1,))
LED_BY_1 = Leadership(1, frozenset({0, 1}))
WORLD = ensemble(0, 1, 3, topics={"t": {0: WAITING, 1: WAITING}})
SIZES = {"t": {0: 1000, 1: 1000}}


def seen(
    *states: PartitionState,
    sizes: dict[int, int] | None = None,
    on_3: BrokerLogs | Unknown | None = None,
    led: dict[int, Leadership] | None = None,
    brokers: tuple[int, ...] = (0, 1, 3),
) -> Look:
    """Look at partitions of `t` of which each shall be on brokers 0 and 3."""
    world = ensemble(*brokers, topics={"t": dict(enumerate(states))})
    target = {"t": dict.fromkeys(range(len(states)), (0, 3))}
    known = {"t": dict.fromkeys(range(len(states)), 1000) if sizes is None else sizes}
    kafka = KafkaView({"t": led or {}}, {} if on_3 is None else {3: on_3})
    left = remaining(world.topics, target, known)
    return look(target, world, kafka, left=left, sizes=known, at=7.0)


def flight(copied: int, *, trouble: str = "", since: float = 0.0) -> Flight:
    return Flight(copied, 0, trouble, since)


def at(left: dict[Move, int], flights: dict[Move, Flight] | None = None) -> Look:
    return Look(0.0, left, flights or {}, dict.fromkeys(left, 0))


def test_only_what_is_not_done_is_left() -> None:
    now = seen(DONE, FLYING, WAITING, on_3=BrokerLogs({"t": {0: 1000, 1: 250}}))
    assert now.left == {B: 1000, (TopicPartition("t", 2), 3): 1000}
    assert now.flights == {B: Flight(250, None, "", 7.0)}
    assert [now.rest(move) for move in now.left] == [750, 1000]
    assert not now.held_up


def test_a_move_to_nowhere_is_no_move() -> None:
    assert seen(PartitionState((3, 0))).left == {}
    assert seen(PartitionState((0, 3, 1), removing=(1,))).left == {}


def test_no_replica_counts_for_more_than_its_size() -> None:
    now = seen(FLYING, on_3=BrokerLogs({"t": {0: 99_999}}))
    assert now.rest(A) == 0


def test_a_size_that_is_not_known_is_the_mean_of_the_others() -> None:
    assert seen(*[WAITING] * 4, sizes={0: 100, 1: 300}).left == {
        (TopicPartition("t", n), 3): size for n, size in enumerate((100, 300, 200, 200))
    }
    assert seen(WAITING, sizes={}).left == {A: 0}


@pytest.mark.parametrize(
    ("state", "led", "sender"),
    [
        (WAITING, {0: LED_BY_1}, 1),
        (WAITING, {}, 0),
        (FLYING, {0: Leadership(None, frozenset())}, 0),
        (PartitionState((3, 2, 0), adding=(3,), removing=(2,)), {}, 2),
        (PartitionState((3,), adding=(3,)), {}, 3),
    ],
    ids=["leader", "preferred", "offline", "of the origin", "no origin"],
)
def test_the_leader_sends_or_else_who_would_lead(
    state: PartitionState, led: dict[int, Leadership], sender: int
) -> None:
    assert seen(state, led=led).senders[A] == sender


@pytest.mark.parametrize(
    ("on_3", "led", "brokers", "trouble"),
    [
        (BrokerLogs({}), LED_BY_1, (0, 1), "broker 3 is not registered"),
        (
            BrokerLogs({}),
            Leadership(None, frozenset()),
            (0, 1, 3),
            "no broker leads it, so there is nothing to copy from",
        ),
        (BrokerLogs({}, failed=True), LED_BY_1, (0, 1, 3), "a log dir of broker 3 has failed"),
        (BrokerLogs({"t": {0: 5}}, failed=True), LED_BY_1, (0, 1, 3), ""),
        (BrokerLogs({}), LED_BY_1, (0, 1, 3), ""),
        (Unknown("silent"), LED_BY_1, (0, 1, 3), ""),
    ],
)
def test_only_what_is_certain_is_trouble(
    on_3: BrokerLogs | Unknown, led: Leadership, brokers: tuple[int, ...], trouble: str
) -> None:
    now = seen(FLYING, on_3=on_3, led={0: led}, brokers=brokers)
    assert now.flights[A].trouble == trouble
    assert now.flights[A].leader == led.leader
    assert now.held_up is bool(trouble)


def test_who_did_not_answer_is_silent() -> None:
    now = seen(FLYING, FLYING, WAITING)
    assert silent(now, KafkaView({}, {})) == [A, B]
    assert silent(now, KafkaView({}, {3: Unknown("timeout")})) == [A, B]
    assert silent(now, KafkaView({}, {3: BrokerLogs({})})) == []


def test_unknown_is_not_nothing() -> None:
    before = at({A: 1000, B: 1000}, {A: flight(600, since=1.0), B: flight(600, since=2.0)})
    now = at({A: 1000, B: 1000}, {A: flight(0, since=9.0), B: flight(0, since=9.0)})
    kept = carried(before, now, silent=[A])
    assert kept.flights == {A: flight(600, since=1.0), B: flight(0, since=2.0)}


def test_a_copy_that_retention_made_smaller_is_no_larger_than_its_leader() -> None:
    before = at({A: 1000}, {A: flight(600)})
    assert carried(before, at({A: 400}, {A: flight(0)}), silent=[A]).rest(A) == 0


def test_a_flight_begins_when_it_is_first_seen() -> None:
    now = at({A: 1000}, {A: flight(0, since=9.0)})
    assert carried(at({A: 1000}), now, silent=[A]) == now


def test_what_has_arrived_was_received_by_one_and_sent_by_another() -> None:
    before = at({A: 1000, B: 1000}, {A: flight(600)})
    now = at({B: 1000}, {B: flight(300)})
    gain = compare(before, now, WORLD, SIZES)
    assert gain == Gain(received={3: 700}, sent={0: 700})
    assert gain.bytes == 700


def test_a_move_that_ended_has_brought_all_that_there_is_now() -> None:
    before = at({A: 1000}, {A: flight(600)})
    assert compare(before, at({}), WORLD, {"t": {0: 1200}}).bytes == 600
    assert compare(before, at({}), WORLD, {}).bytes == 400
    assert compare(before, at({}), WORLD, {"t": {0: 500}}) == Gain()


def test_a_partition_that_was_deleted_gives_and_takes_nothing() -> None:
    before = at({A: 1000}, {A: flight(600)})
    assert compare(before, at({}), ensemble(0, topics={}), SIZES) == Gain()
    assert compare(before, at({}), ensemble(0, topics={"t": {1: WAITING}}), SIZES) == Gain()


def test_retention_takes_off_the_copy_what_it_takes_off_the_leader() -> None:
    before, now = at({A: 1000}, {A: flight(600)}), at({A: 900}, {A: flight(500)})
    assert compare(before, now, WORLD, SIZES) == Gain()


@pytest.mark.parametrize("size", [1000, 1500])
def test_a_copy_that_shrank_is_a_loss_with_a_cause(size: int) -> None:
    before = at({A: 1000, B: 1000}, {A: flight(600), B: flight(600)})
    now = at({A: size, B: size}, {A: flight(100), B: flight(50)})
    assert compare(before, now, WORLD, SIZES) == Gain(
        lost=1050, causes=("broker 3 has lost 1.0 KiB that were copied to it",)
    )


def test_a_move_that_was_called_off_takes_its_copy_along() -> None:
    before = at({A: 1000, B: 1000}, {A: flight(600), B: flight(0)})
    assert compare(before, at({A: 1000, B: 1000}), WORLD, SIZES) == Gain(
        lost=600, causes=("1 moves were called off half-way (t-0)",)
    )


def test_a_move_that_was_done_and_is_not_any_more_is_a_loss() -> None:
    gain = compare(at({}), at({A: 1000, B: 1000}, {B: flight(200)}), WORLD, SIZES)
    assert gain == Gain(lost=1800, causes=("2 replicas that were in place are no more (t-0, t-1)",))


sizes = st.integers(0, 1000)


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """Any moves of three partitions to two brokers, some of them under way."""
    moves = [(TopicPartition("t", n), b) for n in range(3) for b in (3, 4)]
    left = {move: draw(sizes) for move in moves if draw(st.booleans())}
    flights = {
        move: flight(draw(st.integers(0, size)))
        for move, size in left.items()
        if draw(st.booleans())
    }
    return Look(0.0, left, flights, {move: draw(st.integers(0, 2)) for move in left})


@given(looks(), looks(), st.dictionaries(st.integers(0, 2), sizes))
def test_every_byte_received_was_sent_and_every_loss_has_a_cause(
    before: Look, now: Look, known: dict[int, int]
) -> None:
    world = ensemble(0, topics={"t": dict.fromkeys(range(3), WAITING)})
    gain = compare(before, now, world, {"t": known})
    assert sum(gain.received.values()) == sum(gain.sent.values()) == gain.bytes
    assert all(count > 0 for count in (*gain.received.values(), *gain.sent.values()))
    assert gain.lost >= 0
    assert gain.causes or not gain.lost


@given(looks(), looks())
def test_what_is_carried_over_leaves_no_negative_rest(before: Look, now: Look) -> None:
    kept = carried(before, now, silent=now.flights)
    assert all(0 <= kept.rest(move) <= kept.left[move] for move in kept.left)


@given(looks())
def test_two_looks_alike_tell_of_nothing(once: Look) -> None:
    world = ensemble(0, topics={"t": dict.fromkeys(range(3), WAITING)})
    assert compare(once, once, world, SIZES) == Gain()
