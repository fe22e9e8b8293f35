"""From an assignment and the brokers wanted to the assignment that needs the fewest moves."""

from broker_operator.core.planner.batches import Batch, make_batches, next_batch
from broker_operator.core.planner.kafka_json import AssignmentFormatError, from_json, to_json
from broker_operator.core.planner.plan import make_plan
from broker_operator.core.planner.remaining import Remaining, remaining
from broker_operator.core.planner.space import Disk, Overfull, disks, overfull, too_full, untold
from broker_operator.core.planner.throttle import throttle_for
from broker_operator.core.planner.types import Plan, PlanRefusedError, PlanRequest, plan_hash

__all__ = [
    "AssignmentFormatError",
    "Batch",
    "Disk",
    "Overfull",
    "Plan",
    "PlanRefusedError",
    "PlanRequest",
    "Remaining",
    "disks",
    "from_json",
    "make_batches",
    "make_plan",
    "next_batch",
    "overfull",
    "plan_hash",
    "remaining",
    "throttle_for",
    "to_json",
    "too_full",
    "untold",
]
