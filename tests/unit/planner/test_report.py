from __future__ import annotations

import json
from collections import Counter
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_operator.core.model import Broker
from broker_operator.core.planner import (
    Batch,
    Plan,
    PlanRefusedError,
    PlanRequest,
    make_batches,
    make_plan,
)
from broker_operator.core.planner.report import make_report
from tests.unit.planner.cases import brokers, requests

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment
    from broker_operator.core.planner.report import BrokerReport, Report


def report_of(
    assignment: Assignment,
    target: Assignment,
    known: tuple[Broker, ...],
    targets: set[int] | None = None,
    **wishes: Any,
) -> Report:
    """Return the report on a plan made by hand; bytes and bound are not those of a planner."""
    live = {broker.id for broker in known if broker.live}
    request = PlanRequest(assignment, known, frozenset(live if targets is None else targets))
    for name, value in wishes.items():
        object.__setattr__(request, name, value)
    plan = Plan(assignment, target, moves=3, lower_bound=2, bytes=7, leader_changes=1)
    return make_report(request, plan, [], None)


def by_id(report: Report) -> dict[int, BrokerReport]:
    return {broker.id: broker for broker in report.brokers}


def test_every_number_of_a_small_plan() -> None:
    before: Assignment = {"t": {0: (1, 2), 1: (1, 2), 2: (2, 1)}, "u": {0: (1,)}}
    after: Assignment = {"t": {0: (3, 2), 1: (1, 3), 2: (2, 1)}, "u": {0: (1,)}}
    request = PlanRequest(
        before,
        brokers((1, 2, 3), "ab"),
        frozenset({1, 2, 3}),
        {"t": {0: 100, 1: 50, 2: 10}, "u": {0: 5}},
        excluded=frozenset({2}),
        pinned=frozenset({"u"}),
    )
    plan = Plan(before, after, 2, 2, 150, 1)
    batches = [Batch({"t": {0: (3, 2)}}, 100), Batch({"t": {1: (1, 3)}}, 50)]
    report = make_report(request, plan, batches, 100, removed=(9, 8))
    found = report.to_dict()
    assert json.loads(json.dumps(found))["racks"] == [
        {
            "rack": "a",
            "replicas_before": 4,
            "replicas_after": 5,
            "leaders_before": 3,
            "leaders_after": 3,
            "bytes_before": 165,
            "bytes_after": 215,
        },
        {
            "rack": "b",
            "replicas_before": 3,
            "replicas_after": 2,
            "leaders_before": 1,
            "leaders_after": 1,
            "bytes_before": 160,
            "bytes_after": 110,
        },
    ]
    assert found["brokers"][2] == {
        "id": 3,
        "rack": "a",
        "live": True,
        "target": True,
        "weight": 1.0,
        "replicas_before": 0,
        "replicas_after": 2,
        "leaders_before": 0,
        "leaders_after": 1,
        "bytes_before": 0,
        "bytes_after": 150,
        "bytes_in": 150,
        "bytes_out": 0,
    }
    for number, broker in enumerate(({"bytes_out": 150, "bytes_after": 65}, {"bytes_out": 0})):
        assert found["brokers"][number] == found["brokers"][number] | broker
    rest = {key: value for key, value in found.items() if key not in {"brokers", "racks"}}
    assert rest == {
        "moves": 2,
        "lower_bound": 2,
        "optimal": True,
        "bytes": 150,
        "byte_bound": 5 + 10,  # the smallest that 1 and 2 hold, each one replica above its end
        "changed_partitions": 2,
        "leader_changes": 1,
        "replica_spread": 1,
        "leader_spread": 1,
        "topic_spread": 1,
        "rack_violations": 1,
        "replica_spread_before": 4,
        "leader_spread_before": 3,
        "topic_spread_before": 3,
        "rack_violations_before": 0,
        "sizes_known": True,
        "partitions_without_size": 0,
        "batches": 2,
        "throttle": 100,
        "predicted_seconds": 1.5,
        "ideal_seconds": 1.5,
        "pinned": ("u",),
        "excluded": (2,),
        "removed": (8, 9),
        "hash": plan.hash,
        "refused": None,
    }


def test_loads_are_counted_per_unit_of_weight() -> None:
    known = (Broker(1, weight=2.0), Broker(2, weight=1.5))
    report = report_of(
        {"t": {0: (1,), 1: (1,), 2: (2,)}}, {"t": {0: (1,), 1: (1,), 2: (2,)}}, known
    )
    assert report.replica_spread == report.leader_spread == report.topic_spread == 0.333


@pytest.mark.parametrize(
    ("sizes", "unknown", "in_", "seconds"),
    [
        ({}, 2, 0, None),
        ({"t": {0: 10}}, 1, 20, 0.2),
        ({"t": {0: 10, 1: 30}}, 0, 40, 0.4),
        ({"other": {0: 10}}, 2, 0, None),
    ],
)
def test_a_missing_size_counts_as_the_mean_of_the_others(
    sizes: dict[str, dict[int, int]], unknown: int, in_: int, seconds: float | None
) -> None:
    before, after = {"t": {0: (1,), 1: (1,)}}, {"t": {0: (2,), 1: (2,)}}
    request = PlanRequest(before, brokers((1, 2)), frozenset({2}), sizes)
    report = make_report(request, Plan(before, after, 2, 2, 0, 2), [], 100)
    assert report.partitions_without_size == unknown
    assert report.sizes_known is (unknown == 0)
    assert by_id(report)[2].bytes_in == in_
    assert report.ideal_seconds == seconds
    assert (report.predicted_seconds is None) == (seconds is None)


@pytest.mark.parametrize("throttle", [None, 0])
def test_without_a_throttle_no_time_is_told(throttle: int | None) -> None:
    request = PlanRequest({"t": {0: (1,)}}, brokers((1,)), frozenset({1}), {"t": {0: 9}})
    report = make_report(request, make_plan(request), [], throttle)
    assert report.throttle is report.predicted_seconds is report.ideal_seconds is None


def test_nothing_at_all() -> None:
    report = report_of({"t": {}, "u": {0: ()}}, {"t": {}, "u": {0: ()}}, (), set())
    assert report.replica_spread == report.topic_spread == report.topic_spread_before == 0
    assert not report.brokers
    assert not report.racks
    assert report.sizes_known


def test_a_partition_half_way_is_where_its_full_copies_are() -> None:
    before, after = {"t": {0: (1, 4), 1: (1, 2)}}, {"t": {0: (1, 2), 1: (1, 2)}}
    held = {"t": {0: (1, 3)}}
    report = report_of(before, after, brokers((1, 2, 3, 4)), held=held, sizes={"t": {0: 7, 1: 9}})
    found = by_id(report)
    assert [found[b].replicas_before for b in (1, 2, 3, 4)] == [2, 1, 1, 0]
    assert [found[b].replicas_after for b in (1, 2, 3, 4)] == [2, 2, 0, 0]
    assert [found[b].bytes_in for b in (1, 2, 3, 4)] == [0, 7, 0, 0]
    assert [found[b].bytes_after for b in (1, 2, 3, 4)] == [16, 16, 0, 0]


def test_a_partition_without_a_full_copy_is_where_it_goes() -> None:
    lists = {"t": {0: (1,)}}
    report = report_of(lists, lists, brokers((1,)), held={"t": {0: ()}})
    assert by_id(report)[1].replicas_before == 1


@pytest.mark.parametrize(
    ("replicas", "dead", "source"), [((1, 2), (), 1), ((1, 2), (1,), 2), ((1,), (1,), 1)]
)
def test_copies_come_from_the_first_live_broker(
    replicas: tuple[int, ...], dead: tuple[int, ...], source: int
) -> None:
    known = brokers((1, 2, 3, 4), dead=dead)
    report = report_of({"t": {0: replicas}}, {"t": {0: (3, 4)}}, known, sizes={"t": {0: 5}})
    assert {b.id: b.bytes_out for b in report.brokers if b.bytes_out} == {source: 10}
    assert by_id(report)[source].live is (source not in dead)


def test_rack_violations() -> None:
    # Racks a, b, a, b, and broker 9, which goes and has no rack; two racks: cap 1, 2, 2, 3.
    known = (*brokers((1, 2, 3, 4), "ab"), Broker(9))
    before = {
        "t": {
            0: (1, 3),  # two of two in a
            1: (1, 2),
            2: (1, 3, 2),
            3: (1, 9),
            4: (1, 2, 3, 4, 9),  # no cap for five on four brokers
            5: (2, 4),
        }
    }
    after = {"t": before["t"] | {0: (1, 2), 3: (1, 3)}}
    report = report_of(before, after, known, {1, 2, 3, 4})
    assert report.rack_violations_before == 2
    assert report.rack_violations == 2
    assert [rack.rack for rack in report.racks] == ["a", "b", None]


@pytest.mark.parametrize("known", [brokers((1, 2), "a"), (Broker(1, "a"), Broker(2))])
def test_racks_that_do_not_count_are_not_violated(known: tuple[Broker, ...]) -> None:
    lists = {"t": {0: (1, 2)}}
    assert report_of(lists, lists, known).rack_violations == 0


def test_only_what_must_be_copied_is_in_the_byte_bound() -> None:
    known, sizes = brokers((1, 2, 3, 4)), {"t": {0: 100, 1: 10, 2: 1}}
    lost = report_of({"t": {0: (1, 4)}}, {"t": {0: (1, 2)}}, known, {1, 2, 3}, sizes=sizes)
    assert lost.byte_bound == 100
    more = report_of({"t": {1: (1,)}}, {"t": {1: (1, 2, 3)}}, known, sizes=sizes)
    assert more.byte_bound == 20
    fewer = report_of({"t": {0: (1, 2, 3)}}, {"t": {0: (1,)}}, known, sizes=sizes)
    assert fewer.byte_bound == 0
    lists = {"t": {0: (1,), 1: (1,), 2: (1,)}}
    away = report_of(lists, {"t": {0: (1,), 1: (2,), 2: (3,)}}, known, sizes=sizes)
    assert away.byte_bound == 11


@settings(max_examples=150)
@given(requests(half_moved=True), st.integers(1, 4))
def test_a_report_agrees_with_plain_counting(request: PlanRequest, limit: int) -> None:
    try:
        plan = make_plan(request)
    except PlanRefusedError:
        return
    batches = make_batches(
        plan.origin, plan.target, sizes=request.sizes, max_moves_per_broker=limit
    )
    report = make_report(request, plan, batches, 10)
    found = by_id(report)
    held = {
        topic: {n: request.held.get(topic, {}).get(n, r) for n, r in its.items()}
        for topic, its in request.assignment.items()
    }
    for broker in request.brokers:
        me = found[broker.id]
        assert me.replicas_before == sum(
            broker.id in r for its in held.values() for r in its.values()
        )
        assert me.replicas_after == sum(
            broker.id in r for its in plan.target.values() for r in its.values()
        )
        assert me.leaders_after == sum(
            r[:1] == (broker.id,) for its in plan.target.values() for r in its.values()
        )
    assert sum(b.bytes_in for b in report.brokers) == plan.bytes
    assert sum(b.bytes_out for b in report.brokers) == plan.bytes
    assert report.byte_bound <= plan.bytes
    for rack in report.racks:
        its = [b for b in report.brokers if b.rack == rack.rack]
        assert rack.bytes_after == sum(b.bytes_after for b in its)
    json.dumps(report.to_dict())


@settings(max_examples=100)
@given(st.data())
def test_no_plan_with_these_loads_copies_less_than_the_byte_bound(data: st.DataObject) -> None:
    """Every assignment is tried: with the loads of any one, none copies less than its bound."""
    ids = (0, 1, 2, 3)
    targets = data.draw(st.sampled_from([(0, 1, 2), (0, 1, 2, 3), (1, 2)]))
    factors = data.draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    lists = [tuple(data.draw(st.permutations(ids))[:2]) for _ in factors]
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=len(lists), max_size=len(lists)))
    cheapest: dict[tuple[int, ...], int] = {}
    examples: dict[tuple[int, ...], tuple[tuple[int, ...], ...]] = {}
    for chosen in product(*(list(permutations(targets, n)) for n in factors)):
        loads = Counter(b for replicas in chosen for b in replicas)
        key = tuple(loads[b] for b in targets)
        cost = sum(
            size * len(set(new) - set(old))
            for old, new, size in zip(lists, chosen, sizes, strict=True)
        )
        if cost <= cheapest.get(key, cost):
            cheapest[key], examples[key] = cost, chosen
    for key, cost in cheapest.items():
        report = report_of(
            {"t": dict(enumerate(lists))},
            {"t": dict(enumerate(examples[key]))},
            brokers(ids),
            set(targets),
            sizes={"t": dict(enumerate(sizes))},
        )
        assert report.byte_bound <= cost
