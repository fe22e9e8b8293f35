from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.cli import live
from broker_operator.cli.cluster import cluster_of
from broker_operator.core.model import Broker, BrokerLogs, PartitionState, Unknown

if TYPE_CHECKING:
    from broker_operator.cli.live import States


def test_half_moved_partitions_are_held_where_they_come_from() -> None:
    topics: States = {
        "t": {0: PartitionState((1, 2)), 1: PartitionState((3, 2, 1), (3,), (1,))},
        "u": {0: PartitionState((2, 9))},
    }
    found = cluster_of(topics, {1: "a", 2: None, 3: "b"}, {"t": {0: 5}}, ("note",))
    assert found.assignment == {"t": {0: (1, 2), 1: (3, 2)}, "u": {0: (2, 9)}}
    assert found.held == {"t": {1: (2, 1)}}
    assert found.brokers == (
        Broker(1, "a"),
        Broker(2, None),
        Broker(3, "b"),
        Broker(9, None, live=False),
    )
    assert found.sizes == {"t": {0: 5}}
    assert found.notes == ("note",)


def test_what_is_asked_and_not_begun_counts_as_half_way() -> None:
    begun = PartitionState((3, 2, 1), (3,), (1,))
    topics: States = {"t": {0: PartitionState((1, 2)), 1: begun, 2: PartitionState((1, 2))}}
    live._begin(topics, {"t": {0: (3, 1), 1: (4, 2), 2: (1, 2), 7: (1,)}, "gone": {0: (1,)}})
    assert topics == {
        "t": {
            0: PartitionState((3, 1, 2), (3,), (2,)),
            1: begun,
            2: PartitionState((1, 2)),
        }
    }
    assert topics["t"][0].target == (3, 1)


def test_the_largest_replica_counts_and_what_is_missing_is_said() -> None:
    sizes, notes = live._largest(
        {
            2: BrokerLogs({"t": {0: 7}}),
            1: BrokerLogs({"t": {0: 5, 1: 3}}, failed=True),
            3: Unknown("broker 3 does not answer: x"),
        }
    )
    assert sizes == {"t": {0: 7, 1: 3}}
    assert notes == (
        "sizes: a log dir of broker 1 has failed",
        "sizes: broker 3 does not answer: x",
    )


def test_an_adapter_that_is_about_to_write_is_stopped() -> None:
    with pytest.raises(AssertionError, match="only reads was about to write: create /admin"):
        live._never("create /admin/reassign_partitions")
