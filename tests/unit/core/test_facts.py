"""What a pass has seen, and what a stored plan says of itself."""

from __future__ import annotations

from dataclasses import replace

from broker_operator.core.facts import StoredPlan
from tests.unit.core.samples import facts, finished, reassignment, request

WAS = {"a": {0: (0, 1), 1: (1, 2)}, "b": {0: (2, 0)}}


def test_a_plan_s_ends_are_all_that_it_may_move() -> None:
    plan = StoredPlan(WAS, {"a": {0: (0, 1), 1: (3, 2)}, "b": {0: (0, 2)}})
    assert plan.ends == {"a": {1: (3, 2)}, "b": {0: (0, 2)}}, "another order is another list"
    assert plan.starts == {"a": {1: (1, 2)}, "b": {0: (2, 0)}}
    assert StoredPlan(WAS, WAS).ends == {}, "a topic of which nothing moves is left out"


def test_a_later_plan_leads_back_to_where_everything_was_before_the_first() -> None:
    """Earlier ones have moved a-0 and a-1; this one takes a-1 back, and moves b-0."""
    first = {**WAS, "c": {0: (0, 1)}}
    now = {**first, "a": {0: (3, 1), 1: (3, 2)}}
    later = StoredPlan(now, {**now, "a": {0: (3, 1), 1: (1, 2)}, "b": {0: (3, 0)}}, first)
    assert later.ends == {"a": {1: (1, 2)}, "b": {0: (3, 0)}}
    assert later.starts == WAS, "all but c, which none of them moves"


def test_what_was_made_after_the_first_plan_has_no_way_back() -> None:
    later = StoredPlan({"new": {0: (3,)}}, {"new": {0: (0,)}}, first=WAS)
    assert "new" not in later.starts


def test_the_operator_s_own_and_those_of_users_are_told_apart() -> None:
    old, newest = reassignment(1, conditions=finished("Superseded")), reassignment(2)
    wish = request()
    seen = facts(reassignments=(old, newest, wish))
    assert seen.own == (old, newest)
    assert seen.queue == (newest, wish)
    assert seen.active == newest


def test_what_goes_back_is_known_by_its_user_s_word() -> None:
    assert facts().undoing is None
    assert facts(reassignments=(reassignment(),)).undoing is None
    unwanted = replace(reassignment(), undo=True)
    assert facts(reassignments=(unwanted,)).undoing == unwanted


def test_before_a_cluster_id_is_recorded_it_is_empty() -> None:
    assert facts().recorded_cluster_id == ""
    assert facts(status={"clusterId": None}).recorded_cluster_id == ""
    assert facts(status={"clusterId": "first"}).recorded_cluster_id == "first"
