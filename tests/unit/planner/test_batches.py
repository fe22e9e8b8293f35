"""Walk from origin to target in batches, whatever happens on the way."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from broker_operator.core.model import PartitionState, TopicPartition
from broker_operator.core.planner import PlanRequest, Remaining, make_plan, next_batch, remaining
from tests.unit.planner.cases import brokers, requests, ring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import Assignment, Replicas

EVERYBODY = frozenset(range(200))

States = dict[str, dict[int, PartitionState]]


def settled(assignment: Assignment) -> States:
    """Return the live state of an assignment with nothing in flight."""
    return {t: {n: PartitionState(r) for n, r in its.items()} for t, its in assignment.items()}


def started(states: States, batch: Assignment) -> States:
    """Return the live state right after the controller has accepted a batch."""
    after = {topic: dict(partitions) for topic, partitions in states.items()}
    for topic, partitions in batch.items():
        for number, replicas in partitions.items():
            before = states[topic][number].replicas
            removing = tuple(b for b in before if b not in replicas)
            adding = tuple(b for b in replicas if b not in before)
            after[topic][number] = PartitionState(replicas + removing, adding, removing)
    return after


def finished(states: States) -> States:
    return settled({t: {n: s.target for n, s in its.items()} for t, its in states.items()})


def take(
    states: States, target: Assignment, *, limit: int = 1, entries: int = 200,
    live: frozenset[int] = EVERYBODY, sizes: Mapping[str, Mapping[int, int]] | None = None,
) -> dict[str, dict[int, Replicas]]:  # fmt: skip
    return next_batch(
        states,
        target,
        live=live,
        sizes=sizes or {},
        max_moves_per_broker=limit,
        max_entries=entries,
    )


def traffic(states: States) -> tuple[Counter[int], Counter[int]]:
    flying = [s for its in states.values() for s in its.values() if s.in_flight]
    into = Counter(b for state in flying for b in state.adding)
    return into, Counter(b for state in flying for b in state.removing)


@settings(max_examples=100)
@given(requests(), st.integers(1, 5), st.integers(1, 9))
def test_batches_walk_to_the_target_and_every_step_is_valid(
    request_: PlanRequest, limit: int, entries: int
) -> None:
    plan = make_plan(request_)
    live = frozenset(b.id for b in request_.brokers if b.live)
    states = settled(plan.origin)
    left = remaining(states, plan.target)
    assert left.moves == plan.moves
    while batch := take(states, plan.target, limit=limit, entries=entries, live=live):
        assert sum(map(len, batch.values())) <= entries
        under_way = started(states, batch)
        for flow in traffic(under_way):
            assert max(flow.values(), default=0) <= limit
        assert remaining(under_way, plan.target).moves == left.moves
        states = finished(under_way)
        now = remaining(states, plan.target)
        assert len(now.partitions) < len(left.partitions)
        assert now.moves <= left.moves
        left = now
        for topic, partitions in states.items():
            for number, state in partitions.items():
                assert state.replicas in (plan.origin[topic][number], plan.target[topic][number])
    assert left.done
    assert left == Remaining(0, 0, ())
    assert {t: {n: s.replicas for n, s in p.items()} for t, p in states.items()} == plan.target


def test_what_is_in_flight_counts_against_the_limit() -> None:
    states = settled({"orders": dict.fromkeys(range(4), (0,))})
    target = {"orders": dict.fromkeys(range(4), (1,))}
    first = take(states, target, limit=2)
    assert first == {"orders": {0: (1,), 1: (1,)}}
    under_way = started(states, first)
    assert take(under_way, target, limit=2) == {}
    assert take(under_way, target, limit=3) == {"orders": {2: (1,)}}


def test_who_waits_for_a_busy_broker_holds_up_nobody_else() -> None:
    under_way = PartitionState((2, 1), adding=(2,), removing=(1,))
    states = {"orders": {0: under_way, 1: PartitionState((0,)), 2: PartitionState((4,))}}
    target = {"orders": {0: (2,), 1: (2,), 2: (5,)}}
    sizes = {"orders": {0: 1, 1: 100, 2: 1}}
    assert take(states, target, limit=1, sizes=sizes) == {"orders": {2: (5,)}}


def test_a_replica_on_its_way_out_counts_too_and_copies_nothing() -> None:
    leaving = PartitionState((1, 0), removing=(0,))
    states = {"orders": {0: leaving, 1: PartitionState((0,)), 2: PartitionState((2,))}}
    target = {"orders": {0: (1,), 1: (3,), 2: (3,)}}
    assert take(states, target, limit=1) == {"orders": {2: (3,)}}


def test_a_move_stuck_on_a_dead_broker_blocks_no_other() -> None:
    stuck = PartitionState(replicas=(1, 9, 0), adding=(1, 9), removing=(0,))
    states = {"orders": {0: stuck, 1: PartitionState((0,))}}
    target = {"orders": {0: (1, 9), 1: (1,)}}
    assert take(states, target, live=frozenset({0, 1})) == {"orders": {1: (1,)}}


def test_what_cannot_or_need_not_be_moved_is_left_out() -> None:
    states = {
        "orders": {
            0: PartitionState((0,)),
            1: PartitionState((1, 0), adding=(1,), removing=(0,)),
            2: PartitionState((0,)),
            3: PartitionState((0,)),
        },
        "unplanned": {0: PartitionState((0,))},
    }
    target = {"orders": {0: (5,), 1: (1,), 2: (0,), 3: (2,), 4: (1,)}, "deleted": {0: (1,)}}
    assert take(states, target, limit=9, live=frozenset({0, 1, 2})) == {"orders": {3: (2,)}}


def test_reordered_lists_cost_no_move_and_fill_what_room_is_left() -> None:
    states = settled({"orders": {0: (0, 1), 1: (0, 1), 2: (0, 1), 3: (0, 1)}})
    target = {"orders": {0: (1, 0), 1: (2, 1), 2: (1, 0), 3: (1, 0)}}
    assert take(states, target) == target
    assert take(states, target, entries=2) == {"orders": {0: (1, 0), 1: (2, 1)}}


def test_the_largest_go_first() -> None:
    states = settled({"orders": {0: (0,), 1: (0,), 2: (0,), 3: (1,), 4: (2,)}})
    target = {"orders": dict.fromkeys(range(5), (3,))}
    sizes = {"orders": {0: 10, 1: 30, 2: 20, 3: 1, 4: 2}}
    batch = take(states, target, limit=4, sizes=sizes)
    assert batch == {"orders": dict.fromkeys((0, 1, 2, 4), (3,))}


def test_a_limit_below_one_still_lets_something_go() -> None:
    states = settled({"orders": {0: (0,), 1: (0,)}})
    assert take(states, {"orders": {0: (1,), 1: (1,)}}, limit=0) == {"orders": {0: (1,)}}


def test_batches_do_not_depend_on_the_order_of_dicts() -> None:
    request = PlanRequest(ring(20, 3, 3, topics=3), brokers(range(4)), frozenset(range(4)))
    plan = make_plan(request)
    states = settled(plan.origin)
    backwards = {t: dict(sorted(p.items(), reverse=True)) for t, p in reversed(states.items())}
    target = {
        t: dict(sorted(p.items(), reverse=True)) for t, p in sorted(plan.target.items())[::-1]
    }
    assert repr(take(backwards, target, limit=5)) == repr(take(states, plan.target, limit=5))


def test_remaining_counts_replicas_until_they_are_full_members() -> None:
    states = {
        "orders": {
            0: PartitionState((1, 2, 0), adding=(1, 2), removing=(0,)),
            1: PartitionState((0,)),
            2: PartitionState((1, 0)),
            3: PartitionState((1,)),
        }
    }
    target: Assignment = {
        "orders": {0: (1, 2), 1: (1,), 2: (0, 1), 3: (1,), 4: (1,)},
        "deleted": {0: (1,)},
    }
    sizes = {"orders": {0: 10, 1: 5}}
    left = remaining(states, target, sizes)
    assert (left.moves, left.bytes, left.done) == (3, 25, False)
    assert left.partitions == tuple(TopicPartition("orders", n) for n in range(3))
    assert remaining(states, target).bytes == 0
