from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.model import BrokerLogs, PartitionState, TopicPartition, Unknown
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
