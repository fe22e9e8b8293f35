"""The plan: check, count, place, repair, choose leaders, write the lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.planner.bound import ideal, imbalance
from broker_operator.core.planner.even import even_out
from broker_operator.core.planner.exchange import repair
from broker_operator.core.planner.leaders import choose_leaders
from broker_operator.core.planner.lighten import lighten
from broker_operator.core.planner.place import place
from broker_operator.core.planner.problem import number
from broker_operator.core.planner.refusals import check
from broker_operator.core.planner.types import Plan

if TYPE_CHECKING:
    from broker_operator.core.model import Assignment, BrokerId, Replicas
    from broker_operator.core.planner.layout import Layout
    from broker_operator.core.planner.problem import Problem
    from broker_operator.core.planner.types import PlanRequest


def make_plan(request: PlanRequest) -> Plan:
    """Return the assignment over the target brokers that takes the fewest moves.

    In this order: valid (replication factors kept, distinct target brokers, rack caps held),
    balanced, fewest moves, topics spread evenly, preferred leaders balanced with the fewest
    changes, fewest bytes. A plan made from a plan's target changes nothing.

    Raises:
        PlanRefusedError: No plan can end well; see `refusals`.
    """
    check(request)
    problem = number(request)
    best = ideal(problem)
    layout = place(problem, best.goals)
    repaired = layout.moves > best.lower_bound or tuple(layout.load) != best.goals
    if repaired:
        repair(layout)  # ends when no exchange pays off any more, which is the proof
    lower_bound = best.lower_bound
    if imbalance(problem, layout.load) > imbalance(problem, best.goals):
        # Something that counting does not see stands in the way of those goals, such as an
        # exclusion. What any valid result needs is still true.
        lower_bound = best.forced
    even_out(layout)
    lighten(layout)
    target = _write(request.assignment, problem, layout)
    return Plan(
        origin=request.assignment,
        target=target,
        moves=layout.moves,
        lower_bound=lower_bound,
        bytes=_bytes(problem, layout),
        leader_changes=_leader_changes(request.assignment, target),
        proved=repaired,
    )


def _write(origin: Assignment, problem: Problem, layout: Layout) -> dict[str, dict[int, Replicas]]:
    """Return the replica lists, sorted by name; what is not in the problem stays as it is."""
    target = {
        topic: {partition: tuple(its[partition]) for partition in sorted(its)}
        for topic, its in sorted(origin.items())
    }
    leaders = choose_leaders(layout)
    for name, holders, leader in zip(problem.partitions, layout.holders, leaders, strict=True):
        after = [problem.brokers[broker] for broker in holders]
        topic, partition = name
        before = target[topic][partition]
        if (
            before[0] != problem.brokers[leader]
            or len(before) != len(after)
            or set(before) != set(after)
        ):
            target[topic][partition] = _order(before, set(after), problem.brokers[leader])
    return target


def _order(before: Replicas, after: set[BrokerId], leader: BrokerId) -> Replicas:
    """Return `after` as a list: each newcomer where the replica it replaces was, leader first."""
    newcomers = iter(sorted(after.difference(before), key=lambda b: (b != leader, b)))
    replaced = (b if b in after else next(newcomers, None) for b in dict.fromkeys(before))
    listed = [b for b in replaced if b is not None]
    listed += newcomers
    place_of_leader = listed.index(leader)
    listed[0], listed[place_of_leader] = listed[place_of_leader], listed[0]
    return tuple(listed)


def _bytes(problem: Problem, layout: Layout) -> int:
    return sum(problem.size[partition] for partition, _ in layout.newcomers())


def _leader_changes(origin: Assignment, target: Assignment) -> int:
    return sum(
        replicas[:1] != origin[topic][partition][:1]
        for topic, partitions in target.items()
        for partition, replicas in partitions.items()
    )
