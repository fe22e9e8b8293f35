"""What is in the controller's way: whose it is, and what the message tells people to do."""

from __future__ import annotations

from typing import Any

import pytest

from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import (
    PartitionState,
    SpoiltRequest,
    SpoiltTopic,
    TopicPartition,
)
from broker_operator.core.stuck import DEAD_END_SECONDS, UNHEARD_SECONDS, Obstacle, find
from tests.unit.core.samples import ensemble

PLAN = StoredPlan(
    origin={"orders": {0: (0, 1), 1: (1, 2)}}, target={"orders": {0: (2, 1), 1: (0, 2)}}
)
ORDERS_0, ORDERS_1 = TopicPartition("orders", 0), TopicPartition("orders", 1)


def orders(first: PartitionState, second: PartitionState | None = None) -> dict[str, Any]:
    return {"orders": {0: first, 1: second or PartitionState((1, 2))}}


def obstacle(
    *foreign: TopicPartition, plan: StoredPlan | None = PLAN, **changes: Any
) -> Obstacle | None:
    return find(ensemble(0, 1, 2, **changes), plan, foreign)


def found(*foreign: TopicPartition, plan: StoredPlan | None = PLAN, **changes: Any) -> Obstacle:
    result = obstacle(*foreign, plan=plan, **changes)
    assert result is not None
    return result


def test_nothing_is_in_the_way_of_a_cluster_at_rest() -> None:
    assert obstacle() is None


@pytest.mark.parametrize(
    ("batch", "present"),
    [
        ({"orders": {0: (2, 1)}}, {"orders": {0: (0, 1)}}),
        ({"orders": {0: (2, 1), 1: (0, 2)}}, {"orders": {0: (0, 1), 1: (1, 2)}}),
        ({"orders": {1: (1, 2)}}, {"orders": {1: (1, 2)}}),
    ],
    ids=["part of it", "all of it", "the way back"],
)
def test_a_request_of_the_plan_that_is_not_heard_is_ours(batch: Any, present: Any) -> None:
    it = found(requested=batch)
    assert (it.reason, it.patience, it.nudge) == ("UnheardRequest", UNHEARD_SECONDS, present)
    assert "broker 0, the controller" in it.message


def test_what_is_gone_is_asked_for_as_the_request_does() -> None:
    plan = StoredPlan(origin={"gone": {0: (0, 1)}}, target={"gone": {0: (2, 1)}})
    assert found(plan=plan, requested={"gone": {0: (2, 1)}}).nudge == {"gone": {0: (2, 1)}}


@pytest.mark.parametrize(
    ("batch", "plan"),
    [
        ({"orders": {0: (1, 2)}}, PLAN),
        ({"orders": {0: (2, 1), 1: (2, 0)}}, PLAN),
        ({"payments": {0: (2, 1)}}, PLAN),
        ({"orders": {0: (2, 1)}}, None),
    ],
    ids=["another list", "one in another order", "another topic", "no plan"],
)
def test_anything_else_is_not_ours_and_left(batch: Any, plan: StoredPlan | None) -> None:
    it = found(plan=plan, requested=batch)
    assert (it.reason, it.patience, it.nudge) == ("StuckReassignment", UNHEARD_SECONDS, {})
    assert "not this operator's" in it.message


def test_the_way_out_is_told_in_full_or_counted() -> None:
    it = found(requested={"orders": {0: (1, 2)}})
    assert '{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[0,1]}]}' in (
        it.message
    )
    many = dict.fromkeys(range(4), PartitionState((0, 1)))
    it = found(topics={"orders": many}, requested={"orders": dict.fromkeys(range(4), (1, 0))})
    assert "reassign these 4 partitions to their present replicas" in it.message


def test_a_request_that_is_under_way_or_that_nobody_could_act_on_is_in_order() -> None:
    batch = {"orders": {0: (2, 1), 1: (0, 2)}}
    flying = PartitionState((2, 1, 0), (2,), (0,))
    assert obstacle(requested=batch, topics=orders(flying)) is None
    assert obstacle(requested=batch, controller=None) is None


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (SpoiltRequest("it is not JSON"), '"topic":"orders","partition":0,"replicas":[0,1]'),
        (SpoiltRequest("odd", (ORDERS_1,)), '"topic":"orders","partition":1,"replicas":[1,2]'),
        (SpoiltRequest("odd", (TopicPartition("gone", 0),)), "reassign what is named"),
        (SpoiltRequest("no list", fatal=True), "delete /admin/reassign_partitions"),
        ({}, "names no partition"),
    ],
    ids=["ignored", "names a partition", "names what is gone", "fatal", "empty"],
)
def test_what_cannot_be_carried_out_is_told_at_once_with_the_way_out(
    request_: Any, words: str
) -> None:
    it = found(requested=request_)
    assert (it.reason, it.patience, it.nudge) == ("StuckReassignment", 0.0, {})
    assert words in it.message
    assert "not this operator's" in it.message


def test_a_partition_in_flight_is_not_the_one_to_clear_the_way_with() -> None:
    flying = PartitionState((2, 1, 0), (2,), (0,))
    it = found(requested=SpoiltRequest("odd"), topics=orders(flying))
    assert '"partition":1,"replicas":[1,2]' in it.message
    assert "reassign what is named" in found(requested=SpoiltRequest("odd"), topics={}).message


def test_poisoned_topics_are_named_before_anything_else() -> None:
    spoilt = SpoiltTopic("/brokers/topics/bad: partition 0: ['1'] is no list", {0: (0, 1)})
    emptied = PartitionState((1, 2), (), (1, 2))
    it = found(
        topics=orders(PartitionState((0, 1)), emptied),
        unreadable={"bad": spoilt},
        requested=SpoiltRequest("odd"),
    )
    assert (it.reason, it.patience, it.nudge) == ("PoisonedTopic", 0.0, {})
    assert spoilt.reason in it.message
    assert "/brokers/topics/orders: partition 1 loses all replicas" in it.message
    for entry in (
        '{"topic":"bad","partition":0,"replicas":[0,1]}',
        '{"topic":"orders","partition":1,"replicas":[1,2]}',
    ):
        assert entry in it.message


def test_a_move_of_others_to_a_broker_that_is_away_is_a_dead_end_after_a_while() -> None:
    dead = PartitionState((9, 1, 0), (9,), (0,))
    it = found(ORDERS_0, TopicPartition("gone", 0), topics=orders(dead))
    assert (it.reason, it.patience, it.nudge) == ("StuckReassignment", DEAD_END_SECONDS, {})
    assert "broker 9, which is not registered" in it.message
    assert '"partition":0,"replicas":[1,0]' in it.message
    live = PartitionState((2, 1, 0), (2,), (0,))
    assert obstacle(ORDERS_0, topics=orders(live)) is None
    assert obstacle(topics=orders(dead)) is None, "it is ours: the moves' own affair"
