"""Which Reassignment's turn it is, and what becomes of the others.

Those that the operator makes follow from the BrokerCluster's spec and go first: a change of
`replicas` must be honoured within seconds. Those of users come one at a time, oldest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.api.conditions import Condition
from broker_operator.api.reassignment import Cause, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.api.reassignment import Reassignment

PLANNED, APPROVED, PROGRESSING, COMPLETE = "Planned", "Approved", "Progressing", "Complete"
_ENDED_HALF_WAY = frozenset({State.SUPERSEDED, State.REFUSED})


def queue(reassignments: Sequence[Reassignment]) -> tuple[Reassignment, ...]:
    """Return what is not finished, in the order in which it is served.

    Of the operator's own only the newest leads anywhere. It stands before the requests of users,
    of which the one that has started stands before those that wait.
    """
    own = [r for r in reassignments if not r.requested]
    requests = [r for r in reassignments if r.requested and not r.finished]
    requests.sort(key=lambda r: (not r.started, r.created, r.name))
    return (*(r for r in own[-1:] if not r.finished), *requests)


def last_started(reassignments: Sequence[Reassignment]) -> Reassignment | None:
    """Return the one that has moved, or moves, partitions last; only that can be undone.

    Its end tells which of two it is: they run one after the other.
    """
    started = [r for r in reassignments if r.started and r.state is not State.REFUSED]
    return max(started, key=lambda r: (not r.finished, r.ended, r.number), default=None)


def undoing(reassignments: Sequence[Reassignment]) -> Reassignment | None:
    """Return the reassignment whose moves go back, or shall go back.

    While a Reassignment of cause Undo is under way that is the one that it names. Else it is the
    one whose turn it is, or the last one that has succeeded, if its user has set `undo`.
    """
    waiting = queue(reassignments)
    active = waiting[0] if waiting else None
    if active is not None and active.cause is Cause.UNDO and not active.undo:
        return next(filter(active.takes_back, reassignments), None)
    if active is not None and active.undo:
        return active
    last = last_started(reassignments)
    if last is not None and last.undo and last.state is State.SUCCEEDED:
        return last
    return None


def overtaken(reassignments: Sequence[Reassignment]) -> list[Reassignment]:
    """Return those whose users want them undone too late; `too_late` says why."""
    last = last_started(reassignments)
    return [
        r
        for r in reassignments
        if r.undo
        and ((r.succeeded and r is not last) or (r.started and r.state in _ENDED_HALF_WAY))
    ]


def too_late(reassignment: Reassignment) -> str:
    """Say why one that has ended cannot be undone any more, and what does instead."""
    if reassignment.succeeded and not reassignment.started:
        return "cannot be undone, for nothing tells what it has moved, if anything"
    if reassignment.succeeded:
        return "cannot be undone, for others came after it: undo the last one first"
    return (
        f"cannot be undone, for it has ended half-way, as {reassignment.state}: set spec.replicas "
        "of the BrokerCluster instead, or create another Reassignment"
    )


def held_back(reassignments: Sequence[Reassignment], desired: frozenset[int]) -> str:
    """Say why nothing moves by itself although the spec asks for it; empty if nothing forbids it.

    Whoever undoes what the spec has caused must not see it done again a moment later. It holds for
    as long as the spec wants these brokers.
    """
    own = [r for r in reassignments if not r.requested]
    newest = own[-1] if own else None
    if newest is None or newest.brokers != desired:
        return ""
    undone = newest.state is State.UNDONE
    went_back = newest.cause is Cause.UNDO and newest.succeeded
    if undone or (went_back and _against_the_spec(newest, reassignments, desired)):
        name = newest.name if undone else newest.undoes
        return (
            f"{name} was undone, so nothing moves by itself; change spec.replicas, or delete "
            f"Reassignment {newest.name} to have it planned anew"
        )
    return ""


def _against_the_spec(
    undo: Reassignment, reassignments: Sequence[Reassignment], desired: frozenset[int]
) -> bool:
    """Whether an undo led away from what the spec asks for."""
    if undo.plan_brokers:
        return not desired.issuperset(undo.plan_brokers)
    # It had no plan, or its status was lost: only a person's word leads there.
    return all(r.undo for r in reassignments if undo.takes_back(r))


def balanced_over(
    recorded: Sequence[int] | None, reassignments: Sequence[Reassignment]
) -> frozenset[int] | None:
    """Return the brokers over which the replicas were last known to be balanced, None if unknown.

    Not those that a plan had to avoid: they get their share once they are back.

    Args:
        recorded: What the cluster's status says. It goes before what a Reassignment of the
            operator says: brokers may have left since without one, for they held nothing.
        reassignments: All of the cluster's.
    """
    if recorded:
        return frozenset(recorded)
    own = [r for r in reassignments if not r.requested]
    return own[-1].brokers - own[-1].plan_avoids if own and own[-1].succeeded else None


def conditions(
    reassignment: Reassignment,
    state: State,
    message: str,
    *,
    planned: str = "",
    approval: Condition | None = None,
) -> tuple[Condition, ...]:
    """Return the conditions of a Reassignment in this state.

    Args:
        reassignment: As it was read: what it says of its plan stays, unless there is a new one.
        state: Where it is now.
        message: Why, with numbers.
        planned: What a new plan does.
        approval: Whether its plan is approved, where that is required.
    """
    kept = [
        Condition(c["type"], c["status"] == "True", c["reason"], c["message"])
        for c in reassignment.status.get("conditions") or ()
    ]
    if planned:
        plan = [Condition(PLANNED, status=True, reason=PLANNED, message=planned)]
    else:
        plan = [c for c in kept if c.type == PLANNED]
    approved = [approval] if approval else [c for c in kept if c.type == APPROVED]
    return (
        *plan,
        *approved,
        Condition(PROGRESSING, status=state is State.MOVING, reason=state, message=message),
        Condition(COMPLETE, status=state is State.SUCCEEDED, reason=state, message=message),
    )
