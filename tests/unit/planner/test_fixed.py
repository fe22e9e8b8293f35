"""Plans whose end is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.core.model import Broker, TopicPartition
from broker_operator.core.planner import PlanRefusedError, PlanRequest
from broker_operator.core.planner.fixed import other_factors, plan_back, plan_replacement, plan_to

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment, Replicas

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
