"""Whose turn it is, what is undone, and what is not done again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.api.conditions import Condition
from broker_operator.api.reassignment import Cause, State
from broker_operator.core.lifecycle import (
    balanced_over,
    conditions,
    held_back,
    last_started,
    overtaken,
    queue,
    too_late,
    undoing,
)
from tests.unit.core.samples import finished, reassignment, request

if TYPE_CHECKING:
    from broker_operator.api.reassignment import Reassignment


def own(number: int = 1, **changes: Any) -> Reassignment:
    """Return one of the operator's; it has not started."""
    return replace(reassignment(number), **changes)


def wish(name: str = "wish", created: str = "", **changes: Any) -> Reassignment:
    """Return one of a user's; it has not started."""
    return replace(request(name), created=created, **changes)


def taking_back(old: Reassignment, number: int = 2, **changes: Any) -> Reassignment:
    """Return the operator's own that leads the moves of another one back."""
    return own(number, cause=Cause.UNDO, undoes=old.name, undoes_uid=old.uid, **changes)


MOVING: dict[str, Any] = {"state": State.MOVING, "started": "10:00"}
DONE: dict[str, Any] = {"state": State.SUCCEEDED, "started": "10:00", "ended": "10:30"}
LATER: dict[str, Any] = {**DONE, "ended": "11:00"}


# ---- whose turn it is


@pytest.mark.parametrize(
    ("reassignments", "names"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([own(1), own(2)], ["demo-2"], id="the newest of its own alone"),
        pytest.param([own(1), own(2, **DONE)], [], id="even if that has ended"),
        pytest.param([wish("a"), own(1)], ["demo-1", "a"], id="its own first"),
        pytest.param([wish("a", **MOVING), own(1)], ["demo-1", "a"], id="even if another moves"),
        pytest.param([wish("a", **DONE), wish("b")], ["b"], id="not what has ended"),
        pytest.param([wish("b", "09"), wish("a", "10")], ["b", "a"], id="the oldest first"),
        pytest.param([wish("b", "09"), wish("a", "09")], ["a", "b"], id="as old, by name"),
        pytest.param(
            [wish("a", "08"), wish("b", "09", **MOVING)], ["b", "a"], id="what has started first"
        ),
    ],
)
def test_the_order_in_which_reassignments_are_served(
    reassignments: list[Reassignment], names: list[str]
) -> None:
    assert [r.name for r in queue(reassignments)] == names


@pytest.mark.parametrize(
    ("reassignments", "name"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([own(1), wish()], None, id="nothing has started"),
        pytest.param([own(1, **DONE), wish(**LATER)], "wish", id="the last to end"),
        pytest.param([own(1, **LATER), own(2, **MOVING)], "demo-2", id="what moves is later"),
        pytest.param([own(1, **DONE), own(2, **DONE)], "demo-2", id="at once, by number"),
        pytest.param(
            [own(1, **DONE), wish(**{**LATER, "state": State.REFUSED})], "demo-1", id="refused"
        ),
    ],
)
def test_the_last_to_have_moved_anything(
    reassignments: list[Reassignment], name: str | None
) -> None:
    found = last_started(reassignments)
    assert (found.name if found else None) == name


# ---- what goes back


@pytest.mark.parametrize(
    ("reassignments", "name"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([own(1, **MOVING)], None, id="nobody has asked for it"),
        pytest.param([own(1, **MOVING, undo=True)], "demo-1", id="what moves"),
        pytest.param([wish(undo=True)], "wish", id="what is next"),
        pytest.param([own(1, **DONE, undo=True)], "demo-1", id="what has moved last"),
        pytest.param(
            [own(1, **DONE, undo=True), wish()], "demo-1", id="although another waits by now"
        ),
        pytest.param(
            [own(1, **DONE, undo=True), wish(**MOVING)], None, id="not beside what moves by now"
        ),
        pytest.param([own(1, **DONE, undo=True), own(2, **LATER)], None, id="not the last"),
        pytest.param(
            [own(1, **{**DONE, "state": State.UNDONE}, undo=True)], None, id="it has gone back"
        ),
        pytest.param(
            [wish(**DONE, undo=True), taking_back(wish())], "wish", id="an undo is under way"
        ),
        pytest.param([taking_back(wish())], None, id="of what was deleted since"),
        pytest.param(
            [wish(**DONE, uid="another", undo=True), taking_back(wish())],
            None,
            id="of a former one of that name",
        ),
        pytest.param(
            [wish(**DONE, undo=True), taking_back(wish(), **MOVING, undo=True)],
            "demo-2",
            id="the undo itself",
        ),
    ],
)
def test_whose_moves_go_back(reassignments: list[Reassignment], name: str | None) -> None:
    found = undoing(reassignments)
    assert (found.name if found else None) == name


NOTHING_TOLD = own(1, state=State.SUCCEEDED, undo=True)


@pytest.mark.parametrize(
    ("late", "others", "why"),
    [
        pytest.param(own(1, **DONE, undo=True), [own(2, **LATER)], "others came after", id="later"),
        pytest.param(
            own(1, **DONE, undo=True), [wish(**MOVING)], "others came after", id="another moves"
        ),
        pytest.param(NOTHING_TOLD, [], "nothing tells what it has moved", id="its status was lost"),
        pytest.param(
            own(1, **{**DONE, "state": State.SUPERSEDED}, undo=True), [],
            "ended half-way, as Superseded: set spec.replicas", id="superseded",
        ),
        pytest.param(
            wish(**{**DONE, "state": State.REFUSED}, undo=True), [],
            "ended half-way, as Refused: set spec.replicas", id="refused on its way",
        ),
    ],
)  # fmt: skip
def test_who_asks_too_late_is_told_why(
    late: Reassignment, others: list[Reassignment], why: str
) -> None:
    assert overtaken([late, *others]) == [late]
    assert undoing([late, *others]) != late
    assert too_late(late).startswith("cannot be undone, for ")
    assert why in too_late(late)


@pytest.mark.parametrize(
    "reassignments",
    [
        pytest.param([own(1, **DONE), own(2, **LATER)], id="nobody asks"),
        pytest.param([own(1, **DONE, undo=True)], id="the last one"),
        pytest.param([own(1, **DONE, undo=True), wish()], id="before one that waits"),
        pytest.param([own(1, **MOVING, undo=True)], id="in time"),
        pytest.param([wish(state=State.REFUSED, undo=True)], id="what has moved nothing"),
        pytest.param([own(1, **{**DONE, "state": State.UNDONE}, undo=True)], id="undone"),
    ],
)
def test_nobody_else_is_too_late(reassignments: list[Reassignment]) -> None:
    assert overtaken(reassignments) == []


# ---- what is not done again


UNWANTED = own(1, **{**DONE, "state": State.UNDONE})
FORMER = frozenset({0, 1, 2, 3})
"""The brokers of before the scale-down that was undone; the spec still asks for 0, 1 and 2."""


@pytest.mark.parametrize(
    "reassignments",
    [
        pytest.param([UNWANTED, wish()], id="undone by itself"),
        pytest.param(
            [own(1, **DONE, undo=True), taking_back(own(1), **DONE, plan_brokers=FORMER)],
            id="its undo led away from the spec",
        ),
        pytest.param(
            [own(1, **DONE, undo=True), taking_back(own(1), **DONE)], id="its undo had no plan"
        ),
        pytest.param([taking_back(own(1), **DONE)], id="what it took back is gone, too"),
    ],
)
def test_what_was_undone_is_not_done_again_while_the_spec_asks_for_the_same(
    reassignments: list[Reassignment],
) -> None:
    newest = next(r for r in reversed(reassignments) if not r.requested)
    assert held_back(reassignments, frozenset({0, 1, 2})) == (
        "demo-1 was undone, so nothing moves by itself; change spec.replicas, or delete "
        f"Reassignment {newest.name} to have it planned anew"
    )
    assert held_back(reassignments, FORMER) == "", "the spec asks for something else by now"


@pytest.mark.parametrize(
    "reassignments",
    [
        pytest.param([], id="nothing"),
        pytest.param([own(1, **DONE)], id="not undone"),
        pytest.param([wish(state=State.UNDONE, brokers=frozenset({0, 1, 2}))], id="a user's own"),
        pytest.param([UNWANTED, own(2, **LATER)], id="done since"),
        pytest.param(
            [own(1, undo=True), taking_back(own(1), **MOVING, plan_brokers=FORMER)],
            id="an undo under way",
        ),
        pytest.param(
            [own(1, **DONE, undo=True), taking_back(own(1), **DONE, plan_brokers=frozenset({0}))],
            id="an undo that led to where the spec asks for",
        ),
        pytest.param(
            [own(1, **DONE), taking_back(own(1), **DONE)],
            id="the spec took it back, and nobody else",
        ),
    ],
)
def test_everything_else_moves_as_the_spec_asks(reassignments: list[Reassignment]) -> None:
    assert held_back(reassignments, frozenset({0, 1, 2})) == ""


@pytest.mark.parametrize(
    ("recorded", "reassignments", "expected"),
    [
        pytest.param(None, [], None, id="nothing tells"),
        pytest.param([0, 1], [], {0, 1}, id="recorded"),
        pytest.param([0, 1], [own(1, **DONE)], {0, 1}, id="what is recorded goes first"),
        pytest.param([], [own(1, **DONE)], {0, 1, 2}, id="the last of its own"),
        pytest.param(None, [own(1, **DONE, plan_avoids=frozenset({2}))], {0, 1}, id="given up"),
        pytest.param(None, [own(1, **DONE), own(2, **MOVING)], None, id="on their way"),
        pytest.param(None, [wish(**DONE)], None, id="a user's does not tell"),
    ],
)
def test_the_brokers_that_were_last_balanced(
    recorded: list[int] | None, reassignments: list[Reassignment], expected: set[int] | None
) -> None:
    assert balanced_over(recorded, reassignments) == expected


# ---- what it says of itself


PLANNED = Condition("Planned", status=True, reason="Planned", message="2 moves")
WAITS = Condition("Approved", status=False, reason="AwaitingApproval", message="approve it")
GIVEN = Condition("Approved", status=True, reason="Approved", message="abc")


def read(*kept: Condition) -> Reassignment:
    """Return one whose status has these conditions beside those of a state."""
    told = [
        {"type": c.type, "status": str(c.status), "reason": c.reason, "message": c.message}
        for c in kept
    ]
    return reassignment(conditions=[*told, *finished("Queued")])


@pytest.mark.parametrize(
    ("state", "progressing", "complete"),
    [
        (State.QUEUED, False, False),
        (State.MOVING, True, False),
        (State.SUCCEEDED, False, True),
        (State.REFUSED, False, False),
    ],
)
def test_the_state_is_the_reason_of_both_conditions(
    state: State, *, progressing: bool, complete: bool
) -> None:
    assert conditions(reassignment(), state, "why") == (
        Condition("Progressing", progressing, state, "why"),
        Condition("Complete", complete, state, "why"),
    )


@pytest.mark.parametrize(
    ("kept", "new", "expected"),
    [
        pytest.param((), {}, [], id="nothing yet"),
        pytest.param((PLANNED, WAITS), {}, [PLANNED, WAITS], id="stays"),
        pytest.param((WAITS, PLANNED), {}, [PLANNED, WAITS], id="in one order"),
        pytest.param(
            (PLANNED, WAITS), {"planned": "3 moves"},
            [replace(PLANNED, message="3 moves"), WAITS], id="a new plan",
        ),
        pytest.param((PLANNED, WAITS), {"approval": GIVEN}, [PLANNED, GIVEN], id="approved"),
        pytest.param(
            (), {"planned": "2 moves", "approval": WAITS}, [PLANNED, WAITS], id="both for the first"
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_the_plan_stays_until_there_is_something_new(
    kept: tuple[Condition, ...], new: dict[str, Any], expected: list[Condition]
) -> None:
    (*found, progressing, complete) = conditions(read(*kept), State.MOVING, "why", **new)
    assert found == expected
    assert (progressing.type, complete.type) == ("Progressing", "Complete")
