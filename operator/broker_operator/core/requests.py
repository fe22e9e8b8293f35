"""What users ask for in Reassignments of their own."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from broker_operator.core.planner import make_plan
from broker_operator.core.planner.fixed import plan_replacement, plan_to
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker_operator.api.reassignment import Reassignment
    from broker_operator.core.model import BrokerId, Ensemble
    from broker_operator.core.planner import Plan, PlanRequest


def objection(request: Reassignment, ensemble: Ensemble, desired: frozenset[BrokerId]) -> str:
    """Say what is wrong with a request whatever the plan for it would be; empty if nothing is."""
    named = {"evacuate": request.evacuate, "replace": frozenset(request.replace or ())}
    for key, brokers in named.items():
        if unknown := sorted(brokers - desired):
            return (
                f"spec.{key} names broker {name_some(unknown)}, which is none of this cluster's: "
                f"it has {name_some(sorted(desired))}; make another Reassignment that names these"
            )
    if request.evacuate >= desired:
        return f"spec.evacuate names all {len(desired)} brokers; leave at least one for the data"
    if unmatched := [t for t in request.topics if not matching((t,), ensemble.topics)]:
        return (
            f"spec.topics: {name_some(unmatched)} matches none of the {len(ensemble.topics)} "
            "topics; make another Reassignment without it"
        )
    return ""


def matching(patterns: Iterable[str], topics: Iterable[str]) -> frozenset[str]:
    """Return the topics that any of these names or patterns (with * and ?) stands for."""
    chosen = tuple(patterns)
    return frozenset(t for t in topics if any(fnmatchcase(t, pattern) for pattern in chosen))


def plan_request(request: Reassignment, base: PlanRequest) -> Plan:
    """Return the plan for what a user asks for.

    Args:
        request: What is asked for.
        base: The present state; its targets are the brokers that are desired.

    Raises:
        PlanRefusedError: It cannot end well.
    """
    if request.replace:
        return plan_replacement(base, *request.replace)
    targets = base.targets - request.evacuate
    if not request.topics:
        return make_plan(replace(base, targets=targets))
    chosen = matching(request.topics, base.assignment)
    if request.evacuate:
        # The other topics stay on the evacuated brokers, so they cannot be part of one balance.
        these = {t: its for t, its in base.assignment.items() if t in chosen}
        part = make_plan(replace(base, assignment=these, targets=targets))
        whole = plan_to(base, {**base.assignment, **part.target})
        return replace(whole, lower_bound=part.lower_bound, proved=part.proved)
    factor = request.replication_factor
    return make_plan(
        replace(
            base,
            pinned=frozenset(base.assignment) - chosen,
            factors=dict.fromkeys(chosen, factor) if factor else {},
        )
    )
