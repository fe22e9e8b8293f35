"""What people decide: approve, ask for moves of their own, pause, undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.api.reassignment import State
from broker_operator.core.model import TopicPartition
from broker_operator.core.promises import Breach
from broker_operator.reconcile.steps import move
from tests.unit.reconcile.world import NAME, NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker_operator.api.reassignment import Reassignment

SLOW = {"maxMovesPerBroker": 1}
CAREFUL = {"approval": "Required"}


def ask(world: World, name: str, **spec: Any) -> None:
    """Create a Reassignment as its user does."""
    world.clock.seconds += 1
    world.kube.put(
        {
            "apiVersion": "broker-operator.dev/v1alpha1",
            "kind": "Reassignment",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"cluster": NAME, **spec},
        }
    )


def change(world: World, name: str, **spec: Any) -> None:
    """Change the spec of a Reassignment."""
    world.kube.edit("Reassignment", NAMESPACE, name, lambda body: body["spec"].update(spec))


def found(world: World, name: str) -> Reassignment:
    return next(r for r in world.reassignments() if r.name == name)


def told(world: World, name: str, kind: str = "Complete") -> str:
    """Message of one of its conditions."""
    conditions = found(world, name).status["conditions"]
    return str(next(c["message"] for c in conditions if c["type"] == kind))


async def waiting_world() -> World:
    """Return a world in which a plan waits for approval."""
    world = await filled_world(3, reassignment=CAREFUL)
    world.scale(4)
    await world.settle()
    return world


async def test_nothing_moves_before_its_plan_is_approved() -> None:
    world = await waiting_world()
    waiting = found(world, "demo-1")
    assert waiting.state is State.AWAITING_APPROVAL
    assert waiting.plan_hash
    assert not waiting.started
    assert world.load()[3] == 0
    assert not world.throttled()
    assert waiting.plan_hash in told(world, "demo-1", "Approved")
    assert world.status["reassignment"]["state"] == "AwaitingApproval"
    assert "waits for approval" in world.status["reassignment"]["blockedBy"][0]
    change(world, "demo-1", approvedPlan="some-other")
    await world.settle()
    assert world.load()[3] == 0
    change(world, "demo-1", approvedPlan=waiting.plan_hash)
    await world.settle()
    assert found(world, "demo-1").plan_hash == waiting.plan_hash
    world.assert_at_rest(0, 1, 2, 3)


async def test_what_does_not_touch_the_plan_leaves_its_approval_alone() -> None:
    world = await waiting_world()
    before = found(world, "demo-1").plan_hash
    world.kafka.create_topic("other", {0: (0, 1)}, size=10)
    await world.settle()
    assert found(world, "demo-1").plan_hash == before
    change(world, "demo-1", approvedPlan=before)
    await world.settle()
    assert found(world, "demo-1").succeeded


async def test_a_plan_that_fits_no_more_must_be_approved_anew() -> None:
    world = await waiting_world()
    before = found(world, "demo-1").plan_hash
    world.kube.before = lambda _: None
    world.kafka.delete_topic("orders")
    change(world, "demo-1", approvedPlan=before)
    await world.settle()
    anew = found(world, "demo-1")
    assert anew.state is State.AWAITING_APPROVAL
    assert anew.plan_hash != before
    message = told(world, "demo-1", "Approved")
    assert f"plan {before} was approved, but" in message
    assert "deleted since" in message
    assert world.load()[3] == 0
    change(world, "demo-1", approvedPlan=anew.plan_hash)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_plan_that_is_undone_before_it_was_approved_is_not_made_again() -> None:
    world = await waiting_world()
    change(world, "demo-1", undo=True)
    await world.settle()
    assert found(world, "demo-1").state is State.UNDONE
    assert len(world.reassignments()) == 1
    assert world.load()[3] == 0
    assert "demo-1 was undone" in world.message("Reconciling")
    world.kube.remove("Reassignment", NAMESPACE, "demo-1")
    await world.settle()
    assert world.reassignments()[-1].state is State.AWAITING_APPROVAL


@pytest.mark.parametrize(
    ("spec", "empty"),
    [({"evacuate": [2]}, 2), ({"replace": {"broker": 1, "by": 3}}, 1)],
    ids=["evacuate", "replace"],
)
async def test_a_user_may_empty_a_broker_that_stays(spec: dict[str, Any], empty: int) -> None:
    world = await filled_world(4)
    if "replace" in spec:
        ask(world, "first", evacuate=[3])
        await world.settle()
    before = world.assignment()
    ask(world, "mine", **spec)
    await world.settle()
    assert found(world, "mine").succeeded
    assert world.load()[empty] == 0
    assert world.sizes() == {"demo-broker": 4}
    assert not world.throttled()
    if "replace" in spec:
        swapped = {
            tp: tuple(3 if b == 1 else b for b in replicas) for tp, replicas in before.items()
        }
        assert world.assignment() == swapped
    # It stays so: nobody has asked for anything else.
    await world.settle()
    assert world.load()[empty] == 0
    ask(world, "back")
    await world.settle()
    counts = [world.load()[b] for b in range(4)]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    "spec",
    [{"evacuate": [2]}, {"replace": {"broker": 2, "by": 3}}],
    ids=["evacuate", "replace"],
)
async def test_a_broker_that_never_keeps_up_can_be_emptied(spec: dict[str, Any]) -> None:
    """What it has is in sync elsewhere, or there would be nothing to copy from."""
    world = await filled_world(4, reassignment=SLOW)
    ask(world, "first", evacuate=[3])
    await world.settle()
    world.kafka.min_insync = 2
    lags(world)
    ask(world, "mine", **spec)
    for _ in range(100):
        await world.one_pass()
        lags(world)
    assert found(world, "mine").succeeded
    assert not world.load()[2]


async def test_who_stays_is_waited_for_while_another_broker_is_emptied() -> None:
    world = await filled_world(4, reassignment=SLOW)
    ask(world, "mine", evacuate=[2])
    await world.until(lambda: bool(world.in_flight()))
    lags(world)
    late = [part for _, part in world.partitions() if part.leader != 1 and 1 in part.isr]
    for part in late:
        part.isr.remove(1)
    for _ in range(5):
        await world.one_pass()
    assert found(world, "mine").state is State.WAITING
    assert "catch up" in told(world, "mine")
    assert " on broker 1 (" in told(world, "mine")
    assert "), 2 (" not in told(world, "mine"), "it is not waited for"
    for part in late:
        part.isr.append(1)
    await world.settle()
    assert found(world, "mine").succeeded


async def test_a_user_may_change_the_replication_factor_of_some_topics() -> None:
    world = await filled_world(3)
    before = world.assignment()
    ask(world, "three", topics=["ord*"], replicationFactor=3)
    await world.settle()
    assert found(world, "three").succeeded
    for (topic, number), replicas in world.assignment().items():
        assert len(replicas) == (3 if topic == "orders" else 2)
        if topic != "orders":
            assert replicas == before[topic, number]


async def test_only_the_topics_that_are_asked_for_leave_a_broker() -> None:
    world = await filled_world(3)
    ask(world, "some", topics=["payments"], evacuate=[0])
    await world.settle()
    assert found(world, "some").succeeded
    held = {topic for (topic, _), replicas in world.assignment().items() if 0 in replicas}
    assert held == {"orders"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"evacuate": [7]}, "names broker 7, which is none of this cluster's: it has 0, 1, 2"),
        ({"evacuate": [0, 1, 2]}, "all 3 brokers"),
        ({"replace": {"broker": 0, "by": 9}}, "names broker 9"),
        ({"replace": {"broker": 0, "by": 1}}, "have replicas on both"),
        ({"topics": ["nothing*"]}, "matches none of the 2 topics"),
        ({"evacuate": [0, 1]}, "replication factor 2, but only 1 broker"),
        ({"topics": ["orders"], "replicationFactor": 4}, "replication factor 4"),
        ({"cause": "ScaleUp", "brokers": [0]}, "the operator's to set"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_reason(spec: dict[str, Any], words: str) -> None:
    world = await filled_world(3)
    before = world.assignment()
    ask(world, "wrong", **spec)
    ask(world, "right", evacuate=[0], topics=["orders"])
    await world.settle()
    assert found(world, "wrong").state is State.REFUSED
    assert words in told(world, "wrong")
    assert "RefusedReassignment" in world.recorder.reasons()
    assert found(world, "right").succeeded, "the others go on"
    moved = {tp[0] for tp, replicas in world.assignment().items() if before[tp] != replicas}
    assert moved == {"orders"}


async def test_requests_come_one_at_a_time_in_order_and_show_it() -> None:
    world = await filled_world(4, reassignment=SLOW)
    world.kafka.complete_after = None
    ask(world, "zz-first", evacuate=[3])
    ask(world, "aa-second", evacuate=[2])
    ask(world, "bb-third")
    await world.until(lambda: bool(world.in_flight()))
    await world.one_pass()
    assert world.status["reassignment"]["name"] == "zz-first"
    assert world.status["reassignment"]["queued"] == ["aa-second", "bb-third"]
    assert found(world, "aa-second").status["queuePosition"] == 1
    assert "after aa-second" in told(world, "bb-third")
    assert not found(world, "aa-second").plan_hash
    world.kafka.complete_after = 1
    await world.settle()
    ended = [found(world, name) for name in ("zz-first", "aa-second", "bb-third")]
    assert all(r.succeeded for r in ended)
    assert [r.ended for r in ended] == sorted(r.ended for r in ended)
    assert not found(world, "aa-second").status.get("queuePosition")


async def test_the_spec_goes_before_what_users_ask_for() -> None:
    world = await filled_world(4, reassignment=CAREFUL)
    ask(world, "mine", evacuate=[0])
    await world.settle()
    world.scale(3)
    await world.settle()
    assert world.status["reassignment"]["name"] == "demo-1"
    assert world.status["reassignment"]["queued"] == ["mine"]
    world.edit(lambda spec: spec["reassignment"].update(approval="Automatic"))
    await world.settle()
    assert found(world, "demo-1").succeeded
    assert found(world, "mine").succeeded
    assert world.removed == [3]
    assert world.load()[0] == 0


async def test_a_broker_that_left_empty_is_filled_when_it_comes_again() -> None:
    """It went without a Reassignment, so the last of the operator's own still names it."""
    world = await filled_world(3)
    world.scale(4)
    await world.settle()
    ask(world, "mine", evacuate=[3])
    await world.settle()
    world.scale(3)
    await world.settle()
    assert world.removed == [3]
    assert len(world.reassignments()) == 2
    world.scale(4)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_request_deleted_in_mid_move_ends_where_it_is() -> None:
    world = await filled_world(4, reassignment=SLOW)
    world.kafka.complete_after = None
    ask(world, "mine", evacuate=[3])
    await world.until(lambda: bool(world.in_flight()))
    world.kube.remove("Reassignment", NAMESPACE, "mine")
    world.kafka.complete_after = 1
    await world.settle()
    assert world.reassignments() == []
    assert world.load()[3] > 0
    assert not world.throttled()
    assert not world.in_flight()


async def test_a_request_that_waits_can_be_withdrawn_at_once() -> None:
    world = await filled_world(4, reassignment=SLOW)
    world.kafka.complete_after = None
    ask(world, "first", evacuate=[3])
    ask(world, "second")
    await world.until(lambda: bool(world.in_flight()))
    world.kube.remove("Reassignment", NAMESPACE, "second")
    await world.one_pass()
    assert [r.name for r in world.reassignments()] == ["first"]
    assert world.in_flight()


async def test_a_paused_reassignment_lets_land_what_flies_and_submits_nothing_more() -> None:
    world = await filled_world(3, reassignment=SLOW)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    change(world, "demo-1", paused=True)
    for _ in range(5):
        await world.one_pass()
    assert world.in_flight()
    assert world.throttled(), "what flies is held back still"
    world.kafka.complete_after = 1
    await world.settle()
    paused = world.assignment()
    assert not world.throttled()
    assert found(world, "demo-1").state is State.PAUSED
    assert "is paused" in world.status["reassignment"]["blockedBy"][0]
    assert 0 < world.load()[3] < 6
    change(world, "demo-1", paused=False)
    await world.settle()
    assert world.assignment() != paused
    world.assert_at_rest(0, 1, 2, 3)


def is_away(world: World) -> None:
    world.broken[2] = "CrashLoopBackOff"
    world.kubelet()


def is_restarting(world: World) -> None:
    world.kafka.stop_broker(2)


def lags(world: World) -> None:
    for _, part in world.partitions():
        if part.leader != 2 and 2 in part.isr:
            part.isr.remove(2)


def is_moved_to_by_others(world: World) -> None:
    world.kafka.create_topic("theirs", {0: (0,)}, size=10)
    world.kafka.move({"theirs": {0: (2,)}})


def does_not_answer_nor_do_others(world: World) -> None:
    world.kafka.silent = set(world.kafka.brokers)


IN_THE_WAY = [is_away, lags, is_moved_to_by_others, does_not_answer_nor_do_others]


async def pausing_world(happens: Callable[[World], None]) -> World:
    """Return a world that pauses while something flies, and in which that lands amid trouble."""
    world = await filled_world(3, reassignment=SLOW)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    change(world, "demo-1", paused=True)
    await world.one_pass()
    assert found(world, "demo-1").state is State.MOVING, "something flies"
    world.kafka.complete()
    happens(world)
    for _ in range(3):
        await world.one_pass()
    return world


@pytest.mark.parametrize("happens", IN_THE_WAY[:3])
async def test_what_is_paused_is_held_whatever_else_is_in_its_way(
    happens: Callable[[World], None],
) -> None:
    world = await pausing_world(happens)
    assert found(world, "demo-1").state is State.PAUSED
    assert world.status["reassignment"]["state"] == "Paused"
    assert "is paused, and nothing of it is in flight" in told(world, "demo-1", "Progressing")
    configs = world.kafka.broker_configs
    assert not any(configs.get(b) for b in world.kafka.brokers), "who is up is held back no more"
    assert not any(world.kafka.topic_configs.values())
    moved = len(world.kafka.moved)
    for _ in range(5):
        await world.one_pass()
    assert len(world.kafka.moved) == moved
    world.kafka.complete_after = 1
    world.kafka.complete()
    world.broken.clear()
    await world.until(lambda: 2 in world.kafka.brokers and not world.throttled())
    for _, part in world.partitions():
        part.isr = sorted(part.state.replicas)
    assert found(world, "demo-1").state is State.PAUSED
    change(world, "demo-1", paused=False)
    await world.settle()
    assert found(world, "demo-1").succeeded
    assert not world.throttled()


async def test_what_is_paused_says_so_only_once_its_throttle_could_be_removed() -> None:
    world = await pausing_world(does_not_answer_nor_do_others)
    assert world.throttled()
    assert found(world, "demo-1").state is State.WAITING
    assert "Kafka cannot be asked" in told(world, "demo-1", "Progressing")
    world.kafka.silent.clear()
    await world.settle()
    assert found(world, "demo-1").state is State.PAUSED
    assert not world.throttled()


@pytest.mark.parametrize("happens", IN_THE_WAY)
async def test_a_plan_waits_for_approval_whatever_else_is_in_its_way(
    happens: Callable[[World], None],
) -> None:
    world = await waiting_world()
    world.kafka.complete_after = None
    happens(world)
    for _ in range(3):
        await world.one_pass()
    assert found(world, "demo-1").state is State.AWAITING_APPROVAL
    assert "waits for approval" in told(world, "demo-1")
    assert not [m for m in world.kafka.moved if m.broker == 3]


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (is_restarting, "waiting for broker 2"),
        (lags, "live replicas to catch up"),
        (is_moved_to_by_others, "1 partitions are moved by another tool"),
        (does_not_answer_nor_do_others, "Kafka cannot be asked"),
    ],
)
async def test_it_moves_only_while_something_does_and_else_says_what_it_waits_for(
    happens: Callable[[World], None], words: str
) -> None:
    world = await filled_world(3, reassignment=SLOW)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    assert found(world, "demo-1").state is State.MOVING, "just submitted"
    await world.one_pass()
    assert found(world, "demo-1").state is State.MOVING
    world.kafka.complete()
    happens(world)
    await world.one_pass()
    waiting = found(world, "demo-1")
    assert waiting.state is State.WAITING
    (progressing,) = (c for c in waiting.status["conditions"] if c["type"] == "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "Waiting")
    assert words in progressing["message"]
    assert world.status["reassignment"]["state"] == "Waiting"
    assert progressing["message"] in waiting.status["blockedBy"]


async def test_a_paused_cluster_is_left_alone() -> None:
    world = await filled_world(3)
    world.edit(lambda spec: spec.update(paused=True))
    world.scale(4)
    await world.one_pass()
    world.forget_writes()
    await world.settle()
    assert world.writes() == []
    assert world.condition("Paused") == ("True", "Paused")


@pytest.mark.parametrize("by", ["undo", "replicas"])
@pytest.mark.parametrize(("start", "end"), [(3, 4), (4, 3)])
async def test_what_has_moved_goes_back_to_the_very_lists(by: str, start: int, end: int) -> None:
    world = await filled_world(start, reassignment=SLOW)
    before = world.assignment()
    world.scale(end)
    await world.until(
        lambda: len([tp for tp, r in world.assignment().items() if r != before[tp]]) > 2
    )
    moved = len(world.kafka.moved)
    if by == "undo":
        change(world, "demo-1", undo=True)
    else:
        world.scale(start)
    await world.until(
        lambda: len(world.reassignments()) > 1 and not world.reassignments()[-1].finished
    )
    await world.settle()
    assert world.assignment() == before, "in the same order, too"
    assert len(world.kafka.moved) - moved <= moved, "nothing goes back that has not moved"
    assert found(world, "demo-2").succeeded
    assert found(world, "demo-2").undoes == "demo-1"
    assert all(p.leader == p.state.replicas[0] for _, p in world.partitions())
    assert not world.throttled()
    assert len(world.reassignments()) == 2, "and it is not done again"
    if by == "undo":
        assert found(world, "demo-1").state is State.UNDONE
        assert world.sizes() == {"demo-broker": 4}
        world.scale(start)
        await world.settle()
        assert len(world.reassignments()) == 2
    world.assert_at_rest(*range(start))


async def test_a_topic_made_meanwhile_does_not_keep_the_broker_that_goes_again() -> None:
    world = await filled_world(3, reassignment=SLOW)
    before = world.assignment()
    world.scale(4)
    await world.until(lambda: world.load()[3] > 1)
    world.kafka.create_topic("late", {0: (3, 0)}, size=10)
    world.scale(3)
    await world.settle()
    now = world.assignment()
    assert {tp: replicas for tp, replicas in now.items() if tp[0] != "late"} == before
    assert 3 not in now["late", 0]
    assert world.removed == [3]


async def test_one_that_has_ended_can_be_undone_and_that_again() -> None:
    world = await filled_world(3)
    before = world.assignment()
    world.scale(4)
    await world.settle()
    after = world.assignment()
    change(world, "demo-1", undo=True)
    await world.settle()
    assert world.assignment() == before
    assert world.sizes() == {"demo-broker": 4}
    change(world, "demo-2", undo=True)
    await world.settle()
    assert world.assignment() == after
    assert [r.state for r in world.reassignments()] == [
        State.UNDONE,
        State.UNDONE,
        State.SUCCEEDED,
    ]


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("half_way", [False, True])
async def test_a_changed_replication_factor_can_be_undone(factor: int, *, half_way: bool) -> None:
    world = await filled_world(3, reassignment=SLOW)
    before = world.assignment()
    ask(world, "mine", topics=["orders"], replicationFactor=factor)
    if half_way:
        await world.until(
            lambda: len([tp for tp, r in world.assignment().items() if r != before[tp]]) > 2
        )
    else:
        await world.settle()
        assert found(world, "mine").succeeded
    change(world, "mine", undo=True)
    await world.settle()
    assert world.assignment() == before
    assert found(world, "mine").state is State.UNDONE
    assert told(world, "mine") == "taken back by demo-1"
    assert found(world, "demo-1").succeeded
    assert not world.throttled()


@pytest.mark.parametrize("alone", [True, False])
async def test_a_factor_that_somebody_else_has_given_stays_and_is_named(*, alone: bool) -> None:
    world = await filled_world(4)
    before = world.assignment()
    ask(world, "mine", topics=["orders"], replicationFactor=3)
    await world.settle()
    theirs = [tp for tp in before if tp[0] == "orders"][slice(None) if alone else slice(1)]
    for topic, number in theirs:
        world.kafka.move({topic: {number: (0, 1, 2, 3)}})
    world.kafka.complete()
    given = world.assignment()
    change(world, "mine", undo=True)
    await world.settle()
    assert world.assignment() == before | {tp: given[tp] for tp in theirs}
    assert found(world, "mine").state is State.UNDONE
    start = "everything else is where it was" if alone else "taken back by demo-1"
    assert told(world, "mine").startswith(start)
    assert (
        f"{len(theirs)} partitions keep the replication factor that somebody has given them since"
        in told(world, "mine")
    )
    assert "orders-0" in told(world, "mine")


async def test_what_cannot_be_undone_says_so_and_does_nothing() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.settle()
    after = world.assignment()
    change(world, "demo-1", undo=True)
    await world.settle()
    assert world.assignment() == after
    assert world.condition("Stalled") == ("True", "BrokerGone")
    assert "broker 3, which is not there any more" in world.message("Stalled")


async def test_a_plan_that_was_lost_cannot_be_taken_back() -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.settle()
    (part,) = found(world, "demo-1").config_maps[:1]
    world.kube.remove("ConfigMap", NAMESPACE, part)
    change(world, "demo-1", undo=True)
    await world.settle()
    assert world.condition("Stalled") == ("True", "PlanLost")


async def test_an_undo_that_cannot_be_holds_up_nobody_else() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.settle()
    change(world, "demo-1", undo=True)
    await world.settle()
    assert "delete demo-1" in world.message("Stalled")
    ask(world, "mine", evacuate=[0])
    await world.settle()
    assert found(world, "mine").succeeded
    assert found(world, "demo-1").status["blockedBy"] == [
        "cannot be undone, for others came after it: undo the last one first"
    ]
    assert world.condition("Stalled") is None
    world.scale(4)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_what_shall_be_undone_submits_nothing_more_even_if_that_must_wait() -> None:
    world = await filled_world(3, reassignment=SLOW)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    change(world, "demo-1", undo=True)
    world.kafka.ensemble_down = True
    await world.one_pass()
    world.kafka.ensemble_down = False
    world.kafka.complete()
    world.kafka.complete_after = 1
    moved = len(world.kafka.moved)
    await world.settle()
    assert {m.broker for m in world.kafka.moved[moved:]} <= {0, 1, 2}
    assert world.load()[3] == 0


async def test_an_undo_does_not_wait_for_the_broker_that_died() -> None:
    world = await filled_world(3, reassignment=SLOW)
    before = world.assignment()
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    change(world, "demo-1", undo=True)
    await world.until(lambda: not world.in_flight())
    assert world.assignment() == before


async def test_an_undo_waits_for_no_approval() -> None:
    world = await waiting_world()
    change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.settle()
    assert world.load()[3] > 0
    change(world, "demo-1", undo=True)
    await world.settle()
    assert found(world, "demo-2").succeeded
    assert world.load()[3] == 0


async def test_approval_that_is_not_asked_for_any_more_is_not_waited_for() -> None:
    world = await waiting_world()
    world.edit(lambda spec: spec["reassignment"].update(approval="Automatic"))
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert told(world, "demo-1", "Approved") == "the cluster asks for no approval"


async def test_the_spec_goes_before_a_request_that_has_started_and_that_goes_on_later() -> None:
    world = await filled_world(4, reassignment=SLOW)
    world.kafka.complete_after = None
    ask(world, "mine", evacuate=[0])
    await world.until(lambda: bool(world.in_flight()))
    world.scale(3)
    await world.one_pass()
    world.kafka.complete()
    await world.until(lambda: bool(world.in_flight()))
    assert world.status["reassignment"]["name"] == "demo-1"
    assert world.status["reassignment"]["queued"] == ["mine"]
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert found(world, "mine").succeeded
    assert world.load()[0] == 0
    assert not world.throttled()


async def test_a_scaling_that_is_refused_keeps_no_user_waiting() -> None:
    world = await filled_world(3)
    world.scale(1)
    await world.settle()
    assert world.condition("Stalled") == ("True", "ReplicationFactorTooHigh")
    ask(world, "mine", topics=["orders"], replicationFactor=1)
    await world.settle()
    assert found(world, "mine").state is State.REFUSED, "it is answered"
    assert "on brokers that are removed or dead" in told(world, "mine")


async def test_the_last_decision_outlives_the_history() -> None:
    world = await filled_world(3, reassignment={"history": 1})
    before = world.assignment()
    world.scale(4)
    await world.settle()
    change(world, "demo-1", undo=True)
    await world.settle()
    assert world.assignment() == before
    for name in ("one", "two", "three"):
        ask(world, name, topics=["orders"])
        await world.settle()
    assert [r.name for r in world.reassignments() if not r.requested] == ["demo-2"]
    assert [r.name for r in world.reassignments() if r.requested] == ["three"]
    assert all(3 not in r for (t, _), r in world.assignment().items() if t != "orders")


async def test_a_reassignment_of_a_paused_cluster_shows_as_paused() -> None:
    world = await filled_world(3, reassignment=SLOW)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.edit(lambda spec: spec.update(paused=True))
    await world.one_pass()
    assert found(world, "demo-1").state is State.PAUSED
    assert world.status["reassignment"]["state"] == "Paused"


async def test_a_broken_promise_stops_the_moves_and_takes_the_throttle_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await filled_world(3, reassignment=SLOW)
    world.scale(4)
    await world.until(lambda: world.load()[3] > 0)
    breach = Breach(TopicPartition("orders", 0), "after its move, 1 replica instead of 2")
    with monkeypatch.context() as patch:
        patch.setattr(move, "breaches_of_state", lambda *_: [breach])
        await world.settle()
        stopped = world.assignment()
        assert world.condition("Stalled") == ("True", "PromiseBroken")
        assert "orders-0: after its move" in world.message("Stalled")
        assert found(world, "demo-1").state is State.STALLED
        assert not world.throttled()
        assert not world.in_flight()
        assert 0 < world.load()[3] < 6
    await world.settle()
    assert world.assignment() != stopped
    world.assert_at_rest(0, 1, 2, 3)
