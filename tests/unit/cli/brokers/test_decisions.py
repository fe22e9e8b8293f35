"""What people decide: what is written for it, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.ports import ConflictError
from tests.unit.cli.brokers.worlds import HASH, condition

if TYPE_CHECKING:
    from tests.fakes.kube import Call
    from tests.unit.cli.brokers.worlds import World

RA, BC = "Reassignment", "BrokerCluster"
FIRST = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"}
SECOND = {"startedAt": "2026-01-01T00:02:00Z", "finishedAt": "2026-01-01T00:03:00Z"}


class TestApprove:
    @pytest.mark.parametrize("arguments", [(), ("demo",), ("ra/demo-1",), ("demo", "--plan", HASH)])
    def test_writes_the_hash_of_what_waits(self, world: World, arguments: tuple[str, ...]) -> None:
        world.cluster()
        world.waiting()
        shown = world.says("approve", *arguments)
        assert world.api.changes == [(RA, "demo-1", {"approvedPlan": HASH})]
        assert shown == (
            f"Approved plan {HASH} of demo-1 (ScaleUp): 6 replica moves of 6.0 GiB (lower bound 6),"
            " 1 preferred leader changes.\n"
            "To see it move: kubectl brokers watch ra/demo-1 -n team\n"
        )

    @pytest.mark.parametrize("given", ["abc", HASH[:-1], ""])
    def test_refuses_another_plan_than_the_one_that_waits(self, world: World, given: str) -> None:
        world.cluster()
        world.waiting()
        said = world.fails(3, "approve", "--plan", given)
        assert f"plan {given} does not wait: that of demo-1 is {HASH}: 6 replica moves" in said
        assert not world.api.changes

    def test_refuses_a_plan_that_is_not_made(self, world: World) -> None:
        world.cluster()
        world.reassignment(state="Queued", why="it is next, and waits for its plan")
        said = world.fails(3, "approve", "--plan", HASH)
        assert f"plan {HASH} does not wait: that of demo-1 is not made yet" in said
        said = world.fails(3, "approve")
        assert "demo-1 waits for no approval: it is Queued, it is next, and waits for its" in said
        assert not world.api.changes

    def test_refuses_where_nothing_waits(self, world: World) -> None:
        world.cluster()
        said = world.fails(3, "approve")
        assert "nothing of demo waits for approval: nothing is under way" in said
        world.moving()
        assert "demo-1 waits for no approval: it is Moving" in world.fails(3, "approve")
        world.planned(state="Succeeded", why="6 moves are done", spec={"approvedPlan": HASH})
        said = world.fails(3, "approve", "ra/demo-1", "--plan", HASH)
        assert "demo-1 waits for no approval: it is Succeeded, 6 moves are done" in said
        assert not world.api.changes

    def test_of_what_needs_none_is_refused(self, world: World) -> None:
        world.cluster()
        world.moving(approved=condition("Approved", "True", "NotRequired", "nobody asks"))
        assert "waits for no approval" in world.fails(3, "approve")

    def test_twice_is_once(self, world: World) -> None:
        world.cluster()
        world.waiting(spec={"approvedPlan": HASH})
        assert world.says("approve") == f"Plan {HASH} of demo-1 is approved already.\n"
        assert not world.api.changes

    def test_says_what_holds_it_up_even_so(self, world: World) -> None:
        world.cluster()
        world.waiting(spec={"paused": True})
        world.change_cluster(paused=True)
        shown = world.says("approve")
        assert "Reassignment demo-1 is paused: kubectl brokers resume ra/demo-1 -n team\n" in shown
        assert "Cluster demo is paused: kubectl brokers resume demo -n team\n" in shown

    def test_of_what_has_just_gone_is_an_error(self, world: World) -> None:
        def gone(call: Call) -> None:
            if call.writes:
                raise ConflictError("cannot change Reassignment team/demo-1: not found (HTTP 404)")

        world.cluster()
        world.waiting()
        world.api.before = gone
        assert "cannot change Reassignment team/demo-1" in world.fails(2, "approve")


class TestPauseAndResume:
    def test_of_a_cluster(self, world: World) -> None:
        world.cluster()
        assert world.says("pause").startswith("Paused demo: the operator leaves it alone.")
        assert world.says("pause", "demo") == "demo is paused already.\n"
        assert world.says("resume") == "Resumed demo.\n"
        assert world.says("resume") == "demo is not paused.\n"
        assert world.api.changes == [
            (BC, "demo", {"paused": True}),
            (BC, "demo", {"paused": False}),
        ]

    def test_of_a_reassignment(self, world: World) -> None:
        world.cluster()
        world.moving()
        assert world.says("pause", "ra/demo-1").startswith("Paused demo-1 (ScaleUp): nothing more")
        assert world.says("pause", "ra/demo-1") == "demo-1 is paused already.\n"
        assert world.says("resume", "ra/demo-1") == "Resumed demo-1 (ScaleUp).\n"
        assert world.says("resume", "ra/demo-1") == "demo-1 is not paused.\n"
        assert world.api.changes == [
            (RA, "demo-1", {"paused": True}),
            (RA, "demo-1", {"paused": False}),
        ]

    def test_resume_names_what_is_paused_besides(self, world: World) -> None:
        world.cluster()
        world.moving(spec={"paused": True})
        way = "Reassignment demo-1 is paused: kubectl brokers resume ra/demo-1 -n team\n"
        assert f"demo is not paused. {way}" in world.fails(3, "resume", "demo")
        world.change_cluster(paused=True)
        cluster = "Cluster demo is paused: kubectl brokers resume demo -n team\n"
        assert world.says("resume", "ra/demo-1") == f"Resumed demo-1 (ScaleUp).\n{cluster}"
        assert world.says("resume", "ra/demo-1") == f"demo-1 is not paused.\n{cluster}"
        world.moving(spec={"paused": True})
        assert world.says("resume", "demo") == f"Resumed demo.\n{way}"

    @pytest.mark.parametrize("command", ["pause", "resume"])
    def test_of_what_has_ended_is_refused(self, world: World, command: str) -> None:
        world.cluster()
        world.reassignment(state="Succeeded")
        said = world.fails(3, command, "ra/demo-1")
        assert f"demo-1 has ended as Succeeded: there is nothing to {command}" in said
        assert not world.api.changes


class TestUndo:
    @pytest.mark.parametrize("name", ["demo", "ra/demo-1"])
    def test_of_what_moves(self, world: World, name: str) -> None:
        world.cluster()
        world.moving()
        shown = world.says("undo", name)
        assert "Undoing demo-1 (ScaleUp): what has moved goes back to the lists" in shown
        assert world.says("undo", name) == "demo-1 is being undone already.\n"
        assert world.api.changes == [(RA, "demo-1", {"undo": True})]

    @pytest.mark.parametrize("name", ["demo", "ra/demo-2"])
    def test_of_the_last_one(self, world: World, name: str) -> None:
        world.cluster()
        world.reassignment("demo-1", "Succeeded", **FIRST)
        world.reassignment("demo-2", "Succeeded", **SECOND)
        assert "Undoing demo-2 (ScaleUp)" in world.says("undo", name)
        assert world.api.changes == [(RA, "demo-2", {"undo": True})]

    def test_of_what_has_not_begun(self, world: World) -> None:
        world.cluster()
        world.waiting()
        world.reassignment("empty-2", "Queued", requested=True, spec={"evacuate": [2]})
        said = world.fails(3, "undo", "ra/empty-2")
        assert "empty-2 has not begun: to withdraw it: kubectl delete ra empty-2 -n team" in said
        assert "nothing has moved, so it just ends" in world.says("undo")
        assert world.api.changes == [(RA, "demo-1", {"undo": True})]

    def test_says_that_the_cluster_is_paused(self, world: World) -> None:
        world.cluster()
        world.moving()
        world.change_cluster(paused=True)
        assert "Cluster demo is paused: kubectl brokers resume demo" in world.says("undo")

    def test_of_what_others_came_after_is_refused(self, world: World) -> None:
        world.cluster()
        world.reassignment("demo-1", "Succeeded", **FIRST)
        world.reassignment("demo-2", "Succeeded", **SECOND)
        said = world.fails(3, "undo", "ra/demo-1")
        assert "demo-2 has moved partitions since; undo that one first" in said
        assert not world.api.changes

    @pytest.mark.parametrize("state", ["Superseded", "Refused"])
    def test_of_what_ended_otherwise_is_refused(self, world: World, state: str) -> None:
        world.cluster()
        world.reassignment(state=state, why="something else was asked", **FIRST)
        said = world.fails(3, "undo", "ra/demo-1")
        assert f"it has ended as {state}, something else was asked" in said

    def test_of_nothing_is_refused(self, world: World) -> None:
        world.cluster()
        assert "demo has no Reassignment that could be undone" in world.fails(3, "undo")

    def test_twice_is_once(self, world: World) -> None:
        world.cluster()
        world.reassignment(state="Undone", why="taken back by demo-2", **FIRST)
        assert (
            world.says("undo", "ra/demo-1") == "demo-1 is undone already: taken back by demo-2.\n"
        )
