"""What speaks for a broker that is to go, and what it costs to ask."""

from __future__ import annotations

from collections import UserDict
from typing import TYPE_CHECKING

from broker_operator.core.model import PartitionState
from broker_operator.reconcile.proof import has_strays
from tests.unit.core.samples import ensemble, kafka

if TYPE_CHECKING:
    from collections.abc import ItemsView


class Walked(UserDict[str, dict[int, PartitionState]]):
    """Topics that count how often somebody goes through all of them."""

    walks = 0

    def items(self) -> ItemsView[str, dict[int, PartitionState]]:
        self.walks += 1
        return super().items()


def test_partitions_are_counted_once_however_many_brokers_leave() -> None:
    topics = Walked(t={n: PartitionState((0, 1)) for n in range(5)})
    seen = ensemble(*range(12), topics=topics)
    for broker in range(12):
        assert not has_strays(broker, seen, kafka(logs={}))
    assert topics.walks == 2, "once for the replicas, once for what is in flight"
    for broker in range(12):
        assert not has_strays(broker, ensemble(*range(12), topics=topics), kafka(logs={}))
    assert topics.walks == 2 + 12 + 10, "another reading is judged by itself"
