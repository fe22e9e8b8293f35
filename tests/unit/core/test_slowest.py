"""Which partitions are named as the slowest, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.api.reassignment import ThrottleRecord
from broker_operator.core.copying import Flight, Look
from broker_operator.core.model import TopicPartition
from broker_operator.core.pace import Pace, Sample
from broker_operator.core.slowest import held_up, slowest

MIB = 1024**2
THROTTLE = ThrottleRecord(MIB, (0, 1, 3, 4), ("t",))


def pace(
    *flights: tuple[int, Flight],
    size: int = 1000,
    received: dict[int, int] | None = None,
    sent: dict[int, int] | None = None,
) -> Pace:
    """Return one with partitions 0, 1, ... of `t` on their way to a broker each.

    `received` and `sent` are bytes per second, over the last ten.
    """
    moves = {(TopicPartition("t", n), to): flight for n, (to, flight) in enumerate(flights)}
    look = Look(
        10.0, dict.fromkeys(moves, size), moves, {move: f.leader or 0 for move, f in moves.items()}
    )
    samples = (
        Sample(0.0, 0.0, 0, 0, {}, {}),
        Sample(
            10.0,
            0.0,
            0,
            0,
            {b: 10 * rate for b, rate in (received or {}).items()},
            {b: 10 * rate for b, rate in (sent or {}).items()},
        ),
    )
    return Pace("uid", "plan", look, {}, 0, samples)


def flight(copied: int, leader: int | None = 0, trouble: str = "") -> Flight:
    return Flight(copied, leader, trouble, 0.0)


def reasons(pace: Pace, throttle: ThrottleRecord | None = None) -> list[str]:
    return [why for _, why in slowest(pace, throttle)]


def test_the_three_of_which_least_has_arrived_are_named() -> None:
    copied = (900, 100, 300, 0, 800, 700)
    named = slowest(pace(*((n, flight(c, leader=n + 9)) for n, c in enumerate(copied))), None)
    assert [tp.partition for tp, _ in named] == [3, 1, 2]
    assert named[1][1] == "10% has arrived at broker 1"


def test_who_cannot_go_on_comes_first() -> None:
    named = slowest(pace((3, flight(0)), (4, flight(900, trouble="it is gone"))), None)
    assert [tp.partition for tp, _ in named] == [1, 0]
    assert named[0][1] == "it is gone; 90% has arrived at broker 4"


def test_what_is_held_up_is_told_once_for_each_reason() -> None:
    stuck = flight(0, trouble="it is gone")
    now = pace((3, stuck), (3, stuck), (4, flight(0, trouble="another")), (5, flight(0)))
    assert held_up(now.look) == [
        "1 partitions in flight cannot go on (t-2): another",
        "2 partitions in flight cannot go on (t-0, t-1): it is gone",
    ]
    assert held_up(pace((3, flight(0))).look) == []


def test_a_byte_less_than_all_is_not_a_hundred_percent() -> None:
    assert reasons(pace((3, flight(999)))) == ["99% has arrived at broker 3"]


def test_nobody_waits_for_an_empty_partition() -> None:
    empty = pace((3, flight(0)), size=0)
    assert reasons(empty) == ["100% has arrived at broker 3"]


def test_nothing_under_way_is_nothing_slow() -> None:
    assert slowest(pace(), THROTTLE) == ()


@pytest.mark.parametrize(
    ("received", "sent", "why"),
    [
        (MIB, 0, "; broker 3 receives all that the throttle of 1.0 MiB/s lets through"),
        (0, MIB * 3 // 4, "; broker 0 sends all that the throttle of 1.0 MiB/s lets through"),
        (MIB * 3 // 4 - 1, MIB // 2, ""),
    ],
)
def test_who_uses_up_its_throttle_is_held_back_by_it(received: int, sent: int, why: str) -> None:
    now = pace((3, flight(500)), received={3: received}, sent={0: sent})
    assert reasons(now, THROTTLE) == [f"50% has arrived at broker 3{why}"]


@pytest.mark.parametrize(
    "throttle",
    [
        None,
        ThrottleRecord(MIB, (0, 3), ("t",), swept=True),
        ThrottleRecord(MIB, (1, 4), ("t",)),
    ],
    ids=["none", "removed", "on others"],
)
def test_a_throttle_that_is_not_there_holds_nobody_back(throttle: ThrottleRecord | None) -> None:
    now = pace((3, flight(500)), received={3: MIB}, sent={0: MIB})
    assert reasons(now, throttle) == ["50% has arrived at broker 3"]


def test_no_leader_sends_nothing() -> None:
    now = pace((3, flight(500, leader=None)), received={3: 0}, sent={0: MIB})
    assert reasons(now, THROTTLE) == ["50% has arrived at broker 3"]


def test_a_leader_of_many_is_busy() -> None:
    now = pace(*((to, flight(500)) for to in (3, 4, 5)))
    assert reasons(now)[0] == (
        "50% has arrived at broker 3; its leader, broker 0, sends 3 replicas at once"
    )
    two = pace(*((to, flight(500)) for to in (3, 4)))
    assert "leader" not in "".join(reasons(two))


def test_a_target_with_as_much_to_do_as_its_leader_is_no_less_busy() -> None:
    now = pace(*((3, flight(500)) for _ in range(3)))
    assert "leader" not in "".join(reasons(now))


def test_a_target_that_takes_much_less_than_the_others_is_slow() -> None:
    targets = [(3, flight(100, 0)), (4, flight(500, 1)), (5, flight(500, 2))]
    now = pace(*targets, received={3: 400, 4: 1024, 5: 1024})
    assert reasons(now) == [
        "10% has arrived at broker 3; broker 3 takes 400 B/s, others 1.0 KiB/s: look at its disks",
        "50% has arrived at broker 4",
        "50% has arrived at broker 5",
    ]


def test_no_rate_is_no_slow_rate() -> None:
    fresh = pace((3, Flight(100, 0, "", 9.0)), (4, flight(500, 1)), received={4: 1024})
    assert reasons(fresh) == ["10% has arrived at broker 3", "50% has arrived at broker 4"]


@given(
    st.lists(
        st.tuples(st.integers(3, 5), st.integers(0, 1000), st.sampled_from(["", "gone"])),
        max_size=8,
    )
)
def test_trouble_never_hides_behind_what_goes_on(under_way: list[tuple[int, int, str]]) -> None:
    now = pace(*((to, flight(copied, trouble=trouble)) for to, copied, trouble in under_way))
    named = reasons(now, THROTTLE)
    troubled = sum(bool(trouble) for *_, trouble in under_way)
    assert len(named) == min(3, len(under_way))
    assert [why.startswith("gone; ") for why in named] == [n < troubled for n in range(len(named))]
