"""Whether replicas that are being added can ever catch up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.api.quantity import parse_bytes
from broker_operator.core.catch_up import (
    MARGIN,
    Flow,
    advise,
    enough,
    flows,
    growth,
    sizes_of,
    too_low,
)
from broker_operator.core.model import (
    BrokerLogs,
    Ensemble,
    KafkaView,
    Leadership,
    PartitionState,
    RegisteredBroker,
    TopicPartition,
    Unknown,
)
from broker_operator.core.planner.throttle import Listed, listed

if TYPE_CHECKING:
    from broker_operator.core.catch_up import Sample
    from broker_operator.core.model import Assignment

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def ensemble(*states: PartitionState) -> Ensemble:
    return Ensemble(
        cluster_id="c",
        brokers={b: RegisteredBroker(b, None, ()) for b in range(4)},
        controller=0,
        migrating=False,
        topics={"t": dict(enumerate(states))},
        requested=None,
    )


def view(*led: tuple[int | None, set[int]], logs: dict[int, BrokerLogs | Unknown]) -> KafkaView:
    seen = {n: Leadership(leader, frozenset(isr)) for n, (leader, isr) in enumerate(led)}
    return KafkaView({"t": seen}, logs)


def test_what_gets_a_replica_is_listed() -> None:
    origin: Assignment = {"t": {0: (0, 1), 1: (0, 1), 2: (0, 1)}, "u": {0: (2,)}}
    target: Assignment = {
        "t": {0: (3, 1), 1: (1, 0), 2: (0, 1)},
        "u": {0: (2, 3, 4)},
        "new": {0: (1,)},
    }
    assert listed(origin, target) == {
        A: Listed(frozenset({0, 1}), frozenset({3})),
        TopicPartition("u", 0): Listed(frozenset({2}), frozenset({3, 4})),
    }


def test_the_leaders_size_counts() -> None:
    leads = [(0, {0, 1}), (0, {0, 1}), (2, {2}), (None, {2}), (0, {0})]
    logs: dict[int, BrokerLogs | Unknown] = {
        0: BrokerLogs({"t": {0: 70, 1: 9}}),
        3: BrokerLogs({"t": {0: 5}}),
        2: Unknown("broker 2 does not answer"),
    }
    asked = [TopicPartition("t", number) for number in (0, 2, 3, 4, 5)]
    assert sizes_of(asked, view(*leads, logs=logs)) == {A: 70}


def test_growth_is_what_was_written_since_it_was_first_in_flight() -> None:
    samples: list[Sample] = [
        (0.0, {A: 100}),
        (10.0, {A: 300, B: 0}),
        (20.0, {A: 250, B: 50}),  # a segment was deleted
        (25.0, {A: 350, B: 80}),
    ]
    assert growth(samples) == {A: (200 + 0 + 100) / 25, B: 80 / 15}


def test_no_growth_is_told_of_what_has_landed_or_began_only_now() -> None:
    assert growth([(0.0, {A: 1}), (20.0, {B: 1}), (25.0, {B: 90})]) == {}
    assert growth([]) == {}


def spread(*rows: tuple[set[int], set[int]]) -> dict[TopicPartition, Listed]:
    return {
        TopicPartition("t", n): Listed(frozenset(leaders), frozenset(followers))
        for n, (leaders, followers) in enumerate(rows)
    }


def flowing(
    rates: list[float],
    lists: dict[TopicPartition, Listed],
    world: Ensemble,
    seen: KafkaView,
) -> dict[tuple[str, int], float]:
    known = {TopicPartition("t", n): rate for n, rate in enumerate(rates)}
    return {(f.side, f.broker): f.rate for f in flows(known, lists, world, seen)}


def test_a_receiver_gets_each_partition_once_and_a_leader_sends_it_to_each_follower() -> None:
    world = ensemble(
        PartitionState((0, 1, 2, 3), adding=(2, 3)),
        PartitionState((0, 1, 3), adding=(3,)),
    )
    lists = spread(({0, 1}, {2, 3}), ({0, 1}, {3}))
    seen = view((0, {0, 1}), (1, {0, 1}), logs={})
    assert flowing([10.0, 4.0], lists, world, seen) == {
        ("to", 2): 10.0,
        ("to", 3): 14.0,
        ("from", 0): 30.0,
        ("from", 1): 8.0,
    }


def test_what_has_caught_up_or_has_yet_to_move_takes_its_share_of_the_rate() -> None:
    world = ensemble(
        PartitionState((0, 1, 3), adding=(3,)),
        PartitionState((0, 3)),  # has moved, and its former leader leads it still
        PartitionState((0, 1)),  # has yet to
        PartitionState((3, 1)),  # has moved, and is led by the new one: not listed there
    )
    lists = spread(*([({0, 1}, {3})] * 4))
    seen = view((0, {0, 1}), (0, {0, 3}), (0, {0, 1}), (3, {1, 3}), logs={})
    assert flowing([1.0, 10.0, 100.0, 1000.0], lists, world, seen) == {
        ("to", 3): 11.0,
        ("from", 0): 2 * 1.0 + 10.0 + 100.0,
    }
    rates = {TopicPartition("t", n): 10.0**n for n in range(4)}
    found = flows(rates, lists, world, seen)
    assert {(f.side, f.broker): f.in_sync for f in found} == {("to", 3): 10.0, ("from", 0): 111.0}


def test_where_nothing_has_to_catch_up_nothing_is_too_low() -> None:
    world = ensemble(PartitionState((0, 1, 3), adding=(3,)), PartitionState((1, 2)))
    lists = spread(({0, 1}, {3}), ({1, 2}, {3}))
    assert flowing([5.0, 5.0], lists, world, view((0, {0, 3}), (1, {1}), logs={})) == {}


def test_who_is_away_copies_nothing() -> None:
    world = ensemble(PartitionState((0, 1, 9), adding=(9,)))
    assert flowing([5.0], spread(({0, 1}, {9})), world, view((0, {0, 1}), logs={})) == {}


def test_what_nobody_leads_flows_nowhere() -> None:
    world = ensemble(PartitionState((0, 3), adding=(3,)))
    lists = spread(({0}, {3}), ({0}, {3}), ({0}, {3}))
    seen = view((None, {0}), (0, {0}), logs={})
    assert flowing([5.0, 5.0, 5.0], lists, world, seen) == {}


def test_the_worst_flow_at_or_above_the_throttle_is_too_much() -> None:
    found = [Flow("to", 3, 14.0), Flow("from", 0, 20.0), Flow("to", 2, 10.0)]
    assert too_low(found, 15, [0, 2, 3]) == Flow("from", 0, 20.0)
    assert too_low(found, 14, [2, 3]) == Flow("to", 3, 14.0), "broker 0 has no rate of ours"
    assert too_low(found, 21, [0, 2, 3]) is None
    assert too_low([], 1, [0]) is None


def test_the_advice_names_what_would_do() -> None:
    flow = Flow("to", 3, 2.3 * 1024**2)
    assert advise(flow, 1024**2, "spec.reassignment.throttle") == (
        "throttle 1.0 MiB/s cannot catch up: keeping up with producers takes 2.3 MiB/s of what "
        "may go to broker 3; set spec.reassignment.throttle to at least 5Mi"
    )


@pytest.mark.parametrize(
    ("rate", "quantity"), [(100.0, "1Ki"), (100 * 1024, "200Ki"), (512 * 1024 + 1, "2Mi")]
)
def test_what_would_do_is_a_whole_quantity(rate: float, quantity: str) -> None:
    assert enough(rate) == quantity


@given(st.floats(min_value=1.0, max_value=1e12))
def test_what_would_do_leaves_room_to_catch_up(rate: float) -> None:
    assert parse_bytes(enough(rate)) >= MARGIN * rate
