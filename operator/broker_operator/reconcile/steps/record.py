"""What is written into Reassignment objects: their making, their plans, their ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from broker_operator.api.conditions import Condition, merge_conditions
from broker_operator.api.quantity import format_bytes
from broker_operator.api.reassignment import (
    ENDED_ANNOTATION,
    Cause,
    Reassignment,
    State,
    decode_reassignment,
)
from broker_operator.api.spec import Approval
from broker_operator.core import lifecycle
from broker_operator.core.facts import StoredPlan
from broker_operator.core.fit import first_lists
from broker_operator.core.outcome import foretold
from broker_operator.core.render import reassignment as render
from broker_operator.reconcile import pace
from broker_operator.reconcile.outcome import Outcome, Wait
from broker_operator.reconcile.steps import throttle

if TYPE_CHECKING:
    from typing import Any

    from broker_operator.core.model import BrokerId
    from broker_operator.core.planner import Plan
    from broker_operator.core.planner.report import Report
    from broker_operator.reconcile.scope import Scope


PLAN_CHANGED = "PlanChanged"
"""Reason of Approved when what was approved does not fit any more."""


async def create(scope: Scope, cause: Cause, undoes: Reassignment | None = None) -> Reassignment:
    """Make the next Reassignment over the brokers that are desired."""
    cluster, desired = scope.facts.cluster, scope.diagnosis.desired
    number = scope.facts.last_number + 1
    body = render.reassignment(cluster, number, cause, desired, undoes)
    return decode_reassignment(await scope.kube.create(body))


async def store(
    scope: Scope,
    active: Reassignment,
    plan: Plan,
    report: Report,
    changed: str = "",
    *,
    avoids: frozenset[BrokerId] = frozenset(),
) -> Outcome:
    """Write the plan down: ConfigMaps first, so that a recorded hash always has its plan.

    Those of the plan that was recorded before go last: whoever dies earlier has lost nothing, and
    leaves ConfigMaps that go with the Reassignment.

    One that comes after others of the same Reassignment keeps where everything was before the
    first; if the last one, which alone tells, is lost, that is where everything is now.

    Args:
        scope: This pass.
        active: Whose plan it is.
        plan: The plan.
        report: What it does.
        changed: Why the plan that was there before does not fit any more.
        avoids: Brokers that are wanted, and given up: what leaves others does not wait for them.
    """
    former, first = scope.facts.plan, None
    if active.started and isinstance(former, StoredPlan):
        first = first_lists(former, plan.origin)
    whole = StoredPlan(plan.origin, plan.target, None if first == plan.origin else first)
    name = whole.hash
    config_maps = render.plan_config_maps(
        scope.facts.cluster, active, whole, replace(report, hash=name)
    )
    for body in config_maps:
        await scope.kube.apply(body)
    done, done_bytes = _so_far(scope, active)
    message = (
        f"{plan.moves} replica moves of {format_bytes(plan.bytes)} "
        f"(lower bound {plan.lower_bound}), {plan.leader_changes} preferred leader changes"
    )
    verdict = approval(scope, active, name, changed)
    waits = (verdict is not None and not verdict.status) or active.paused
    holders = {b for its in plan.target.values() for replicas in its.values() for b in replicas}
    state, why = State.MOVING, "partitions are moving"
    if waits:
        state = State.PAUSED if active.paused else State.AWAITING_APPROVAL
        why = f"plan {name} waits"
    conditions = lifecycle.conditions(active, state, why, planned=message, approval=verdict)
    stored = {
        "hash": name,
        "begun": not waits,
        "moves": done + plan.moves,
        "lowerBound": done + plan.lower_bound,
        "optimal": plan.optimal,
        "bytes": done_bytes + plan.bytes,
        "leaderChanges": plan.leader_changes,
        **render.plan_figures(report),
        "brokers": sorted(holders),
        **({"avoids": sorted(avoids)} if avoids else {}),
        "configMaps": [body["metadata"]["name"] for body in config_maps],
    }
    await update(
        scope,
        active,
        conditions,
        startedAt=active.started or (None if waits else scope.timestamp()),
        plan=stored,
        outcome=foretold(active.status, stored),
    )
    for old in set(active.config_maps).difference(stored["configMaps"]):
        await scope.kube.delete("ConfigMap", scope.facts.cluster.namespace, old)
    await scope.tell("PlannedReassignment", f"{active.name} ({active.cause}): {message}")
    return Wait("Planned", f"{active.name}: {message}")


async def start(scope: Scope, active: Reassignment) -> Outcome:
    """Write down that the first move of its plan is about to be made."""
    message = f"{active.name} starts with plan {active.plan_hash}"
    verdict = approval(scope, active, active.plan_hash)
    conditions = lifecycle.conditions(
        active, State.MOVING, "partitions are moving", approval=verdict
    )
    plan = {**active.status["plan"], "begun": True}
    started = active.started or scope.timestamp()
    await update(scope, active, conditions, startedAt=started, plan=plan)
    await scope.tell("StartedReassignment", message)
    return Wait("Started", message)


async def finish(scope: Scope, active: Reassignment) -> Outcome:
    """Write down that everything is where the plan wants it."""
    message = f"{active.moves} moves are done"
    now = scope.timestamp()
    await update(
        scope,
        active,
        lifecycle.conditions(active, State.SUCCEEDED, message),
        finishedAt=now,
        blockedBy=None,
        queuePosition=None,
        **pace.ended(scope, active, now),
    )
    await scope.tell("FinishedReassignment", f"{active.name} ({active.cause}): {message}")
    return Wait("Finished", f"{active.name}: {message}")


async def end(
    scope: Scope, old: Reassignment, state: State, why: str, *, warning: bool = False
) -> Outcome:
    """End a Reassignment; its throttle is swept by now, or is swept first."""
    if throttle.pending(scope, old):
        return await throttle.sweep(scope, old)
    now = old.ended or scope.timestamp()
    await update(
        scope,
        old,
        lifecycle.conditions(old, state, why),
        finishedAt=now,
        blockedBy=None,
        queuePosition=None,
        **(pace.ended(scope, old, now) if old.started and not old.finished else {}),
    )
    text = f"{old.name} ({old.cause}): {why}"
    await scope.tell(f"{state}Reassignment", text, warning=warning)
    return Wait(str(state), text)


async def end_again(scope: Scope, old: Reassignment) -> Outcome:
    """Write down anew how one has ended whose status was lost, as far as it is known."""
    why = "it has ended so before its status was lost"
    if old.requested:
        why += f"; to have it done again, make another one without annotation {ENDED_ANNOTATION}"
    await update(scope, old, lifecycle.conditions(old, old.state, why))
    text = f"{old.name} ({old.cause}) has ended, as {old.state}, before its status was lost"
    await scope.tell("StatusLost", text, warning=True)
    return Wait("StatusLost", text)


async def update(
    scope: Scope, reassignment: Reassignment, conditions: tuple[Condition, ...], **changes: Any
) -> None:
    """Write conditions and other parts of a Reassignment's status."""
    generation = reassignment.body["metadata"].get("generation", 1)
    merged = merge_conditions(
        reassignment.status.get("conditions") or [],
        conditions,
        generation=generation,
        now=scope.timestamp(),
    )
    await scope.update(reassignment, observedGeneration=generation, conditions=merged, **changes)


def approved(scope: Scope, active: Reassignment) -> bool:
    """Whether its plan may be carried out."""
    if _needs_none(scope, active):
        return True
    return bool(active.plan_hash) and active.approved_plan == active.plan_hash


def patch(reassignment: Reassignment, **spec: Any) -> str:
    """Return the command with which a person sets fields of a Reassignment's spec."""
    namespace = reassignment.body["metadata"]["namespace"]
    change = json.dumps({"spec": spec}, separators=(",", ":"))
    return f"kubectl patch ra {reassignment.name} -n {namespace} --type merge -p '{change}'"


def _needs_none(scope: Scope, active: Reassignment) -> str:
    """Say why its plan needs no approval; empty if it needs one."""
    if scope.facts.cluster.spec.reassignment.approval is Approval.AUTOMATIC:
        return "the cluster asks for no approval"
    undone = scope.facts.undoing
    if active.cause is Cause.UNDO and undone is not None and undone.undo:
        return f"whoever has set spec.undo of {undone.name} has decided"
    return ""


def approval(
    scope: Scope, active: Reassignment, plan_hash: str = "", changed: str = ""
) -> Condition | None:
    """Return the Approved condition for a plan, None where approval was never asked for.

    Args:
        scope: This pass.
        active: The Reassignment.
        plan_hash: Hash of a new plan; of the stored one if left out.
        changed: Why the former plan does not fit any more.
    """
    new_hash = plan_hash or active.plan_hash
    asked = [c for c in active.status.get("conditions") or () if c["type"] == lifecycle.APPROVED]
    if why := _needs_none(scope, active):
        if not asked:
            return None
        return Condition(lifecycle.APPROVED, status=True, reason="NotRequired", message=why)
    if active.approved_plan == new_hash:
        message = f"plan {new_hash} is approved"
        return Condition(lifecycle.APPROVED, status=True, reason="Approved", message=message)
    voided = [c for c in asked if c["reason"] == PLAN_CHANGED]
    if not plan_hash and voided:
        message = voided[0]["message"]
        return Condition(lifecycle.APPROVED, status=False, reason=PLAN_CHANGED, message=message)
    way = f"to approve plan {new_hash}: {patch(active, approvedPlan=new_hash)}"
    if active.approved_plan and changed:
        message = f"plan {active.approved_plan} was approved, but {changed}; {way}"
        return Condition(lifecycle.APPROVED, status=False, reason=PLAN_CHANGED, message=message)
    return Condition(lifecycle.APPROVED, status=False, reason="ApprovalRequired", message=way)


def _so_far(scope: Scope, active: Reassignment) -> tuple[int, int]:
    """Moves and bytes done under the former plan of this very reassignment."""
    left, known = scope.diagnosis.left, scope.facts.active
    if left is None or known is None or known.uid != active.uid or not active.started:
        return 0, 0
    return max(0, active.moves - left.moves), max(0, active.bytes - left.bytes)
