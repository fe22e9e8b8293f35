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
    sizes_in_flight,
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

if TYPE_CHECKING:
    from broker_operator.core.catch_up import Sample

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


def test_the_leaders_size_counts_of_what_is_being_copied() -> None:
    world = ensemble(
        PartitionState((0, 1, 3), adding=(3,)),
        PartitionState((0, 1)),
        PartitionState((2, 3), adding=(3,)),
        PartitionState((2, 3), adding=(3,)),
        PartitionState((0, 3), adding=(3,)),
        PartitionState((0, 3), adding=(3,)),
    )
    leads = [(0, {0, 1}), (0, {0, 1}), (2, {2}), (None, {2}), (0, {0})]
    logs: dict[int, BrokerLogs | Unknown] = {
        0: BrokerLogs({"t": {0: 70, 1: 9}}),
        3: BrokerLogs({"t": {0: 5}}),
        2: Unknown("broker 2 does not answer"),
    }
    assert sizes_in_flight(world, view(*leads, logs=logs)) == {A: 70}


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


def test_flows_add_up_for_each_receiver_and_each_sender() -> None:
    world = ensemble(
        PartitionState((0, 1, 2, 3), adding=(2, 3)),
        PartitionState((0, 1, 3), adding=(3,)),
        PartitionState((0, 3), adding=(3,)),
    )
    seen = view((0, {0, 1}), (1, {0, 1}), (0, {0, 3}), logs={})
    rates = {A: 10.0, B: 4.0, TopicPartition("t", 2): 1.0, TopicPartition("gone", 0): 9.0}
    found = {(f.side, f.broker): f.rate for f in flows(rates, world, seen)}
    assert found == {("to", 2): 10.0, ("to", 3): 14.0, ("from", 0): 30.0, ("from", 1): 8.0}


def test_what_nobody_leads_flows_nowhere() -> None:
    world = ensemble(PartitionState((0, 3), adding=(3,)))
    assert flows({A: 5.0}, world, view((None, {0}), logs={})) == []


def test_the_worst_flow_at_or_above_the_throttle_is_too_much() -> None:
    found = [Flow("to", 3, 14.0), Flow("from", 0, 20.0), Flow("to", 2, 10.0)]
    assert too_low(found, 15, [0, 2, 3]) == Flow("from", 0, 20.0)
    assert too_low(found, 14, [2, 3]) == Flow("to", 3, 14.0), "broker 0 has no rate of ours"
    assert too_low(found, 21, [0, 2, 3]) is None
    assert too_low([], 1, [0]) is None


def test_the_advice_names_what_would_do() -> None:
    flow = Flow("to", 3, 2.3 * 1024**2)
    assert advise(flow, 1024**2, "spec.reassignment.throttle") == (
        "throttle 1.0 MiB/s cannot catch up: what producers write to what moves to broker 3 takes "
        "2.3 MiB/s of it; set spec.reassignment.throttle to at least 5Mi"
    )


@pytest.mark.parametrize(
    ("rate", "quantity"), [(100.0, "1Ki"), (100 * 1024, "200Ki"), (512 * 1024 + 1, "2Mi")]
)
def test_what_would_do_is_a_whole_quantity(rate: float, quantity: str) -> None:
    assert enough(rate) == quantity


@given(st.floats(min_value=1.0, max_value=1e12))
def test_what_would_do_leaves_room_to_catch_up(rate: float) -> None:
    assert parse_bytes(enough(rate)) >= MARGIN * rate
