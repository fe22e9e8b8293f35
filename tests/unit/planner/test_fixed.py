"""Plans whose end is given."""

from __future__ import annotations

import pytest

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRefusedError, PlanRequest
from broker_operator.core.planner.fixed import plan_back, plan_replacement, plan_to

BROKERS = tuple(Broker(b) for b in range(4))
NOW = {"a": {0: (1, 2), 1: (2, 3)}, "b": {0: (0, 1)}}
SIZES = {"a": {0: 10, 1: 20}, "b": {0: 5}}


def request(targets: frozenset[int] = frozenset(range(4)), **changes: object) -> PlanRequest:
    fields: dict[str, object] = {"assignment": NOW, "sizes": SIZES} | changes
    return PlanRequest(brokers=BROKERS, targets=targets, **fields)  # type: ignore[arg-type]


def test_everything_goes_back_to_the_very_lists_it_had() -> None:
    plan = plan_back(request(), {"a": {0: (2, 1), 1: (0, 2)}}, frozenset())
    assert plan.target == {"a": {0: (2, 1), 1: (0, 2)}, "b": {0: (0, 1)}}
    assert (plan.moves, plan.lower_bound, plan.bytes, plan.leader_changes) == (1, 1, 20, 2)
    assert plan.optimal


def test_what_has_another_replication_factor_now_stays() -> None:
    plan = plan_back(request(), {"a": {0: (0,)}}, frozenset())
    assert not plan.changes


def test_what_was_on_a_broker_that_is_gone_cannot_go_back() -> None:
    with pytest.raises(PlanRefusedError, match=r"1 replicas were on broker 7.*\(a-0\)") as refusal:
        plan_back(request(), {"a": {0: (7, 1)}}, frozenset())
    assert refusal.value.reason == "BrokerGone"


def test_what_is_new_on_a_leaving_broker_is_placed_by_the_planner() -> None:
    """Topic a is back on 0 to 2; b was made meanwhile, and lies on broker 3."""
    now = {"a": {0: (1, 3), 1: (2, 3)}, "b": {0: (3, 1)}}
    former = {"a": {0: (1, 2), 1: (2, 0)}}
    plan = plan_back(request(frozenset({0, 1, 2}), assignment=now), former, frozenset())
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
