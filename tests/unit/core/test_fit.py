"""Whether a stored plan still leads to its end, and what it has moved and will move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.core.facts import StoredPlan
from broker_operator.core.fit import changes, first_lists, misfit, receivers
from broker_operator.core.model import PartitionState, TopicPartition
from tests.unit.core.samples import ensemble

if TYPE_CHECKING:
    from typing import TypeAlias

    from broker_operator.core.model import Assignment, Ensemble, Replicas

    Place: TypeAlias = Replicas | PartitionState
    Lists: TypeAlias = dict[str, dict[int, Place]]

# Broker 3 is emptied: orders-0 is taken off it, orders-1 is left alone.
PLAN = StoredPlan(
    origin={"orders": {0: (0, 3), 1: (1, 2)}}, target={"orders": {0: (0, 1), 1: (1, 2)}}
)
KEPT = frozenset({0, 1, 2})
FLYING = PartitionState((0, 1, 3), adding=(1,), removing=(3,))
LEAVING = PartitionState((1, 2, 3), removing=(3,))
BACK = PartitionState((0, 3, 1), adding=(3,), removing=(1,))


def where(now: Lists) -> Ensemble:
    """Everything lies in these lists, or is on its way."""
    topics = {
        topic: {
            number: state if isinstance(state, PartitionState) else PartitionState(state)
            for number, state in its.items()
        }
        for topic, its in now.items()
    }
    return ensemble(0, 1, 2, 3, topics=topics)


def orders(first: Place = (0, 3), second: Place = (1, 2)) -> Lists:
    """Both partitions, by default where the plan found them."""
    return {"orders": {0: first, 1: second}}


# ---- whether it fits


@pytest.mark.parametrize("started", [False, True], ids=["waits", "started"])
@pytest.mark.parametrize(
    "now",
    [
        pytest.param(orders(), id="where it found everything"),
        pytest.param({**orders(), "new": {0: (0, 2)}}, id="a topic made since, where it may be"),
        pytest.param(orders(second=(2, 0)), id="what it leaves alone was moved, where it may be"),
        pytest.param({"orders": {0: (0, 3)}}, id="what it leaves alone was deleted"),
        pytest.param({**orders(), "new": {0: LEAVING}}, id="a topic made there is on its way off"),
    ],
)
def test_a_plan_fits_whatever_others_do_that_does_not_concern_it(
    now: Lists, *, started: bool
) -> None:
    assert misfit(PLAN, where(now), KEPT, started=started) == ""


@pytest.mark.parametrize(
    ("now", "why"),
    [
        pytest.param(
            orders((0, 1)), "(orders-0) 1 partition is not where the plan found them", id="there"
        ),
        pytest.param(
            orders(FLYING), "(orders-0) 1 partition is not where the plan found them", id="flies"
        ),
        pytest.param(
            orders((3, 0)),
            "(orders-0) 1 partition is not where the plan found them",
            id="in another order",
        ),
        pytest.param({"orders": {1: (1, 2)}}, "(orders-0) 1 partition is deleted since", id="gone"),
        pytest.param({}, "(orders-0) 1 partition is deleted since", id="its topic is gone"),
    ],
)
def test_a_plan_that_waits_is_carried_out_as_it_was_shown_or_not_at_all(
    now: Lists, why: str
) -> None:
    assert misfit(PLAN, where(now), KEPT, started=False) == why
    assert misfit(PLAN, where(now), KEPT, started=True) == "", "a walk leads there from anywhere"


@pytest.mark.parametrize("started", [False, True], ids=["waits", "started"])
@pytest.mark.parametrize(
    ("now", "why"),
    [
        pytest.param(
            {**orders(), "new": {0: (3, 0)}},
            "(new-0) 1 partition is new since, on brokers that shall hold none",
            id="a topic",
        ),
        pytest.param(
            {"orders": {**orders()["orders"], 3: (3, 0), 2: (0, 3)}},
            "(orders-2, orders-3) 2 partitions are new since, on brokers that shall hold none",
            id="partitions",
        ),
        pytest.param(
            orders(second=(1, 3)),
            "(orders-1) 1 partition is moved by others, to brokers that shall hold none",
            id="moved there",
        ),
        pytest.param(
            {**orders((0, 3, 1), (1, 3)), "new": dict.fromkeys(range(12), (3, 0))},
            "(new-0, new-1, new-2 and 9 more) 12 partitions are new since, on brokers that shall "
            "hold none",
            id="of several reasons the first is told, and a few names",
        ),
        pytest.param(
            orders((0, 3, 1)),
            "(orders-0) 1 partition is of another replication factor",
            id="another replication factor of what it moves",
        ),
        pytest.param(
            orders(second=(1,)),
            "(orders-1) 1 partition is of another replication factor",
            id="another replication factor of what it leaves alone",
        ),
    ],
)
def test_a_plan_that_would_leave_a_broker_full_or_break_a_factor_does_not_fit(
    now: Lists, why: str, *, started: bool
) -> None:
    assert misfit(PLAN, where(now), KEPT, started=started) == why


@pytest.mark.parametrize(
    "now",
    [
        pytest.param({**orders(), "new": {0: (3, 0)}}, id="new"),
        pytest.param({**orders(), "other": {0: (3, 0), 1: (3, 1)}}, id="moved by others"),
        pytest.param({**orders(), "other": {0: (0, 1), 1: (0, 1, 2)}}, id="another factor"),
    ],
)
def test_what_becomes_of_other_topics_is_nothing_to_a_plan_for_some(
    now: Lists,
) -> None:
    whole: Assignment = {"other": {0: (0, 1), 1: (0, 1)}}
    plan = StoredPlan({**PLAN.origin, **whole}, {**PLAN.target, **whole})
    only = frozenset({"orders"})
    assert misfit(plan, where(now), KEPT, started=False, topics=only) == ""
    assert misfit(plan, where(now), KEPT, started=False) != ""


def test_what_a_plan_leaves_on_a_broker_that_shall_hold_none_is_not_a_stray() -> None:
    """Only what others do afterwards does not fit."""
    left = StoredPlan(PLAN.origin, PLAN.origin)
    assert misfit(left, where(orders()), KEPT, started=True) == ""
    assert misfit(left, where(orders((3, 0))), KEPT, started=True) == "", "in whatever order"


@pytest.mark.parametrize(
    ("now", "fits"),
    [
        pytest.param((0, 3), True, id="before"),
        pytest.param((0, 1, 2), True, id="after"),
        pytest.param(
            PartitionState((0, 1, 2, 3), adding=(1, 2), removing=(3,)), True, id="between"
        ),
        pytest.param((0,), False, id="neither"),
    ],
)
def test_a_plan_for_another_replication_factor_expects_either(now: Place, *, fits: bool) -> None:
    raised = StoredPlan({"orders": {0: (0, 3)}}, {"orders": {0: (0, 1, 2)}})
    assert (misfit(raised, where({"orders": {0: now}}), KEPT, started=True) == "") == fits


# ---- what it moves


def test_the_changes_of_a_plan_are_the_lists_that_differ() -> None:
    plan = StoredPlan(
        {"a": {0: (0, 1), 1: (1, 2)}}, {"a": {0: (1, 0), 1: (1, 2), 2: (2,)}, "b": {0: (3,)}}
    )
    assert list(changes(plan)) == [
        (TopicPartition("a", 0), (0, 1), (1, 0)),
        (TopicPartition("a", 2), (), (2,)),
        (TopicPartition("b", 0), (), (3,)),
    ]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(orders(), {1}, id="nothing has moved"),
        pytest.param(orders((0, 1)), set(), id="it is there"),
        pytest.param(orders(FLYING), set(), id="it is being taken there"),
        pytest.param(orders(BACK), {1}, id="it is being taken back"),
        pytest.param(orders((2, 3)), {0, 1}, id="somebody has moved it"),
        pytest.param({}, {1}, id="gone, so as it was found"),
    ],
)
def test_receivers_get_something_from_where_it_is_now(now: Lists, expected: set[int]) -> None:
    assert receivers(PLAN, where(now)) == expected


# ---- where everything was before the first plan


def before(now: Replicas, *, plan: StoredPlan = PLAN) -> Replicas:
    """Return where orders-0 counts as having been."""
    return first_lists(plan, {"orders": {0: now}})["orders"][0]


def test_what_the_plan_has_moved_or_will_move_was_where_it_found_it() -> None:
    assert before((0, 3)) == (0, 3)
    assert before((0, 1)) == (0, 3)
    assert before((1, 0)) == (0, 3), "in whatever order: what is called off may lie in another"


def test_what_others_have_moved_was_where_it_is() -> None:
    assert before((0, 2)) == (0, 2)
    assert before((0,)) == (0,)


def test_what_the_plan_leaves_alone_or_does_not_know_was_where_it_is() -> None:
    now: Assignment = {"orders": {0: (0, 1), 1: (2, 1), 2: (3, 2)}, "new": {0: (1, 0)}}
    assert first_lists(PLAN, now) == {**now, "orders": {0: (0, 3), 1: (2, 1), 2: (3, 2)}}


def test_a_later_plan_leads_back_past_its_own_origin() -> None:
    later = StoredPlan(
        {"orders": {0: (0, 3)}}, {"orders": {0: (0, 1)}}, first={"orders": {0: (2, 3)}}
    )
    assert before((0, 1), plan=later) == (2, 3)
    assert before((0, 3), plan=later) == (2, 3)
    assert before((1, 2), plan=later) == (1, 2), "somebody else's move"
