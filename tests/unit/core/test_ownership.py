"""Which throttle settings are ours."""

from __future__ import annotations

from broker_operator.api.reassignment import ThrottleRecord
from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
    Throttle,
    ThrottleConfigs,
)
from broker_operator.core.ownership import as_found, kept, restrict, unchanged

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


def test_without_a_plan_lists_of_recorded_brokers_are_ours() -> None:
    live = ThrottleConfigs(
        {},
        {
            "t": {LEADER_REPLICAS: "0:0,0:1", FOLLOWER_REPLICAS: "*"},
            "u": {LEADER_REPLICAS: "0:9", FOLLOWER_REPLICAS: "0:3"},
        },
    )
    assert as_found(RECORD, [0, 1], live) == Throttle(50, (0, 1), {"t": "0:0,0:1"}, {"u": "0:3"})
