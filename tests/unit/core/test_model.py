from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.model import (
    BrokerLogs,
    PartitionState,
    TopicPartition,
    Unknown,
)
from tests.unit.core.samples import ensemble


def test_a_topic_partition_reads_as_kafka_prints_it() -> None:
    assert str(TopicPartition("orders", 0)) == "orders-0"


def test_unknown_is_neither_true_nor_empty() -> None:
    with pytest.raises(TypeError, match="isinstance"):
        bool(Unknown("it does not answer"))


def test_logs_count_what_lies_on_disk() -> None:
    logs = BrokerLogs({"a": {0: 5, 1: 7}, "b": {0: 1}})
    assert (logs.partitions, logs.bytes) == (3, 13)


def test_the_assignment_is_where_everything_is_being_taken() -> None:
    moving = PartitionState((0, 3, 1), adding=(3,), removing=(1,))
    world = ensemble(0, topics={"t": {0: moving, 1: PartitionState((2, 1))}})
    assert world.assignment == {"t": {0: (0, 3), 1: (2, 1)}}


MOVING = PartitionState((0, 1, 3), adding=(3,), removing=(1,))


@pytest.mark.parametrize(
    ("state", "requested", "in_flight"),
    [
        (PartitionState((0, 1)), None, False),
        (MOVING, None, True),
        (PartitionState((0, 1)), {"t": {0: (0, 1)}}, True),
        (PartitionState((0, 1)), {}, True),
        (PartitionState((0, 1)), Unknown("not JSON"), True),
    ],
)
def test_an_ensemble_is_in_flight_with_a_move_or_a_request(
    state: PartitionState, requested: object, *, in_flight: bool
) -> None:
    assert ensemble(0, topics={"t": {0: state}}, requested=requested).in_flight is in_flight


def test_what_is_read_anew_is_counted_anew() -> None:
    first = ensemble(0, topics={"t": {0: PartitionState((0, 1))}})
    assert (first.replicas, first.in_flight) == ({0: 1, 1: 1}, False)
    then = replace(first, topics={"t": {0: MOVING}})
    assert (then.replicas, then.in_flight) == ({0: 1, 1: 1, 3: 1}, True)
    again = replace(then, topics=first.topics)
    assert again == first, "what was counted is no part of the value"
    assert again.replicas == first.replicas


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
)
def test_target_and_origin_are_the_two_ends_of_a_move(old: list[int], new: list[int]) -> None:
    both = (*new, *(b for b in old if b not in new))
    added = tuple(b for b in new if b not in old)
    gone = tuple(b for b in old if b not in new)
    state = PartitionState(both, added, gone)
    assert state.target == tuple(new)
    assert set(state.origin) == set(old)
    assert state.in_flight is bool(added or gone)
