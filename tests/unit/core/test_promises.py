"""What every move promises: kept by whatever the planner makes, and every breach is found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import (
    Ensemble,
    Leadership,
    PartitionState,
    RegisteredBroker,
    TopicPartition,
)
from broker_operator.core.planner import PlanRequest, make_plan, next_batch
from broker_operator.core.promises import (
    Breach,
    Standing,
    Verdict,
    breaches_of_batch,
    breaches_of_state,
    changed_topics,
    judge,
    refusal,
)
from tests.unit.planner.cases import requests

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from broker_operator.core.model import Assignment, Replicas

States = dict[str, dict[int, PartitionState]]


def ensemble(
    states: Mapping[str, Mapping[int, PartitionState]], racks: str | dict[int, str | None] = "abab"
) -> Ensemble:
    """Brokers 0, 1, ... in racks named by one letter each, or as a dict says."""
    named = racks if isinstance(racks, dict) else dict(enumerate(racks))
    return Ensemble(
        cluster_id="c",
        brokers={b: RegisteredBroker(b, rack, (f"broker-{b}",)) for b, rack in named.items()},
        controller=None,
        migrating=False,
        topics=states,
        requested=None,
    )


def standing(
    replicas: Replicas | PartitionState,
    *,
    isr: Replicas | None = None,
    racks: str | dict[int, str | None] = "abab",
    minimum: int = 2,
) -> Standing:
    """One partition, orders-0, led by the first of its ISR; by default all are in sync."""
    state = replicas if isinstance(replicas, PartitionState) else PartitionState(replicas)
    insync = state.replicas if isr is None else isr
    seen = ensemble({"orders": {0: state}}, racks)
    return Standing(
        ensemble=seen,
        leadership={"orders": {0: Leadership(next(iter(insync), None), frozenset(insync))}},
        targets=frozenset(seen.brokers),
        min_insync={"orders": minimum},
    )


def path(before: Replicas, after: Replicas) -> StoredPlan:
    return StoredPlan({"orders": {0: before}}, {"orders": {0: after}})


def objections(after: Replicas, now: Standing, plan: StoredPlan | None = None) -> list[str]:
    """Submit orders-0, by a plan from where it is if no other is given."""
    state = now.ensemble.topics["orders"][0]
    found = breaches_of_batch({"orders": {0: after}}, plan or path(state.origin, after), now)
    assert all(str(breach.partition) == "orders-0" for breach in found)
    return [f"{'wait: ' if breach.passing else ''}{breach.what}" for breach in found]


def aftermath(before: Replicas, after: Replicas, now: Standing) -> list[str]:
    """Look at orders-0 after a plan's move."""
    found = breaches_of_state(path(before, after), now)
    assert all(str(breach.partition) == "orders-0" for breach in found)
    return [f"{'wait: ' if breach.passing else ''}{breach.what}" for breach in found]


# ---- before a batch


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((0, 1), (2, 1), id="one replica moves"),
        pytest.param((0, 1), (1, 0), id="the order changes"),
        pytest.param((0, 1), (0, 1, 2), id="one more"),
        pytest.param((0, 1, 2), (0, 1), id="one fewer, by plan"),
        pytest.param((0, 2), (2, 0), id="crowded as before"),
        pytest.param((0, 1, 2), (2, 3, 0), id="two of three in a rack cannot be helped"),
    ],
)
def test_what_is_in_order_may_go(before: Replicas, after: Replicas) -> None:
    assert objections(after, standing(before)) == []


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        pytest.param((0, 1), (1, 1), "a broker twice in [1, 1]", id="twice"),
        pytest.param((0, 1), (1, 1), "1 replica instead of 2", id="so one is missing"),
        pytest.param((0, 1), (), "0 replicas instead of 2", id="none is too few"),
        pytest.param(
            (0, 1), (0, 2), "2 of 2 replicas in rack a, where 1 would do", id="all in a rack",
        ),
        pytest.param(
            (0, 1, 2), (0, 2), "2 of 2 replicas in rack a, where 1 would do",
            id="all in a rack, of a shorter list",
        ),
        pytest.param(
            (0, 1, 2), (0,), "1 replica, while min.insync.replicas is 2",
            id="fewer than must be in sync",
        ),
    ],
)  # fmt: skip
def test_a_plan_that_breaks_a_promise_is_not_carried_out(
    before: Replicas, after: Replicas, what: str
) -> None:
    assert f"as planned, {what}" in objections(after, standing(before))


def test_what_was_not_planned_is_not_submitted() -> None:
    plan = path((0, 1), (2, 1))
    found = objections((0, 3), standing((0, 1)), plan)
    assert found == ["to go to brokers [0, 3], but the plan leads to [2, 1]"]
    found = objections((2, 1), standing((0, 1)), StoredPlan({}, {}))
    assert found == ["to go to brokers [2, 1], but it is not part of the plan"]


def test_a_factor_that_somebody_raised_is_not_taken_back() -> None:
    found = objections((2, 1), standing((0, 1, 3)), path((0, 1), (2, 1)))
    assert found == ["as planned, 2 replicas instead of 3"]
    assert objections((2, 1), standing((0, 1, 3)), path((0, 1, 3), (2, 1))) == [], "it is the plan"


def test_a_topic_that_never_had_enough_replicas_may_move() -> None:
    assert objections((1,), standing((0,), minimum=2)) == []
    assert objections((1, 0), standing((0,), minimum=3)) == []


def test_without_racks_no_spread_is_promised() -> None:
    assert objections((0, 2), standing((0, 1), racks={0: None, 1: None, 2: None})) == []
    assert objections((0, 2), standing((0, 1), racks={0: "a", 1: None, 2: "a"})) == []
    assert objections((0, 2), standing((0, 1), racks="aaa")) == [], "one rack is none"


def test_only_racks_with_brokers_that_may_get_replicas_count() -> None:
    now = replace(standing((0, 1)), targets=frozenset({0, 2}))
    assert objections((0, 2), now) == [], "rack b is being emptied"
    assert objections((0, 2), replace(now, targets=frozenset({2}))) == []


def test_a_broker_that_is_away_may_have_been_in_any_rack() -> None:
    away: dict[int, str | None] = {0: "a", 1: "b", 2: "a"}
    assert objections((0, 2), standing((0, 9), isr=(0,), racks=away, minimum=1)) == []


def test_brokers_that_are_away_are_waited_for() -> None:
    assert objections((0, 9), standing((0, 1))) == [
        "wait: to go to broker 9, which is not registered"
    ]


def test_what_is_unknown_to_a_broker_is_waited_for() -> None:
    now, plan = standing((0, 1)), path((0, 1), (2, 1))
    what = "wait: not known to every broker: made just now, or being deleted"
    assert objections((2, 1), replace(now, leadership={}), plan) == [what]
    assert objections((2, 1), replace(now, min_insync={}), plan) == [what]
    gone = replace(now, ensemble=ensemble({}))
    found = breaches_of_batch({"orders": {0: (2, 1)}}, plan, gone)
    assert [breach.passing for breach in found] == [True]


@pytest.mark.parametrize(
    ("before", "isr", "after", "what"),
    [
        pytest.param(
            (0, 1), (), (2, 1), "no leader until a broker of the ISR is back ()", id="nobody leads"
        ),
        pytest.param(
            (0, 1), (0,), (2, 1),
            "1 of 2 in-sync replicas needed (broker 1 has yet to catch up)",
            id="one that stays lags",
        ),
        pytest.param(
            (0, 9), (0,), (2, 9),
            "1 of 2 in-sync replicas needed (broker 9 is away)",
            id="one that stays is away",
        ),
        pytest.param(
            (0, 1, 9), (0,), (2, 1, 9),
            ("1 of 2 in-sync replicas needed (broker 9 is away; broker 1 has yet to catch up)"),
            id="two of three",
        ),
        pytest.param(
            (8, 9), (8,), (0, 1), "0 of 2 in-sync replicas needed",
            id="the only one in sync has just gone",
        ),
    ],
)  # fmt: skip
def test_what_is_under_min_isr_is_not_moved(
    before: Replicas, isr: Replicas, after: Replicas, what: str
) -> None:
    assert f"wait: {what}" in objections(after, standing(before, isr=isr, racks="abcd"))


def test_replicas_that_go_are_not_waited_for() -> None:
    """A broker that is down for good, or whose disk fails, is what such a move is made for."""
    assert objections((0, 2), standing((0, 9), isr=(0,), racks="abcd")) == []
    assert objections((0, 2), standing((0, 1), isr=(0,), racks="abcd")) == []


def test_enough_in_sync_is_enough() -> None:
    assert objections((0, 1, 3), standing((0, 1, 2), isr=(0, 1), racks="abcd")) == []
    assert objections((1,), standing((0,), minimum=2)) == [], "one replica cannot have two in sync"


def test_a_move_under_way_is_called_off_only_with_enough_of_its_origin_in_sync() -> None:
    flying = PartitionState((2, 1, 0), adding=(2,), removing=(0,))
    plan = path((2, 1), (0, 1))
    racks = "abcd"
    assert objections((0, 1), standing(flying, isr=(0, 1), racks=racks), plan) == []
    assert objections((0, 1), standing(flying, isr=(2, 1), racks=racks), plan) == [
        "wait: 1 of 2 in-sync replicas needed (broker 0 has yet to catch up)"
    ]
    assert objections((0, 1), standing(flying, isr=(2,), racks=racks), plan) == [
        "wait: 0 of 2 in-sync replicas needed (broker 0, 1 has yet to catch up)"
    ]


def test_an_undo_puts_back_even_what_was_crowded() -> None:
    now = standing((0, 1))
    assert objections((0, 2), now) != []
    assert objections((0, 2), replace(now, undo=True)) == []


def test_a_plan_is_refused_for_what_it_would_break_and_not_for_what_can_wait() -> None:
    assert refusal(path((0, 1), (0, 2)), standing((0, 1))) == (
        "orders-0: as planned, 2 of 2 replicas in rack a, where 1 would do; ask for other brokers, "
        "or for more replicas"
    )
    assert refusal(path((0, 1), (2, 1)), standing((0, 1), isr=())) == ""
    assert refusal(path((0, 1), (0, 1)), standing((0, 1))) == ""


# ---- after it


@pytest.mark.parametrize(
    ("before", "after", "now"),
    [
        pytest.param((0, 1), (2, 1), (2, 1), id="arrived"),
        pytest.param((0, 1), (2, 1), (0, 1), id="not begun"),
        pytest.param((0, 1), (2, 1), (1, 0), id="called off, so the order is another"),
        pytest.param((0, 1, 2), (0, 1), (1, 0), id="shorter, by plan"),
        pytest.param((0, 1), (2, 1), (3, 0), id="moved on by somebody else"),
        pytest.param((), (2, 1), (2, 1), id="unknown to the plan's origin"),
    ],
)
def test_what_landed_well_is_in_order(before: Replicas, after: Replicas, now: Replicas) -> None:
    assert aftermath(before, after, standing(now)) == []


def test_what_is_in_flight_or_gone_has_not_landed() -> None:
    flying = PartitionState((2, 1, 0), adding=(2,), removing=(0,))
    assert aftermath((0, 1), (2, 1), standing(flying, isr=(), minimum=3)) == []
    now = standing((2,))
    assert aftermath((0, 1), (2, 1), now) != []
    assert aftermath((0, 1), (2, 1), replace(now, leadership={})) == []
    assert aftermath((0, 1), (2, 1), replace(now, min_insync={})) == []
    assert aftermath((0, 1), (2, 1), replace(now, ensemble=ensemble({}))) == []


@pytest.mark.parametrize(
    ("before", "after", "now", "what"),
    [
        pytest.param((0, 1), (2, 1), (2,), "1 replica instead of 2", id="too few"),
        pytest.param(
            (0, 1), (2, 1), (2, 0), "2 of 2 replicas in rack a, where 1 would do", id="in one rack"
        ),
        pytest.param(
            (0, 1, 2), (0,), (0,), "1 replica, while min.insync.replicas is 2",
            id="the minimum was raised in the meantime",
        ),
    ],
)  # fmt: skip
def test_what_landed_badly_is_found(
    before: Replicas, after: Replicas, now: Replicas, what: str
) -> None:
    assert f"after its move, {what}" in aftermath(before, after, standing(now))


def test_who_fell_out_of_sync_since_is_waited_for() -> None:
    racks = "abcd"
    assert aftermath((0, 1), (2, 1), standing((2, 1), isr=(2,), racks=racks)) == [
        "wait: 1 of 2 in-sync replicas needed (broker 1 has yet to catch up)"
    ]
    assert aftermath((0, 1), (0, 9), standing((0, 9), isr=(0,), racks=racks)) == [
        "wait: 1 of 2 in-sync replicas needed (broker 9 is away)"
    ]
    lost = standing((0, 9), isr=(), racks=racks)
    last = {"orders": {0: Leadership(None, frozenset({9}))}}
    assert aftermath((0, 1), (0, 9), replace(lost, leadership=last)) == [
        "wait: no leader until a broker of the ISR is back (9)"
    ]


# ---- the verdict


def test_nothing_to_object_to_is_no_verdict() -> None:
    assert judge([]) is None


def breach(number: int, what: str, *, passing: bool = False) -> Breach:
    return Breach(TopicPartition("orders", number), what, passing)


def test_a_broken_promise_stops_for_a_person_whatever_else_is_waited_for() -> None:
    found = [breach(n, "1 replica instead of 2") for n in range(5)]
    found += [breach(1, "1 of 2 in-sync replicas needed", passing=True)]
    assert judge(found) == Verdict(
        "PromiseBroken",
        "nothing more is moved: orders-0, orders-1, orders-2 and 2 more: 1 replica instead of 2; "
        "undo the Reassignment (spec.undo: true), or delete it, and a new plan is made from where "
        "everything is now",
        stalled=True,
    )


def test_what_passes_is_waited_for_by_name() -> None:
    found = [breach(n, f"kind {n}", passing=True) for n in range(4)]
    assert judge(found) == Verdict(
        "NotInSync",
        "no further batch before this ends: orders-0: kind 0; orders-1: kind 1; and 2 more kinds",
        stalled=False,
    )


# ---- against the planner


def settled(assignment: Assignment) -> States:
    return {t: {n: PartitionState(r) for n, r in its.items()} for t, its in assignment.items()}


def healthy(request: PlanRequest, states: States, minimum: int) -> Standing:
    """Everything in sync that lives."""
    racks = {b.id: b.rack for b in request.brokers if b.live}
    live = frozenset(racks)
    leadership = {
        t: {
            n: Leadership(next(b for b in s.replicas if b in live), live.intersection(s.replicas))
            for n, s in its.items()
            if s.replicas
        }
        for t, its in states.items()
    }
    return Standing(
        ensemble=ensemble(states, racks),
        leadership=leadership,
        targets=request.targets - request.excluded,
        min_insync=dict.fromkeys(states, minimum),
    )


def lasting(request: PlanRequest, minimum: int) -> int:
    """Return the minimum that nobody's wish for a lower replication factor goes below."""
    return min([minimum, *request.factors.values()])


@settings(max_examples=300, deadline=None)
@given(requests(), st.integers(1, 3), st.integers(1, 9))
def test_no_batch_of_the_planner_ever_breaks_a_promise(
    request_: PlanRequest, minimum: int, entries: int
) -> None:
    """Nor need it wait, from a cluster where whoever lives is in sync."""
    made = make_plan(request_)
    plan = StoredPlan(made.origin, made.target)
    minimum = lasting(request_, minimum)
    live = frozenset(b.id for b in request_.brokers if b.live)
    where: dict[str, dict[int, Replicas]] = {t: dict(its) for t, its in made.origin.items()}
    assert changed_topics(plan) == set(made.changes)
    assert refusal(plan, healthy(request_, settled(where), minimum)) == ""
    while batch := next_batch(
        settled(where), plan.target, live=live, sizes={}, max_moves_per_broker=3,
        max_entries=entries,
    ):  # fmt: skip
        now = healthy(request_, settled(where), minimum)
        assert breaches_of_state(plan, now) == []
        assert breaches_of_batch(batch, plan, now) == []
        for topic, partitions in batch.items():
            where[topic].update(partitions)
    assert breaches_of_state(plan, healthy(request_, settled(where), minimum)) == []


@settings(max_examples=300, deadline=None)
@given(requests(), st.randoms(use_true_random=False))
def test_any_damage_to_a_batch_is_found_and_blamed_on_the_right_partition(
    request_: PlanRequest, rng: random.Random
) -> None:
    made = make_plan(request_)
    plan = StoredPlan(made.origin, made.target)
    batch = {t: dict(its) for t, its in made.changes.items()}
    names = [(t, n) for t, its in batch.items() for n in its]
    if not names:
        return
    topic, number = rng.choice(names)
    whole = batch[topic][number]
    damages: list[Replicas] = [(), whole[:-1], (*whole, whole[0]), (*whole[:-1], 999)]
    damages += [(*whole[1:], whole[0])] if len(whole) > 1 else []
    batch[topic][number] = rng.choice(damages)
    now = healthy(request_, settled(made.origin), lasting(request_, 2))
    found = [each for each in breaches_of_batch(batch, plan, now) if not each.passing]
    assert {each.partition for each in found} == {(topic, number)}
