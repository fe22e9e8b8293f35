from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRefusedError, PlanRequest, make_plan
from tests.unit.planner.cases import brokers


@pytest.mark.parametrize(
    ("assignment", "dead", "targets", "reason", "message"),
    [
        pytest.param(
            {"orders": {0: (0,)}}, [], [], "NoTargetBrokers",
            "no broker would remain of 4 to hold the replicas of 1 topic; keep at least one",
            id="nobody is left",
        ),
        pytest.param(
            {}, [], [0, 7, 9], "UnknownBroker",
            ("cannot move replicas to broker 7, 9: 2 of the 3 brokers that shall hold them are not "
             "registered; start them, or leave them out"),
            id="a target that does not exist",
        ),
        pytest.param(
            {}, [1], [0, 1], "UnknownBroker",
            ("cannot move replicas to broker 1: 1 of the 2 brokers that shall hold them is not "
             "registered; start them, or leave them out"),
            id="a target that is dead",
        ),
        pytest.param(
            {"orders": {0: (0, 1, 2)}, "logs": {0: (0, 1)}}, [], [0, 1], "ReplicationFactorTooHigh",
            "topic orders has replication factor 3, but only 2 brokers would remain; "
            "keep at least 3 brokers or lower the replication factor",
            id="one topic with too many replicas",
        ),
        pytest.param(
            {f"t{t}": {0: tuple(range(2 + t % 2))} for t in range(5)}, [], [0],
            "ReplicationFactorTooHigh",
            "topic t0 has replication factor 2, but only 1 broker would remain; the same holds for "
            "t1 (3), t2 (2) and 2 more; keep at least 3 brokers or lower the replication factor",
            id="five of them",
        ),
        pytest.param(
            {"orders": {0: (3,), 1: (3, 0)}}, [3], [0, 1], "NoLiveReplica",
            "1 partition has no live replica to copy from: orders-0, held by broker 3; bring it "
            "back, or delete the topic",
            id="nothing to copy from",
        ),
        pytest.param(
            {"orders": dict.fromkeys(range(5), (3, 9))}, [3], [0, 1], "NoLiveReplica",
            "5 partitions have no live replica to copy from: orders-0, orders-1, orders-2 and 2 "
            "more, held by broker 3, 9; bring these back, or delete the topic",
            id="nothing to copy from, five times",
        ),
    ],
)  # fmt: skip
def test_what_cannot_end_well_is_refused_with_the_numbers(
    assignment: dict[str, dict[int, tuple[int, ...]]],
    dead: list[int],
    targets: list[int],
    reason: str,
    message: str,
) -> None:
    with pytest.raises(PlanRefusedError) as refused:
        make_plan(PlanRequest(assignment, brokers(range(4), dead=dead), frozenset(targets)))
    assert (refused.value.reason, refused.value.message) == (reason, message)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        ({"excluded": frozenset({1, 7})}, "UnknownBroker",
         ("cannot exclude broker 7: there is none among the 4 known (0, 1, 2 and 1 more); leave "
          "it out")),
        ({"pinned": frozenset({"logs"})}, "UnknownTopic",
         ("cannot pin topic logs: there is none among the 2 topics known; check the name, or "
          "leave it out")),
        ({"factors": {"logs": 2}}, "UnknownTopic",
         ("cannot change topic logs: there is none among the 2 topics known; check the name, or "
          "leave it out")),
        ({"pinned": frozenset({"orders"}), "factors": {"orders": 2}}, "PinnedTopicChanged",
         ("topic orders is pinned, and shall get another replication factor: give up one of the "
         "two")),
        ({"pinned": frozenset({"orders"}), "targets": frozenset({1, 2, 3})},
         "PinnedTopicOnLeavingBroker",
         ("pinned topic orders has 1 replica on brokers that are removed or dead, such as orders-0 "
         "on broker 0; unpin it, or keep the broker")),
        ({"pinned": frozenset({"orders"}), "targets": frozenset({2, 3})},
         "PinnedTopicOnLeavingBroker",
         ("pinned topic orders has 2 replicas on brokers that are removed or dead, such as "
         "orders-0 on broker 0; unpin it, or keep the broker")),
        ({"factors": {"orders": 0}}, "ReplicationFactorTooLow",
         ("topic orders cannot have replication factor 0; ask for one from 1 to 4, the number of "
          "brokers that may hold it")),
        ({"factors": {"orders": 4}, "excluded": frozenset({2, 3})}, "ReplicationFactorTooHigh",
         ("topic orders is to have replication factor 4, but only 2 brokers may receive replicas; "
          "let at least 4 receive them or ask for a lower one")),
    ],
)  # fmt: skip
def test_wishes_that_cannot_be_met_are_refused_by_name(
    change: dict[str, Any], reason: str, message: str
) -> None:
    topics: dict[str, dict[int, tuple[int, ...]]] = {"orders": {0: (0, 1)}, "empty": {0: ()}}
    request = PlanRequest(topics, brokers(range(4)), frozenset(range(4)))
    with pytest.raises(PlanRefusedError) as refused:
        make_plan(replace(request, **change))
    assert (refused.value.reason, refused.value.message) == (reason, message)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    request = PlanRequest({}, (Broker(0), Broker(1, weight=weight)), frozenset({0}))
    with pytest.raises(PlanRefusedError, match=r"broker 1 has weight .*; give it a finite number"):
        make_plan(request)
