"""What people ask for in a round: how it begins, turns half-way, and is seen through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.schedule import EVACUATIONS, Kind, Moment, Play, Round
from tests.chaos.world import ending, reason
from tests.cluster.errors import ClusterError
from tests.e2e.environment import DeadlineError

if TYPE_CHECKING:
    from tests.chaos.truth import Truth
    from tests.chaos.world import World

MOMENT_SECONDS = 120.0
END_SECONDS = 300.0
"""For anything to come to its end after the faults, on a machine of two cores."""
WAITS = "AwaitingApproval"


@dataclass
class Performance:
    """One play in a world.

    Attributes:
        known: Reassignments that were there before.
        before: What ZooKeeper said before.
    """

    world: World
    plan: Round
    known: set[str] = field(init=False)
    before: Truth = field(init=False)

    def prepare(self) -> None:
        """Have as many brokers as the play begins with, settled."""
        world, brokers = self.world, self.world.brokers
        world.pace(self.plan.brokers + 1)
        if brokers.object()["spec"]["replicas"] != self.plan.brokers:
            brokers.scale(self.plan.brokers)
        brokers.ready(self.plan.brokers, END_SECONDS)
        self.known = {ra["metadata"]["name"] for ra in world.reassignments()}
        self.before = world.truth()

    def begin(self) -> None:
        """Ask for what is to be done, and wait for the round's moment."""
        if self.plan.play in EVACUATIONS:
            self.world.ask(self._request, evacuate=[self.plan.target])
        else:
            if self.plan.play is Play.APPROVE:
                self.world.brokers.patch({"reassignment": {"approval": "Required"}})
            self.world.brokers.scale(self.plan.target)
        if self.plan.moment is Moment.MOVING:
            self.world.brokers.until("the moment", self._moment, MOMENT_SECONDS)
        if self.plan.play is Play.APPROVE:  # no fault has begun yet
            now = self.world.truth().replicas
            assert now == self.before.replicas, f"moved before it was approved: {now}"

    def _moment(self) -> bool:
        """Whether something has moved, or waits for approval, or it is too late for both."""
        for item in self._new():
            status = item.get("status", {})
            if self.plan.play is Play.APPROVE and reason(item) == WAITS:
                return True
            if status.get("progress", {}).get("movesDone") or ending(item):
                return True
        return False

    def turn(self) -> None:
        """Do the second half of the play, without waiting for anything."""
        world, play = self.world, self.plan.play
        if play is Play.SCALE_BACK:
            world.brokers.scale(self.plan.brokers)
        elif play is Play.HOLD:
            world.brokers.patch({"paused": True})
        elif play is Play.UNDO:
            world.change(self._request, undo=True)
        elif play is Play.APPROVE:
            self._approve()
        elif play is Play.PAUSE:
            for item in self._new():
                if not ending(item):
                    world.change(item["metadata"]["name"], paused=True)

    def finish(self) -> None:
        """See the play through, as people would.

        Raises:
            DeadlineError: It does not come to its end; with the status and the operator's log.
        """
        world, brokers, play = self.world, self.world.brokers, self.plan.play
        if play is Play.HOLD:
            brokers.until("the pause", self._held, END_SECONDS)
            brokers.patch({"paused": False})
        elif play is Play.PAUSE:
            brokers.until("the pause", self._paused, END_SECONDS)
            brokers.until("what is in flight to land, unthrottled then", self._rests, END_SECONDS)
            for item in self._new():
                if item["spec"].get("paused"):
                    world.change(item["metadata"]["name"], paused=False)
        elif play is Play.UNDO:
            self._ended(self._request, "Undone")
        elif play is Play.EVACUATE:
            self._ended(self._request, "Succeeded")
            held = world.truth().replicas
            left = [name for name, its in held.items() if self.plan.target in its]
            # Kafka's own tool may have put something there after the last look.
            foreign = any(fault.kind is Kind.FOREIGN_MOVE for fault in self.plan.faults)
            assert foreign or not left, f"not evacuated: {left}"
            world.ask(f"{self._request}-balance")
            self._ended(f"{self._request}-balance", "Succeeded")
        try:
            brokers.until("a settled cluster", self._settled, END_SECONDS)
        except DeadlineError as error:
            raise DeadlineError(f"{self.unrest()}: {error}") from error
        if play is Play.APPROVE:
            brokers.patch({"reassignment": {"approval": "Automatic"}})
            brokers.ready(self.plan.after)

    def _settled(self) -> bool:
        """Whether all is done; meanwhile, approve what waits for it."""
        if self.plan.play is Play.APPROVE:
            self._approve()
        return self.world.brokers.is_settled(self.plan.after) and not self.unrest()

    def unrest(self) -> list[str]:
        """Return what is not as it must be after the round, by ZooKeeper and the StatefulSet."""
        wanted, got = self.plan.after, self.world.brokers.replicas()
        sets = [] if got == wanted else [f"the StatefulSet has {got} brokers, not {wanted}"]
        return [*sets, *self.world.truth().unrest(wanted)]

    def imbalance(self) -> list[str]:
        """Return what is not balanced in the end.

        After an undo everything must be where it was, in the same order (but for what Kafka's own
        tool has moved); after all else the loads are within one of each other.
        """
        now = self.world.truth()
        taken_back = self.plan.play in {Play.UNDO, Play.SCALE_BACK}
        if taken_back and now.replicas == self.before.replicas:
            return []
        foreign = any(fault.kind is Kind.FOREIGN_MOVE for fault in self.plan.faults)
        if self.plan.play is Play.UNDO and not foreign:
            old, new = self.before.replicas, now.replicas
            wrong = [f"{p} {old.get(p)} -> {its}" for p, its in new.items() if its != old.get(p)]
            return [f"the undo has left {', '.join(wrong)}"]
        spreads = zip(("replicas", "preferred leaders"), now.spreads(self.plan.after), strict=True)
        return [f"{what} differ by {spread}" for what, spread in spreads if spread > 1]

    def moves(self) -> int:
        """Return how many moves the Reassignments of this round have made, by their own account."""
        done = (item.get("status", {}).get("outcome", {}).get("moves", 0) for item in self._new())
        return sum(done)

    @property
    def _request(self) -> str:
        return f"round-{self.plan.number}"

    def _new(self) -> list[dict[str, Any]]:
        items = self.world.reassignments()
        return [item for item in items if item["metadata"]["name"] not in self.known]

    def _approve(self) -> None:
        """Approve every plan that waits for it."""
        for item in self._new():
            plan = item.get("status", {}).get("plan", {}).get("hash", "")
            if reason(item) == WAITS and plan and item["spec"].get("approvedPlan") != plan:
                self.world.change(item["metadata"]["name"], approvedPlan=plan)

    def _held(self) -> bool:
        return self.world.brokers.condition("Paused").get("status") == "True"

    def _paused(self) -> bool:
        """Whether each Reassignment that was to pause does, or has ended before it could."""
        asked = [item for item in self._new() if item["spec"].get("paused")]
        return all(reason(item) == "Paused" or ending(item) for item in asked)

    def _rests(self) -> bool:
        """Whether nothing moves and nothing is throttled, or nothing is paused any more."""
        if not any(reason(item) == "Paused" for item in self._new()):
            return True
        try:
            now = self.world.truth()
        except ClusterError:  # ZooKeeper is not back yet
            return False
        return not (now.moving or now.in_force)

    def _ended(self, name: str, how: str) -> None:
        state: str = self.world.brokers.until(
            f"{name} to end", lambda: self.world.state(name), END_SECONDS
        )
        assert state == how, f"{name} has ended as {state}, not {how}"
