"""Plans whose end is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.core.model import Broker, TopicPartition
from broker_operator.core.planner import PlanRefusedError, PlanRequest
from broker_operator.core.planner.fixed import (
    other_factors,
    plan_around,
    plan_back,
    plan_replacement,
    plan_to,
)

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment, Replicas
    from broker_operator.core.planner import Plan

BROKERS = tuple(Broker(b) for b in range(4))
NOW = {"a": {0: (1, 2), 1: (2, 3)}, "b": {0: (0, 1)}}
SIZES = {"a": {0: 10, 1: 20}, "b": {0: 5}}


def request(targets: frozenset[int] = frozenset(range(4)), **changes: object) -> PlanRequest:
    fields: dict[str, object] = {"assignment": NOW, "sizes": SIZES} | changes
    return PlanRequest(brokers=BROKERS, targets=targets, **fields)  # type: ignore[arg-type]


def test_everything_goes_back_to_the_very_lists_it_had() -> None:
    plan = plan_back(request(), {"a": {0: (2, 1), 1: (0, 2)}}, {}, frozenset())
    assert plan.target == {"a": {0: (2, 1), 1: (0, 2)}, "b": {0: (0, 1)}}
    assert (plan.moves, plan.lower_bound, plan.bytes, plan.leader_changes) == (1, 1, 20, 2)
    assert plan.optimal


def test_what_has_another_replication_factor_now_stays() -> None:
    former: Assignment = {"a": {0: (0,), 1: (2, 3)}}
    reached: Assignment = {"a": {0: (0, 1, 2), 1: (2, 3)}}
    plan = plan_back(request(), former, reached, frozenset())
    assert not plan.changes
    assert other_factors(NOW, former, reached) == [TopicPartition("a", 0)]


@pytest.mark.parametrize("was", [(3,), (3, 0, 1)], ids=["raised", "lowered"])
def test_a_replication_factor_that_the_former_plan_changed_goes_back(was: Replicas) -> None:
    """Partition a-1 has not got there yet, b-0 was made since."""
    former: Assignment = {"a": {0: was, 1: (3, 2)}}
    reached: Assignment = {"a": {0: (1, 2), 1: (0, 1, 2)}}
    plan = plan_back(request(), former, reached, frozenset())
    assert plan.target == {"a": {0: was, 1: (3, 2)}, "b": {0: (0, 1)}}
    assert other_factors(NOW, former, reached) == []


def test_a_factor_goes_back_beside_what_the_planner_must_place() -> None:
    now: Assignment = {"a": {0: (1, 0, 2), 1: (2, 0, 1)}, "b": {0: (3, 1)}}
    former: Assignment = {"a": {0: (1, 2), 1: (2, 0)}}
    plan = plan_back(
        request(frozenset({0, 1, 2}), assignment=now), former, {"a": now["a"]}, frozenset()
    )
    assert plan.target["a"] == former["a"]
    assert 3 not in plan.target["b"][0]
    assert plan.moves == 1


def test_what_was_on_a_broker_that_is_gone_cannot_go_back() -> None:
    with pytest.raises(PlanRefusedError, match=r"1 replicas were on broker 7.*\(a-0\)") as refusal:
        plan_back(request(), {"a": {0: (7, 1)}}, {}, frozenset())
    assert refusal.value.reason == "BrokerGone"


def test_what_is_new_on_a_leaving_broker_is_placed_by_the_planner() -> None:
    """Topic a is back on 0 to 2; b was made meanwhile, and lies on broker 3."""
    now = {"a": {0: (1, 3), 1: (2, 3)}, "b": {0: (3, 1)}}
    former = {"a": {0: (1, 2), 1: (2, 0)}}
    plan = plan_back(request(frozenset({0, 1, 2}), assignment=now), former, {}, frozenset())
    assert plan.target["a"] == former["a"]
    assert 3 not in plan.target["b"][0]
    assert plan.moves == 3


def test_a_move_half_way_counts_from_who_has_a_full_copy() -> None:
    held = {"a": {0: (2, 1)}}
    target = {"a": {0: (1, 2), 1: (2, 3)}, "b": {0: (0, 1)}}
    assert plan_to(request(held=held), target).moves == 0
    assert plan_to(request(held={"a": {0: (1,)}}), target).moves == 1


def test_one_broker_takes_the_place_of_another_in_every_list() -> None:
    plan = plan_replacement(request(), 1, 3)
    assert plan.target == {"a": {0: (3, 2), 1: (2, 3)}, "b": {0: (0, 3)}}
    assert plan.moves == 2


def test_a_broker_cannot_take_the_place_of_one_that_it_shares_partitions_with() -> None:
    with pytest.raises(PlanRefusedError, match="1 partitions have replicas on both") as refusal:
        plan_replacement(request(), 2, 3)
    assert refusal.value.reason == "BothHold"


EMPTIED = frozenset({3})
LEFT = tuple(Broker(b, live=b != 0) for b in range(5))
"""Broker 0 is lost for good while 3 is emptied: 1, 2 and 4 are left."""


def around(
    now: Assignment, former: Assignment, brokers: tuple[Broker, ...] = LEFT, lost: int = 0
) -> Plan:
    left = frozenset(b.id for b in brokers) - {lost}
    asked = PlanRequest(assignment=now, brokers=brokers, targets=left)
    return plan_around(asked, former, EMPTIED)


def test_what_would_go_to_a_lost_broker_goes_to_another_at_its_place() -> None:
    plan = around({"a": {0: (3, 1)}, "b": {0: (1, 2)}}, {"a": {0: (0, 1)}, "b": {0: (1, 2)}})
    assert plan.target == {"a": {0: (4, 1)}, "b": {0: (1, 2)}}
    assert (plan.moves, plan.lower_bound) == (1, 1)


def test_a_replica_beside_one_on_a_lost_broker_takes_that_along() -> None:
    """The controller ends no move before all of its target is in sync."""
    plan = around({"a": {0: (0, 3, 1)}}, {"a": {0: (0, 2, 1)}})
    assert plan.target["a"][0] == (2, 4, 1)
    assert plan.moves == 2


def test_what_stays_where_it_is_is_not_moved_for_balance() -> None:
    now: Assignment = {"a": dict.fromkeys(range(6), (1, 3))}
    plan = around(now, {"a": dict.fromkeys(range(6), (1, 0))})
    assert [plan.target["a"][n] for n in range(6)] == [(1, 2), (1, 4)] * 3
    assert plan.moves == 6


def test_stand_ins_crowd_no_rack_that_they_need_not() -> None:
    racks = {0: "c", 1: "a", 2: "a", 3: "c", 4: "b"}
    brokers = tuple(Broker(b, rack=rack if b else None, live=b != 0) for b, rack in racks.items())
    now: Assignment = {"a": {0: (1, 3), 1: (3, 2)}}
    plan = around(now, {"a": {0: (1, 0), 1: (0, 2)}}, brokers)
    assert plan.target["a"] == {0: (1, 4), 1: (4, 2)}


def test_what_does_not_empty_a_broker_still_leads_to_where_it_did() -> None:
    """Topic b shall get its share of broker 0 once that is back, d stays, and e has gone."""
    now: Assignment = {
        "a": {0: (1, 3), 1: (3, 1)},
        "b": {0: (1, 2)},
        "c": {0: (1, 4)},
        "d": {0: (0, 3)},
    }
    former: Assignment = {
        "a": {0: (1, 0), 1: (4, 1)},
        "b": {0: (0, 2)},
        "d": {0: (0, 3)},
        "e": {0: (1,)},
    }
    plan = around(now, former)
    assert plan.target == {
        "a": {0: (1, 2), 1: (4, 1)},
        "b": {0: (0, 2)},
        "c": {0: (1, 4)},
        "d": {0: (0, 3)},
    }


def test_what_is_new_on_a_broker_that_is_emptied_is_led_off_it() -> None:
    assert around({"new": {0: (3, 0)}}, {}).target == {"new": {0: (1, 2)}}


def test_without_a_lost_broker_in_the_way_it_is_the_former_plan() -> None:
    now: Assignment = {"a": {0: (1, 3)}, "b": {0: (0, 2)}}
    former: Assignment = {"a": {0: (1, 2)}, "b": {0: (0, 2)}}
    assert around(now, former).target == former


def test_what_has_no_room_elsewhere_is_refused() -> None:
    now: Assignment = {"a": {0: (0, 1, 2, 3)}}
    with pytest.raises(PlanRefusedError, match="a-0 has replication factor 4, but only 3 brokers"):
        around(now, {"a": {0: (0, 1, 2, 4)}})
