"""This operator: `make_plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRequest, make_plan
from tests.bench.planner.drivers.drive import drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.planner.drivers.drive import Plan, Question


def ask(question: Question) -> Callable[[], Callable[[], Plan]]:
    """Return what plans as the operator does."""
    request = PlanRequest(
        assignment={
            topic: {partition: tuple(replicas) for partition, replicas in enumerate(lists)}
            for topic, lists in question.topics.items()
        },
        brokers=tuple(Broker(id=broker, rack=rack) for broker, rack in question.brokers.items()),
        targets=frozenset(question.targets),
    )
    question.topics.clear()  # it is in the request, and a second copy is no need of the planner's

    def plan() -> Callable[[], Plan]:
        made = make_plan(request)
        return lambda: (
            {topic: [list(its[n]) for n in sorted(its)] for topic, its in made.target.items()},
            {"lower_bound": made.lower_bound, "optimal": made.optimal, "counted": made.moves},
        )

    return plan


if __name__ == "__main__":
    drive(ask)
