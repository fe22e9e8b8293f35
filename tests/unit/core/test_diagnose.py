from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.api.reassignment import Reassignment, decode_reassignment
from broker_operator.core.diagnose import diagnose, largest_sizes
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import (
    BrokerLogs,
    BrokerSet,
    KafkaView,
    Leadership,
    PartitionState,
    SpoiltTopic,
    TopicPartition,
    Unknown,
)
from broker_operator.core.text import name_some
from tests.unit.core.samples import MIB, cluster, ensemble, facts, kafka, reassignment

ORDERS_0, ORDERS_1 = TopicPartition("orders", 0), TopicPartition("orders", 1)
DOWN = Unknown("ZooKeeper is not connected")


def moving(**partitions: PartitionState) -> dict[str, dict[int, PartitionState]]:
    return {"orders": {int(name[1:]): state for name, state in partitions.items()}}


def test_a_cluster_at_rest_has_nothing_to_say() -> None:
    found = diagnose(facts())
    assert found.desired == found.existing == found.registered == frozenset({0, 1, 2})
    assert found.replicas == {0: 1, 1: 2, 2: 1}
    assert found.ours == found.foreign == found.offline == found.lagging == ()
    assert found.left is None
    assert not found.leaving | found.missing | found.occupied


def test_what_is_unknown_stays_unknown() -> None:
    found = diagnose(facts(ensemble=DOWN, kafka=DOWN))
    assert found.registered is None
    assert found.replicas is None
    assert found.offline is None
    assert found.lagging is None
    assert found.missing == found.desired
    assert found.occupied == frozenset()
    assert diagnose(facts(kafka=DOWN)).offline is None


@pytest.mark.parametrize(
    ("seen", "present", "missing"),
    [
        (ensemble(0, 1, 2), 3, set()),
        (ensemble(0, 2, 7), 2, {1}),
        (ensemble(), 0, {0, 1, 2}),
        (DOWN, 0, {0, 1, 2}),
    ],
    ids=["all", "one is away, and somebody else is there", "nobody", "unknown"],
)
def test_who_is_registered_and_not_asked_for_stands_in_for_nobody(
    seen: Any, present: int, missing: set[int]
) -> None:
    found = diagnose(facts(ensemble=seen))
    assert found.present == present
    assert found.missing == missing


@pytest.mark.parametrize(
    ("replicas", "exist", "held_by", "leaving", "occupied", "kept"),
    [
        (3, 3, (0, 1), set(), set(), 3),
        (3, 4, (0, 1), {3}, set(), 4),
        (3, 4, (0, 3), {3}, {3}, 4),
        (3, 3, (0, 4), {4}, {4}, 5),  # its StatefulSet was made anew, its data is still there
        (3, 3, (0, 9), {9}, {9}, 3),  # it has no volume: somebody's mistake
        (4, 3, (0, 1), set(), set(), 4),
        (2, 4, (0, 2), {2, 3}, {2}, 4),
        (3, 3, (0, 777), set(), set(), 3),  # nobody's
    ],
)
def test_a_stateful_set_keeps_whoever_exists_or_holds_something(
    *,
    replicas: int,
    exist: int,
    held_by: tuple[int, ...],
    leaving: set[int],
    occupied: set[int],
    kept: int,
) -> None:
    found = diagnose(
        facts(
            cluster=cluster(replicas),
            broker_sets=(BrokerSet("demo-broker", None, 0, exist),),
            ensemble=ensemble(0, 1, 2, topics=moving(_0=PartitionState(held_by))),
            claims=dict.fromkeys(f"data-demo-broker-{b}" for b in range(5)),
        )
    )
    assert found.leaving == leaving
    assert found.occupied == occupied
    assert [found.kept(slot) for slot in found.slots] == [kept]


def test_every_list_that_names_a_broker_counts_as_a_replica() -> None:
    state = PartitionState((0, 1, 3), adding=(3,), removing=(1,))
    world = ensemble(0, topics=moving(_0=state), requested={"orders": {1: (2, 0)}})
    assert world.replicas == {0: 2, 1: 1, 2: 1, 3: 1}
    unreadable = ensemble(0, topics=moving(_0=state), requested=Unknown("not JSON"))
    assert unreadable.replicas == {0: 1, 1: 1, 3: 1}


PLAN = StoredPlan(origin={"orders": {0: (0, 1)}}, target={"orders": {0: (0, 3)}})
TO_3 = PartitionState((0, 3, 1), adding=(3,), removing=(1,))
TO_2 = PartitionState((0, 2, 1), adding=(2,), removing=(1,))
RESTING = PartitionState((0, 1))


@pytest.mark.parametrize(
    ("plan", "state", "requested", "ours", "foreign"),
    [
        (PLAN, TO_3, None, (ORDERS_0,), ()),
        (PLAN, TO_3, {"orders": {0: (0, 3)}}, (ORDERS_0,), ()),
        (PLAN, TO_2, None, (), (ORDERS_0,)),
        (None, TO_3, None, (), (ORDERS_0,)),
        (Unknown("gone"), TO_3, None, (), (ORDERS_0,)),
        (PLAN, RESTING, {"orders": {0: (3, 0)}}, (ORDERS_0,), ()),
        (PLAN, RESTING, {"orders": {1: (3, 0)}}, (), (ORDERS_1,)),
        (PLAN, RESTING, Unknown("not JSON"), (), ()),
        (PLAN, RESTING, None, (), ()),
    ],
)
def test_what_is_in_flight_is_ours_only_if_the_plan_wants_it_there(
    plan: Any, state: PartitionState, requested: Any, ours: object, foreign: object
) -> None:
    world = ensemble(0, 1, 2, 3, topics=moving(_0=state), requested=requested)
    found = diagnose(facts(reassignments=(reassignment(),), plan=plan, ensemble=world))
    assert found.ours == ours
    assert found.foreign == foreign


@pytest.mark.parametrize(
    ("recorded", "cluster_id", "known"),
    [
        ("kafka-id", "kafka-id", True),
        (None, "kafka-id", True),
        (None, None, True),
        ("kafka-id", "another", False),
        ("kafka-id", None, False),
    ],
)
def test_what_is_left_cannot_be_told_from_another_cluster(
    recorded: str | None, cluster_id: str | None, *, known: bool
) -> None:
    """A ZooKeeper that came back empty has no topic of the plan: all would count as done."""
    status = {"clusterId": recorded} if recorded else {}
    found = diagnose(
        facts(status=status, plan=PLAN, ensemble=ensemble(0, 1, 2, cluster_id=cluster_id))
    )
    assert (found.left is not None) == known


def asked(**spec: Any) -> Reassignment:
    """Return what a user asks for, taken in."""
    body = reassignment().body
    return decode_reassignment({**body, "spec": {"cluster": "demo", **spec}})


def health(
    leader: int | None, *isr: int, state: PartitionState = RESTING, **spec: Any
) -> tuple[Any, Any]:
    found = diagnose(
        facts(
            reassignments=(asked(**spec),) if spec else (),
            ensemble=ensemble(0, 1, 3, topics=moving(_0=state, _9=PartitionState((0,)))),
            kafka=kafka(leadership={"orders": {0: Leadership(leader, frozenset(isr))}}),
        )
    )
    return found.offline, found.lagging


def test_a_partition_without_leader_is_offline() -> None:
    assert health(None, 0, 1) == ((ORDERS_0,), ())


def test_a_live_desired_replica_out_of_sync_lags() -> None:
    assert health(0, 0) == ((), (ORDERS_0,))
    assert health(0, 0, 1) == ((), ())


@pytest.mark.parametrize(
    "state",
    [PartitionState((0, 2)), PartitionState((0, 3)), PartitionState((0, 1), adding=(1,))],
    ids=["on a dead broker", "on a leaving broker", "in flight"],
)
def test_nobody_waits_for_a_replica_that_cannot_or_need_not_catch_up(state: PartitionState) -> None:
    assert health(0, 0, state=state) == ((), ())


@pytest.mark.parametrize(
    ("spec", "lags"),
    [
        ({"evacuate": [1]}, False),
        ({"replace": {"broker": 1, "by": 2}}, False),
        ({"evacuate": [0]}, True),
        ({"replace": {"broker": 2, "by": 1}}, True),
        ({"topics": ["orders"]}, True),
    ],
)
def test_nobody_waits_for_a_broker_that_is_being_emptied(
    spec: dict[str, Any], *, lags: bool
) -> None:
    """That it does not keep up may be why its user wants it empty."""
    assert health(0, 0, **spec) == ((), (ORDERS_0,) if lags else ())


def test_what_is_left_is_counted_against_the_plan() -> None:
    moved = diagnose(facts(reassignments=(reassignment(),), plan=PLAN))
    assert moved.left is not None
    assert (moved.left.moves, moved.left.bytes) == (1, 5 * MIB)
    blind = diagnose(facts(reassignments=(reassignment(),), plan=PLAN, kafka=DOWN))
    assert blind.left is not None
    assert (blind.left.moves, blind.left.bytes) == (1, 0)


def test_the_largest_replica_tells_the_size_and_the_silent_are_left_out() -> None:
    view = KafkaView(
        leadership={},
        logs={0: BrokerLogs({"t": {0: 5}}), 1: BrokerLogs({"t": {0: 9, 1: 1}}), 2: Unknown("no")},
    )
    assert largest_sizes(view) == {"t": {0: 9, 1: 1}}


@given(st.lists(st.integers()))
def test_three_are_named_and_the_rest_is_counted(items: list[int]) -> None:
    text = name_some(items)
    assert text.startswith(", ".join(map(str, items[:3])))
    assert (f" and {len(items) - 3} more" in text) is (len(items) > 3)


def test_what_an_unreadable_topic_holds_is_unknown_not_nothing() -> None:
    plan = StoredPlan(origin={"orders": {0: (0, 1)}}, target={"orders": {0: (2, 1)}})
    seen = kafka(leadership={"bad": {0: Leadership(None, frozenset({1}))}})
    spoilt = {"bad": SpoiltTopic("it is no JSON")}
    found = diagnose(
        facts(
            plan=plan,
            kafka=seen,
            ensemble=ensemble(0, 1, 2, unreadable=spoilt),
        )
    )
    assert found.replicas is None
    assert found.left is None
    assert found.offline == (TopicPartition("bad", 0),)


def test_a_partition_that_is_to_lose_all_its_replicas_is_nobodys_plan() -> None:
    emptied = moving(_0=PartitionState((0, 1), (), (0, 1)))
    plan = StoredPlan(origin={}, target={})
    found = diagnose(facts(plan=plan, ensemble=ensemble(0, 1, 2, topics=emptied)))
    assert (found.ours, found.foreign) == ((), (ORDERS_0,))
