from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import Throttle
from broker_operator.core.planner import throttle_for

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment

ORIGIN: Assignment = {
    "orders": {0: (1, 2), 1: (2, 3), 2: (1, 2), 10: (3, 1)},
    "logs": {0: (1,), 1: (2,)},
}
TARGET: Assignment = {
    "orders": {0: (4, 2), 1: (3, 2), 2: (1, 2), 10: (3, 4)},
    "logs": {0: (1,), 1: (2,)},
}


def test_leaders_are_held_back_for_all_origin_replicas_and_followers_for_new_ones() -> None:
    assert throttle_for(ORIGIN, TARGET, 50, range(10)) == Throttle(
        rate=50,
        brokers=(1, 2, 3, 4),
        leader_replicas={"orders": "0:1,0:2,10:1,10:3"},
        follower_replicas={"orders": "0:4,10:4"},
    )


def test_only_brokers_that_may_be_set_are_named() -> None:
    assert throttle_for(ORIGIN, TARGET, 50, {4, 3, 7}).brokers == (3, 4)


def test_reordering_needs_no_throttle() -> None:
    swapped: Assignment = {"orders": {1: (3, 2)}}
    assert throttle_for(ORIGIN, swapped, 50, range(10)) == Throttle(50, ())


def test_partitions_that_have_no_origin_are_left_alone() -> None:
    assert throttle_for({}, TARGET, 50, range(10)) == Throttle(50, ())
