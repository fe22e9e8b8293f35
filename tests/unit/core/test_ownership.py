"""Which throttle settings are ours."""

from __future__ import annotations

import pytest

from broker_operator.api.reassignment import ThrottleRecord
from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
    Throttle,
    ThrottleConfigs,
)
from broker_operator.core.ownership import as_found, kept, pick, restrict, retrace, unchanged

RECORD = ThrottleRecord(rate=50, brokers=(0, 1, 2, 3), topics=("t", "u"), former=(70,))
OURS = Throttle(50, (0, 1, 2, 3), {"t": "0:0,0:1", "u": "0:2"}, {"t": "0:3", "u": "0:3"})


def both(rate: str) -> dict[str, str]:
    return {LEADER_RATE: rate, FOLLOWER_RATE: rate}


def test_each_setting_counts_for_itself() -> None:
    live = ThrottleConfigs(
        brokers={
            0: both("50"),
            1: {LEADER_RATE: "77", FOLLOWER_RATE: "50"},
            2: {LEADER_RATE: "70", FOLLOWER_RATE: "77"},
            3: both("77"),
        },
        topics={"t": {LEADER_REPLICAS: "*", FOLLOWER_REPLICAS: "0:3"}},
    )
    found = unchanged(OURS, RECORD, live)
    assert found.brokers == (0,)
    assert found.leader_only == (2,)
    assert found.follower_only == (1,)
    assert found.leader_replicas == {"u": "0:2"}, "nothing is shown yet, so it may be on its way"
    assert found.follower_replicas == OURS.follower_replicas
    assert found.rate_keys == {
        0: (LEADER_RATE, FOLLOWER_RATE),
        2: (LEADER_RATE,),
        1: (FOLLOWER_RATE,),
    }
    assert kept(OURS, found, live) == ["broker 1", "broker 2", "broker 3", "t"]


def test_nothing_is_kept_where_nothing_was_changed() -> None:
    live = ThrottleConfigs({0: both("50"), 1: both("70")}, {"t": {LEADER_REPLICAS: "0:0,0:1"}})
    assert unchanged(OURS, RECORD, live) == OURS
    assert kept(OURS, unchanged(OURS, RECORD, live), live) == []


def test_replicas_on_brokers_without_our_rate_are_not_listed() -> None:
    assert restrict(OURS, {"t"}, rated={1}) == Throttle(50, (1,), {"t": "0:1"}, {})


def test_lists_that_have_come_through_are_told_from_those_that_have_not() -> None:
    """A list may be on its way, or somebody else's stands there: both are not as we set them."""
    live = ThrottleConfigs(
        {}, {"t": {LEADER_REPLICAS: "0:0,0:1", FOLLOWER_REPLICAS: "*"}, "v": {LEADER_REPLICAS: "*"}}
    )
    there, not_there = (pick(OURS, live, shown=shown) for shown in (True, False))
    assert there == Throttle(50, OURS.brokers, {"t": "0:0,0:1"}, {})
    assert not_there == Throttle(50, OURS.brokers, {"u": "0:2"}, OURS.follower_replicas)


def test_without_a_plan_lists_of_recorded_brokers_are_ours() -> None:
    live = ThrottleConfigs(
        {},
        {
            "t": {LEADER_REPLICAS: "0:0,0:1", FOLLOWER_REPLICAS: "*"},
            "u": {LEADER_REPLICAS: "0:9", FOLLOWER_REPLICAS: "0:3"},
        },
    )
    assert as_found(RECORD, [0, 1], live) == Throttle(50, (0, 1), {"t": "0:0,0:1"}, {"u": "0:3"})


FULL = {
    "t": {LEADER_REPLICAS: "0:0,0:1", FOLLOWER_REPLICAS: "0:3"},
    "u": {LEADER_REPLICAS: "0:2", FOLLOWER_REPLICAS: "0:3"},
}
ON_0 = {"t": {LEADER_REPLICAS: "0:0"}}
NOT_ON_1 = {**FULL, "t": {LEADER_REPLICAS: "0:0", FOLLOWER_REPLICAS: "0:3"}}


@pytest.mark.parametrize(
    ("rates", "topics", "expected"),
    [
        pytest.param(
            dict.fromkeys(range(4), "50"), FULL, ThrottleRecord(50, (0, 1, 2, 3), ("t", "u")),
            id="all that was set",
        ),
        pytest.param(
            {0: "50"}, FULL, ThrottleRecord(50, (0, 1, 2, 3), ("t", "u")), id="died between rates"
        ),
        pytest.param(
            {0: "50", 3: "50"}, {"t": {**FULL["t"], LEADER_REPLICAS: "*"}},
            ThrottleRecord(50, (3,), ("t",)), id="one list is left",
        ),
        pytest.param(
            {0: "50", 1: "40", 2: "50", 3: "50"}, NOT_ON_1,
            ThrottleRecord(50, (0, 2, 3), ("t", "u")), id="broker 1 was left off, for its own rate",
        ),
        pytest.param(
            {0: "50", 1: "40", 2: "50", 3: "50"}, FULL,
            ThrottleRecord(50, (0, 1, 2, 3), ("t", "u")), id="most have the rate that is ours",
        ),
        pytest.param(
            {0: "50", 1: "40", 2: "40", 3: "50"}, FULL,
            ThrottleRecord(40, (0, 1, 2, 3), ("t", "u")), id="of two on as many, the lower",
        ),
        pytest.param(
            {0: "50", 2: "50", 3: "50"}, {"u": FULL["u"]}, ThrottleRecord(50, (2, 3), ("u",)),
            id="rates of brokers that no list names are not taken",
        ),
        pytest.param({0: "50", 1: "50"}, {}, None, id="no list"),
        pytest.param({0: "50", 1: "50"}, {"t": {LEADER_REPLICAS: "*"}}, None, id="another list"),
        pytest.param(
            {0: "50", 1: "50"}, {"t": {LEADER_REPLICAS: "0:1,0:0"}}, None, id="another order"
        ),
        pytest.param(
            {0: "50"}, ON_0, None, id="part of a list, though nothing speaks against broker 1"
        ),
        pytest.param({0: "50", 1: "50"}, ON_0, None, id="part of a list, at the same rate"),
        pytest.param({0: "60", 1: "60"}, FULL, None, id="no rate that may be ours"),
        pytest.param({}, FULL, None, id="no rate"),
    ],
)  # fmt: skip
def test_what_is_set_shows_by_its_lists_whose_it_is(
    rates: dict[int, str], topics: dict[str, dict[str, str]], expected: ThrottleRecord | None
) -> None:
    live = ThrottleConfigs({b: both(rate) for b, rate in rates.items()}, topics)
    assert retrace(OURS, [40, 50], live, {0, 1, 2, 3}) == expected


def test_a_broker_that_is_away_may_have_been_left_off_the_lists() -> None:
    live = ThrottleConfigs({0: both("50"), 3: both("50")}, {"t": NOT_ON_1["t"]})
    assert retrace(OURS, [50], live, {0, 1, 3}) is not None, "by the other list"
    only = ThrottleConfigs({0: both("50")}, ON_0)
    assert retrace(OURS, [50], only, {0, 1, 2, 3}) is None
    assert retrace(OURS, [50], only, {0, 2, 3}) == ThrottleRecord(50, (0,), ("t",))


def test_a_broker_that_is_away_and_listed_is_ours_when_it_is_back() -> None:
    live = ThrottleConfigs({0: both("50")}, {"t": FULL["t"]})
    assert retrace(OURS, [50], live, {0}) == ThrottleRecord(50, (0, 1, 3), ("t",))
