"""What `status`, `plan` and `explain` show of clusters in every state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.cli.output import screen
from broker_operator.ports import RejectedError
from tests.unit.cli.brokers.worlds import HASH, NAMESPACE, condition, conditions, row

if TYPE_CHECKING:
    from tests.fakes.kube import Call
    from tests.unit.cli.brokers.worlds import World

APPROVE = f"kubectl brokers approve ra/demo-1 -n team --plan {HASH}"


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


class TestStatus:
    def test_of_a_cluster_at_rest(self, world: World) -> None:
        world.cluster()
        world.reassignment(state="Succeeded", why="6 moves are done")
        shown = world.says("status")
        assert "3 of 3 brokers ready, all 60 partitions have a leader" in shown
        assert "0 demo-broker-0 Ready       60 ████████████      20 210.0 MiB" in shown
        assert "Nothing moves, nothing waits." in shown
        assert "Last: demo-1 (ScaleUp) Succeeded: 6 moves are done" in shown

    def test_of_a_cluster_that_nobody_has_looked_at(self, world: World) -> None:
        world.cluster()
        world.api.edit("BrokerCluster", NAMESPACE, "demo", lambda body: body.pop("status"))
        assert "the operator has not looked at it yet" in world.says("status")

    def test_of_a_move(self, world: World) -> None:
        world.cluster(brokers=[row(0, rack="a"), row(3, "Joining", replicas=0, rack="b")])
        world.moving(blockedBy=["broker 2 is not registered"])
        world.reassignment("empty-2", "Queued", requested=True, spec={"evacuate": [2]})
        shown = lines(world.says("status"))
        assert "Now: demo-1 (ScaleUp) Moving" in shown
        assert (
            "33 % ██████░░░░░░░░░░░░░░, 2 of 6 moves, 2.0 GiB of 6.0 GiB, 50.0 MiB/s, 1m22s left"
        ) in shown
        assert "throttle 50.0 MiB/s a broker" in shown
        assert "waits: broker 2 is not registered" in shown
        assert "slow: orders-3: 40 % has arrived" in shown
        assert "Next: 1. empty-2 (evacuate 2)" in shown
        assert any("3 b    demo-broker-3 Joining" in line for line in shown)

    def test_of_a_move_of_which_nothing_is_known_yet(self, world: World) -> None:
        world.cluster(brokers=[{"id": 0, "pod": "demo-broker-0", "state": "Unknown"}])
        world.moving(progress={"note": "broker 3 lost its disk"}, throttle={})
        shown = world.says("status")
        assert "0 %" in shown
        assert "left" not in shown
        assert "broker 3 lost its disk" in shown
        assert "throttle" not in shown
        assert "0 demo-broker-0 Unknown        ?" in shown

    def test_of_a_throttle_that_adapts(self, world: World) -> None:
        world.cluster()
        world.moving(throttle={"bytesPerSecond": 2**20, "adaptive": "raised: all is well"})
        assert "throttle 1.0 MiB/s a broker (raised: all is well)" in world.says("status")

    def test_of_a_plan_that_waits(self, world: World) -> None:
        world.cluster()
        world.waiting()
        shown = world.says("status")
        assert f"waits for approval: {APPROVE}\n" in shown
        assert "kubectl patch" not in shown, "one way is enough"

    def test_of_what_is_paused(self, world: World) -> None:
        paused = condition("Reconciling", "True", "ReassignmentPaused", "demo-1 is paused: patch")
        world.cluster(conditions=conditions(paused))
        world.moving(state="Paused", spec={"paused": True})
        world.change_cluster(paused=True)
        shown = world.says("status")
        assert "to go on: kubectl brokers resume demo -n team\n" in shown
        assert "to go on: kubectl brokers resume ra/demo-1 -n team\n" in shown
        assert "Reconciling" not in shown

    def test_of_trouble(self, world: World) -> None:
        full = condition("Stalled", "True", "NotEnoughDisk", "broker 3 would be 91 % full")
        world.cluster(conditions=conditions(full))
        world.reassignment(state="Stalled", blockedBy=["broker 3 would be 91 % full", "and more"])
        shown = world.says("status")
        assert "Stalled (NotEnoughDisk): broker 3 would be 91 % full" in shown
        assert shown.count("91 %") == 1
        assert "waits: and more" in shown

    def test_of_a_spec_that_has_just_changed(self, world: World) -> None:
        world.cluster(observedGeneration=0)
        assert "has not looked at the latest change of its spec yet" in world.says("status")

    def test_of_three_hundred_brokers_stays_one_screen(self, world: World) -> None:
        rows = [row(b) for b in range(300)]
        rows[250] |= {"state": "Draining", "replicas": 3}
        world.cluster(brokers=rows)
        shown = world.says("status")
        assert len(shown.splitlines()) < 30
        assert "280 more brokers; kubectl get bc demo -n team -o yaml has all." in shown
        assert "demo-broker-250 Draining" in shown

    @pytest.mark.parametrize("width", [40, 60, 80])
    def test_in_a_narrow_terminal_keeps_every_number(
        self, world: World, monkeypatch: pytest.MonkeyPatch, width: int
    ) -> None:
        monkeypatch.setattr(screen, "WIDTH", width)
        world.cluster()
        line = next(s for s in lines(world.says("status")) if s.startswith("0 "))
        for number in (" 60 ", " 20 ", "210.0 MiB"):
            assert number in line
        assert ("██" in line) == (width >= 60)

    def test_of_what_would_confuse_a_terminal_is_plain(self, world: World) -> None:
        evil = condition("Stalled", "True", "Bad", "[red]\x1b[2J")
        world.cluster(conditions=conditions(evil))
        assert "[red]\\x1b[2J" in world.says("status")


class TestPlan:
    def test_shows_figures_and_each_broker(self, world: World) -> None:
        world.cluster()
        world.waiting()
        shown = world.says("plan")
        assert shown.startswith("demo-1 (ScaleUp) of demo is AwaitingApproval.\n")
        assert "6 moves, the fewest possible (lower bound 6)." in shown
        assert "3 a    new      0→2              ██████     0→0 2.0 GiB     0 B" in shown
        assert shown.endswith(f"To approve it: {APPROVE}\n")

    def test_of_the_last_one_where_none_is_under_way(self, world: World) -> None:
        world.cluster()
        world.planned(state="Succeeded", finishedAt="2026-01-01T00:00:00Z")
        assert world.says("plan").startswith("demo-1 (ScaleUp) of demo is Succeeded.\n")
        assert "To approve" not in world.says("plan", "ra/demo-1")

    def test_is_refused_where_there_is_none(self, world: World) -> None:
        world.cluster()
        assert "demo has no Reassignment" in world.fails(3, "plan")
        world.reassignment(state="Queued", blockedBy=["partitions move once broker 3 is there"])
        wanted = "demo-1 has no plan: partitions move once broker 3 is there"
        assert wanted in world.fails(3, "plan")
        world.reassignment(state="Queued")
        assert "demo-1 has no plan: it is Queued" in world.fails(3, "plan")

    def test_as_json_is_the_report(self, world: World) -> None:
        world.cluster()
        world.waiting()
        assert f'"hash": "{HASH}"' in world.says("plan", "--format", "json")

    def test_says_what_was_done_under_a_former_plan_and_why_it_is_another(
        self, world: World
    ) -> None:
        world.cluster()
        changed = f"plan abc was approved, but topics came; to approve plan {HASH}: kubectl patch"
        world.waiting(
            approved=condition("Approved", "False", "PlanChanged", changed), plan={"moves": 10}
        )
        shown = world.says("plan")
        assert "note: 4 moves were done under a former plan" in shown
        assert "PlanChanged: plan abc was approved, but topics came.\n" in shown

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "7", '{"hash": "another"}', f'{{"hash": "{HASH}"}}']
    )
    def test_without_its_report_still_has_the_figures(self, world: World, content: str) -> None:
        world.cluster()
        world.waiting()
        world.config_map("demo-1-plan-0", content)
        shown = world.says("plan")
        assert f"Plan {HASH}: 6 replica moves of 6.0 GiB (lower bound 6)" in shown
        assert "note: the report of this plan is not to be had (ConfigMap demo-1-plan-0)" in shown
        assert f"To approve it: {APPROVE}" in shown

    def test_without_its_config_map_has_no_json(self, world: World) -> None:
        world.cluster()
        world.waiting()
        world.api.remove("ConfigMap", NAMESPACE, "demo-1-plan-0")
        assert "is not to be had" in world.fails(3, "plan", "--format", "json")
        world.waiting(plan={"configMaps": []})
        assert "(ConfigMap none)" in world.says("plan")


class TestExplain:
    def test_of_a_cluster_at_rest(self, world: World) -> None:
        world.cluster()
        assert "Nothing holds it up: nothing moves, nothing waits." in world.says("explain")

    def test_that_a_plan_waits_for_approval(self, world: World) -> None:
        held = condition("Reconciling", "True", "AwaitingApproval", "kubectl patch")
        world.cluster(conditions=conditions(held))
        world.waiting()
        shown = lines(world.says("explain"))[1:]
        what = "6 replica moves of 6.0 GiB (lower bound 6), 1 preferred leader changes"
        told = f"- demo-1 (ScaleUp) waits for approval of plan {HASH}: {what}"
        assert shown == [told, APPROVE]

    def test_that_an_approval_is_void_and_why(self, world: World) -> None:
        changed = f"plan abc was approved, but topics came; to approve plan {HASH}: kubectl patch"
        world.cluster()
        world.waiting(approved=condition("Approved", "False", "PlanChanged", changed))
        assert "changes (plan abc was approved, but topics came)\n" in world.says("explain")

    def test_that_people_hold_it_back(self, world: World) -> None:
        world.cluster()
        world.moving(state="Paused", why="it is paused: kubectl patch", spec={"paused": True})
        world.change_cluster(paused=True)
        shown = lines(world.says("explain"))[1:]
        assert shown == [
            "- spec.paused is true: the operator leaves the cluster alone",
            "kubectl brokers resume demo -n team",
            "- demo-1 (ScaleUp) is paused",
            "kubectl brokers resume ra/demo-1 -n team",
            "- slow: orders-3: 40 % has arrived",
        ]

    def test_what_a_move_waits_for_is_said_once(self, world: World) -> None:
        blocked = "broker 2 is away"
        moving = condition("Reconciling", "True", "BrokersNotReady", blocked)
        away = condition("BrokersReady", "False", "BrokersNotReady", "the image is not there")
        down = condition("Available", "False", "OfflinePartitions", "2 partitions have no leader")
        brokers = [row(0), row(1), row(2, "Starting"), row(3, "Joining"), row(4, "Unknown")]
        world.cluster(conditions=conditions(moving, away, down), brokers=brokers)
        world.moving(blockedBy=[blocked], spec={"undo": True})
        world.reassignment("later", "Queued", requested=True)
        shown = world.says("explain")
        assert shown.count(blocked) == 1
        for words in (
            "- demo-1 (ScaleUp) shall be undone",
            "- demo-1 (ScaleUp) is under way: 33 %, 2 of 6 moves",
            "- Available (OfflinePartitions): 2 partitions have no leader",
            "- BrokersReady (BrokersNotReady): the image is not there",
            "- broker 2: its pod demo-broker-2 is not ready, or not registered",
            "  kubectl describe pod demo-broker-2 -n team",
            "- broker 3 is asked for and has no pod yet",
            "- broker 4: its state is unknown while ZooKeeper cannot be read",
            "- later (balance) waits in the queue, after demo-1",
        ):
            assert f"\n{words}" in shown

    def test_that_a_person_has_to_do_something_comes_first_and_once(self, world: World) -> None:
        full = "broker 3 would be 91 % full"
        stalled = condition("Stalled", "True", "NotEnoughDisk", full)
        unready = condition("BrokersReady", "False", "BrokersNotReady", full)
        world.cluster(conditions=conditions(stalled, unready))
        world.reassignment(state="Stalled", why=full, blockedBy=[full, "broker 2 is away"])
        assert lines(world.says("explain"))[1:] == [
            f"- Stalled (NotEnoughDisk): {full}",
            "- demo-1 waits: broker 2 is away",
        ]

    def test_that_nothing_is_planned_yet(self, world: World) -> None:
        world.cluster()
        world.reassignment(state="Queued", why="it is next, and waits for its plan")
        wanted = "demo-1 (ScaleUp) has no plan yet: it is next, and waits for its plan"
        assert wanted in world.says("explain")

    def test_that_the_operator_is_away_or_the_cluster_going(self, world: World) -> None:
        body = world.cluster(observedGeneration=0)
        wanted = "has not looked at the spec yet (generation 1, seen 0): does it run"
        assert wanted in world.says("explain")
        body["metadata"]["finalizers"] = ["broker-operator.dev/finalizer"]
        world.api.put(body)
        world.api.remove("BrokerCluster", NAMESPACE, "demo")
        shown = world.says("explain")
        assert "- demo is being deleted\n" in shown
        assert "has not looked" not in shown, "that is not what it waits for"

    def test_that_a_deleted_one_is_still_there(self, world: World) -> None:
        world.cluster()
        body = world.moving()
        body["metadata"]["finalizers"] = ["broker-operator.dev/throttle-sweep"]
        world.api.put(body)
        world.api.remove("Reassignment", NAMESPACE, "demo-1")
        assert "is being deleted: its throttle has to be removed first" in world.says("explain")

    def test_of_undos_that_came_too_late_and_of_refusals(self, world: World) -> None:
        world.cluster()
        late = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"}
        why = "cannot be undone, for others came after it"
        world.reassignment(state="Succeeded", spec={"undo": True}, blockedBy=[why], **late)
        late["finishedAt"] = "2026-01-01T00:02:00Z"
        world.reassignment("demo-2", "Succeeded", **late)
        late["finishedAt"] = "2026-01-01T00:03:00Z"
        world.reassignment("no", "Refused", "broker 9 is none", requested=True, **late)
        shown = world.says("explain")
        assert f"- demo-1: {why}\n" in shown
        assert "- no (balance) was refused: broker 9 is none\n" in shown

    @pytest.mark.parametrize(
        ("broker", "words"),
        [
            (0, "broker 0 is ready and asked for by the spec, so it stays; it holds 60 replicas"),
            (1, "broker 1 holds 60 replicas (leads 20, 210.0 MiB); swap (replace 1 by 2) empties"),
            (2, "broker 2 is leaving and holds nothing: it goes once it is proved empty"),
            (3, "broker 3 is leaving and holds 12 replicas (leads ?): it goes once all of that"),
            (4, "broker 4 is gone, or never was: demo has 0, 1, 2, 3"),
        ],
    )
    def test_why_a_broker_is_still_there(self, world: World, broker: int, words: str) -> None:
        draining = {"id": 3, "pod": "demo-broker-3", "state": "Draining", "replicas": 12}
        leaving = row(2, "Leaving", replicas=0, leaders=0)
        world.cluster(brokers=[row(0), row(1), leaving, draining])
        swap = {"replace": {"broker": 1, "by": 2}}
        world.reassignment("swap", "Queued", "it is next", requested=True, spec=swap)
        shown = lines(world.says("explain", "--broker", str(broker)))
        assert shown[1].startswith(f"- {words}")
        assert "swap (replace 1 by 2) has no plan yet: it is next" in "\n".join(shown)

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("Queued", "it (replication factor 3; topics a, b*) waits in the queue, after demo-1"),
            ("Refused", "it (replication factor 3; topics a, b*) has ended as Refused: too many"),
        ],
    )
    def test_of_a_reassignment_whose_turn_it_is_not(
        self, world: World, state: str, words: str
    ) -> None:
        world.cluster()
        world.moving()
        spec = {"topics": ["a", "b*"], "replicationFactor": 3}
        world.reassignment("it", state, "too many", requested=True, spec=spec)
        shown = world.says("explain", "ra/it")
        assert shown.count("- it (") == 1
        assert f"- {words}\n" in shown

    def test_of_one_that_only_claims_to_be_the_operators(self, world: World) -> None:
        world.cluster()
        body = world.reassignment("fake", "Queued", "nobody looks at it")
        del body["metadata"]["ownerReferences"]
        world.api.put(body)
        shown = world.says("explain", "ra/fake")
        assert "- fake (ScaleUp) is Queued: nobody looks at it\n" in shown

    def test_tells_the_last_events_of_the_cluster(self, world: World) -> None:
        def ago(**time: float) -> dict[str, Any]:
            stamp = datetime.now(UTC) - timedelta(**time)
            return {"lastTimestamp": stamp.isoformat().replace("+00:00", "Z")}

        world.cluster()
        world.moving()
        ours = ("BrokerCluster", "demo")
        world.event("a", ours, "Old", **ago(hours=2))
        world.event("b", ours, "Newer", **ago(seconds=30), count=3)
        world.event("c", ("Reassignment", "demo-1"), "Older", **ago(minutes=5, seconds=30))
        world.event("d", ("Pod", "demo"), "Foreign", **ago(seconds=1))
        world.event("e", ours, "Undated")
        shown = lines(world.says("explain").partition("Events:\n")[2])
        assert [line.split(" ago ")[1] for line in shown] == [
            "Warning Older: Older happened",
            "Warning Newer (x3): Newer happened",
        ]

    def test_goes_without_events_that_may_not_be_read(self, world: World) -> None:
        def forbid(call: Call) -> None:
            if call.kind == "Event":
                raise RejectedError("events is forbidden")

        world.cluster()
        world.api.before = forbid
        assert "note: Events cannot be read: events is forbidden" in world.says("explain")
