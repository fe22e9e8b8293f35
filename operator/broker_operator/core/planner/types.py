"""What goes into a plan and what comes out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import Assignment, Broker, BrokerId, Sizes


class PlanRefusedError(Exception):
    """No plan can end well.

    Attributes:
        reason: PascalCase, for a condition.
        message: A sentence with the numbers and the way out.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The question.

    Attributes:
        assignment: Where every replica is now. For a partition that is half-way through a move,
            its state's `target`.
        brokers: Every broker that lives or that the assignment names, with racks and weights.
        targets: Brokers that shall hold the replicas afterwards; a subset of the live ones.
        sizes: Bytes per partition; a missing one counts as the mean of the known ones.
        excluded: Targets that receive nothing; what they hold may stay.
        pinned: Topics whose replica lists stay as they are.
        factors: Topic -> replication factor wanted; the others keep theirs.
        held: Brokers that have a full copy by now, for partitions that are half-way through a
            move (`PartitionState.origin`). The others are held where `assignment` says.
    """

    assignment: Assignment
    brokers: tuple[Broker, ...]
    targets: frozenset[BrokerId]
    sizes: Sizes = field(default_factory=dict)
    excluded: frozenset[BrokerId] = frozenset()
    pinned: frozenset[str] = frozenset()
    factors: Mapping[str, int] = field(default_factory=dict)
    held: Assignment = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer.

    Attributes:
        origin: The assignment asked about.
        target: The whole assignment afterwards, same topics and partitions.
        moves: Replicas in `target` on a broker that has no full copy by now: in `origin`, or, of a
            partition half-way, in `PlanRequest.held`.
        lower_bound: No balanced result can be reached with fewer moves than this. Found by
            counting, with no look at how the plan was made.
        bytes: Bytes that the moves copy.
        leader_changes: Partitions whose preferred leader (first replica) differs.
        proved: The search ended with a proof that fewer moves are impossible, even where they are
            more than the lower bound: counting does not see that a broker may hold a partition
            only once, nor every effect of racks.
    """

    origin: Assignment
    target: Assignment
    moves: int
    lower_bound: int
    bytes: int
    leader_changes: int
    proved: bool = False

    @property
    def optimal(self) -> bool:
        """Whether the moves are proved to be the fewest, by the search or by the bound."""
        return self.proved or self.moves == self.lower_bound

    @property
    def changes(self) -> dict[str, dict[int, tuple[BrokerId, ...]]]:
        """The partitions whose replica list changes (reordering included), with their targets."""
        changed: dict[str, dict[int, tuple[BrokerId, ...]]] = {}
        for topic, partitions in self.target.items():
            before = self.origin.get(topic, {})
            entries = {n: r for n, r in partitions.items() if before.get(n) != r}
            if entries:
                changed[topic] = entries
        return changed

    @property
    def hash(self) -> str:
        """Twelve hex digits that identify it: see `plan_hash`."""
        return plan_hash(self.origin, self.target)


def plan_hash(*assignments: Assignment) -> str:
    """Return twelve hex digits of the SHA-256 of what a plan is, in canonical JSON.

    Not of its target alone: to the same target, more may have to be moved by now, and an undo leads
    to the origin.
    """
    digest = hashlib.sha256()
    for assignment in assignments:
        entries = [
            [t, n, list(r)] for t, ps in sorted(assignment.items()) for n, r in sorted(ps.items())
        ]
        digest.update(json.dumps(entries, separators=(",", ":")).encode())
    return digest.hexdigest()[:12]
