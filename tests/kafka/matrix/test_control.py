"""What people decide in mid-move, and what stops a move until they have decided."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import ResourceType

from broker_operator.api.reassignment import Cause, State
from broker_operator.core.fit import changes
from broker_operator.core.render.reassignment import read_plan
from broker_operator.ports import TransientError
from broker_operator.reconcile.absence import UNWANTED_SECONDS
from broker_operator.reconcile.proof import STRAY_SECONDS
from tests.kafka.cluster import KafkaCluster
from tests.kafka.harness import LiveWorld
from tests.kafka.matrix.moves import (
    FAST,
    FOURS,
    JOINING,
    ROWS,
    SIZE,
    SLOWEST,
    SUBMISSIONS,
    Move,
    moving,
    tool,
    writes,
)
from tests.kafka.matrix.records import Records
from tests.kafka.processes import wait_until
from tests.unit.reconcile.world import NAME, NAMESPACE, host

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping, Sequence

RACKS = ("a", "b", "c", "a")
KINDS = {"brokers": ResourceType.BROKER, "topics": ResourceType.TOPIC}


@pytest.fixture(scope="module")
def racked_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    folder = tmp_path_factory.mktemp("racked")
    cluster = KafkaCluster(
        folder, brokers=4, racks=RACKS, host=lambda broker: host(f"demo-broker-{broker}")
    )
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def change(world: LiveWorld, name: str, **spec: Any) -> None:
    """Change the spec of a Reassignment, as its user does."""
    world.kube.edit("Reassignment", NAMESPACE, name, lambda body: body["spec"].update(spec))


def rests(world: LiveWorld) -> bool:
    """Whether nothing moves, and everything that has moved was swept up."""
    view = world.view
    ended = all(r.finished for r in world.reassignments())
    return ended and not view.in_flight() and not view.throttles()


def assert_as_before(move: Move, rows: Mapping[int, Sequence[int]]) -> None:
    """Every list is the very one, led by its first replica, and no record is lost."""
    view = move.world.view
    assert view.assignment() == {(move.topic, n): list(row) for n, row in rows.items()}
    assert {n: view.leader(move.topic, n) for n in rows} == {n: row[0] for n, row in rows.items()}
    move.records.verify()


@pytest.mark.parametrize("way", ["undo", "replicas"])
async def test_what_has_moved_goes_back_to_the_very_lists(
    live_brokers: KafkaCluster, rng: random.Random, way: str
) -> None:
    async with moving(live_brokers, rng) as move:
        world, first = move.world, move.world.reassignments()[-1]
        begun = sum(JOINING in move.replicas(number) for number in ROWS)
        assert begun
        assert move.flying()
        if way == "undo":
            change(world, first.name, undo=True)
        else:
            world.scale(3)
        world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        sizes = {"demo-broker": 4 if way == "undo" else 3}
        await world.until(lambda: rests(world) and world.sizes() == sizes, "all has ended")
        ended = {r.name: r for r in world.reassignments()}
        expected = State.UNDONE if way == "undo" else State.SUPERSEDED
        assert ended[first.name].state is expected
        back = [r for r in ended.values() if r.cause is Cause.UNDO]
        assert sum(r.moves or 0 for r in back) <= begun, "by the shortest way"
        assert_as_before(move, ROWS)


async def test_a_drain_that_is_called_off_leads_back_to_the_very_lists(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng, scale=(4, 3), rows=FOURS) as move:
        world = move.world
        assert move.flying()
        world.scale(4)
        world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        await world.until(
            lambda: rests(world) and world.sizes() == {"demo-broker": 4}, "all has ended"
        )
        assert world.removed == []
        assert_as_before(move, FOURS)


async def test_what_was_planned_anew_goes_back_to_the_first_lists(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng, scale=(4, 3), rows=FOURS, latest=0.3) as move:
        world, drain = move.world, move.world.reassignments()[-1]
        await world.until(
            lambda: any(JOINING not in move.replicas(number) for number in FOURS), "some have left"
        )
        live_brokers.create_topic("late", {0: (JOINING, 0)})  # on the broker that leaves
        await world.until(
            lambda: world.reassignments()[-1].plan_hash != drain.plan_hash, "it is planned anew"
        )
        change(world, drain.name, undo=True)
        world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        await world.until(lambda: rests(world), "all has ended")
        ended = {r.name: r for r in world.reassignments()}
        assert ended[drain.name].state is State.UNDONE
        assert world.view.assignment().pop(("late", 0))
        live_brokers.delete_topic("late")
        wait_until(lambda: "late" not in world.view.topics(), "it is deleted")
        assert_as_before(move, FOURS)


async def test_nothing_new_is_submitted_while_a_reassignment_is_paused(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng, latest=0.3) as move:
        world, name, submitted = move.world, move.world.reassignments()[-1].name, move.submissions()
        assert move.flying()
        change(world, name, paused=True)
        await world.until(lambda: not move.flying(), "what is in flight ends")
        await world.until(lambda: not world.view.throttles(), "the throttle is taken off")
        for _ in range(10):
            await world.one_pass()
        assert move.submissions() == submitted
        assert not move.flying()
        assert world.reassignments()[-1].state is State.PAUSED
        change(world, name, paused=False)
        await move.end()
        assert move.submissions() > submitted


async def test_no_throttle_is_set_where_none_is_wanted(live_brokers: KafkaCluster) -> None:
    async with LiveWorld(live_brokers, 3, reassignment={"throttle": "0"}) as world:
        live_brokers.create_topic("unthrottled", ROWS)
        for number in ROWS:
            live_brokers.fill("unthrottled", number, SIZE)
        world.scale(4)
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)
        assert set(SUBMISSIONS) & set(world.clients.writes)
        assert "IncrementalAlterConfigs" not in world.clients.writes


async def test_the_throttle_is_for_what_moves_and_for_nothing_else(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng) as move:
        world = move.world
        plan = world.memory.plans.plan
        assert plan is not None
        expected: dict[str, dict[str, set[str]]] = {}
        for topic, partitions in plan.target.items():
            for number, after in partitions.items():
                before = plan.origin[topic][number]
                sides = {"follower": set(after) - set(before), "leader": set(before)}
                for side, brokers in sides.items() if sides["follower"] else ():
                    key = f"{side}.replication.throttled.replicas"
                    named = {f"{number}:{broker}" for broker in brokers}
                    expected.setdefault(f"topics/{topic}", {}).setdefault(key, set()).update(named)
        shown = world.view.throttles()
        rated = {name for name in shown if name.startswith("brokers/")}
        assert rated == {f"brokers/{broker}" for broker in (0, 1, 2, JOINING)}
        assert expected == {
            name: {key: set(value.split(",")) for key, value in lists.items()}
            for name, lists in shown.items()
            if name not in rated
        }
        await move.end()


async def test_the_throttle_goes_with_a_cluster_that_is_deleted(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng) as move:
        world = move.world
        assert move.flying()
        assert world.view.throttles()
        await world.reconciler.finalize(NAMESPACE, NAME)
        assert not world.view.throttles()
        assert world.reassignments()[-1].throttle is None
        await world.reconciler.release(NAMESPACE, NAME)
        assert not any(reassignment.finalizers for reassignment in world.reassignments())
        assert "ThrottleLeft" not in world.recorder.reasons()
        wait_until(lambda: not world.view.in_flight(), "what was submitted lands by itself")
        move.records.verify()


async def test_a_throttle_that_cannot_be_swept_is_named_when_its_cluster_goes(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng, latest=0.2, **SLOWEST) as move:
        world = move.world
        # A client that comes upon brokers which all have just started would not know its topic.
        await asyncio.to_thread(move.records.verify)
        left = world.view.throttles()
        assert left
        await move.lose(*range(4))
        with pytest.raises(TransientError):
            await world.reconciler.finalize(NAMESPACE, NAME)
        await world.reconciler.release(NAMESPACE, NAME)
        (told,) = (e.message for e in world.recorder.told if e.reason == "ThrottleLeft")
        named = {f"brokers/{broker}": "rate of broker 0, 1, 2, 3 and" for broker in range(4)}
        named[f"topics/{move.topic}"] = f"replicas of topic {move.topic}"
        assert left.keys() == named.keys()
        assert all(words in told for words in named.values())
        assert not any(reassignment.finalizers for reassignment in world.reassignments())
        move.give_back()
        world.pods.restore()
        wait_until(lambda: not world.view.in_flight(), "what was submitted lands by itself", 120.0)
        assert world.view.throttles() == left
        for name, its in left.items():  # as it is told to
            kind, _, entity = name.partition("/")
            for key in its:
                live_brokers.configure(KINDS[kind], entity, key, None)
        wait_until(lambda: not world.view.throttles(), "nothing of it is left")


async def test_nothing_is_written_for_a_paused_cluster(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng, latest=0.3) as move:
        world = move.world
        assert move.flying()
        world.edit(lambda spec: spec.update(paused=True))
        written = writes(world)
        await world.until(lambda: not move.flying(), "what is in flight ends")
        for _ in range(10):
            await world.one_pass()
        assert writes(world) == written
        assert world.condition("Paused") == ("True", "Paused")
        assert sum(JOINING in move.replicas(number) for number in ROWS) < len(ROWS) * 3 // 4
        world.edit(lambda spec: spec.update(paused=False))
        await move.end()


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("deleted", "deleted since"),
        ("moved", "not where the plan found them"),
        ("shortened", "of another replication factor"),
    ],
)
async def test_an_approval_is_void_once_the_cluster_is_another(
    live_brokers: KafkaCluster, rng: random.Random, way: str, why: str
) -> None:
    settings = {"approval": "Required", "throttle": FAST}
    async with LiveWorld(live_brokers, 3, reassignment=settings) as world:
        live_brokers.create_topic("kept", ROWS)
        live_brokers.create_topic("other", ROWS)
        await world.settle()
        world.scale(4)

        def waits() -> bool:
            found = world.reassignments()
            return bool(found) and found[-1].state is State.AWAITING_APPROVAL

        await world.until(waits, "a plan that waits for approval")
        old = world.reassignments()[-1]
        parts = [world.kube.find("ConfigMap", NAMESPACE, name) for name in old.config_maps]
        plan = read_plan([part for part in parts if part is not None])
        planned = [tp.partition for tp, _, _ in changes(plan) if tp.topic == "other"]
        approval = partial(change, world, old.name, approvedPlan=old.plan_hash)
        another = partial(alter, live_brokers, world, rng.choice(planned), way)
        approved_first = rng.random() < 0.5
        if approved_first:
            approval()
        await another()
        if not approved_first:
            approval()
        before = {tp: row for tp, row in world.view.assignment().items() if tp[0] == "kept"}
        await world.until(
            lambda: waits() and world.reassignments()[-1].plan_hash != old.plan_hash,
            "another plan that waits",
        )
        new = world.reassignments()[-1]
        assert new.name == old.name
        assert new.state is State.AWAITING_APPROVAL
        told = next(c for c in new.status["conditions"] if c["type"] == "Approved")["message"]
        assert why in told
        assert old.plan_hash in told
        now = world.view.assignment()
        assert {tp: now[tp] for tp in before} == before, "what was approved did not begin"
        change(world, new.name, approvedPlan=new.plan_hash)
        await world.settle()
        world.assert_at_rest(0, 1, 2, 3)


async def alter(cluster: KafkaCluster, world: LiveWorld, number: int, way: str) -> None:
    """Let people change the topic `other`, or one of its partitions, while a plan waits."""
    if way == "deleted":
        cluster.delete_topic("other")
        wait_until(lambda: "other" not in world.view.topics(), "it is deleted")
        return
    now = tuple(world.view.assignment()["other", number])
    wanted = now[::-1] if way == "moved" else now[:2]
    async with tool(cluster) as admin:
        await admin.reassign({"other": {number: wanted}})

    def there() -> bool:
        return world.view.assignment()["other", number] == list(wanted)

    wait_until(lambda: there() and not world.view.in_flight(), "it is there")


async def test_moves_back_to_a_broker_that_is_not_wanted_and_never_returns_are_sent_back(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    """A user takes back what empties a broker; it dies under that, and is no longer waited for."""
    async with moving(live_brokers, rng, scale=(4, 3), rows=FOURS, latest=0.1) as move:
        world, drain = move.world, move.world.reassignments()[-1].name
        world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        await world.until(
            lambda: sum(JOINING not in move.replicas(n) for n in FOURS) > 3, "some have left"
        )
        world.edit(lambda spec: spec["reassignment"].update(SLOWEST))
        change(world, drain, undo=True)

        def back() -> bool:
            undone = world.reassignments()[-1].cause is Cause.UNDO
            return undone and any(move.has_begun(number, JOINING) for number in move.flying())

        await world.until(back, "it is moved back, and has some of that on disk")
        world.pods.held.add(JOINING)
        live_brokers.kill_broker(JOINING)
        await world.until(lambda: JOINING not in world.view.brokers(), "its session ends")
        hung = move.flying()
        assert hung
        for _ in range(5):
            await world.one_pass()
        assert move.flying() == hung, "it may come back"
        told = world.recorder.reasons().count("SentBack")
        world.clock.ahead += UNWANTED_SECONDS
        await world.until(lambda: not move.flying(), "nothing is in flight any more")
        assert world.recorder.reasons().count("SentBack") == told + 1
        assert not any(JOINING in move.replicas(number) for number in hung)
        await world.until(
            lambda: (
                "broker 3, which is not wanted any more, has been away for more than 1 min"
                in move.blocked_by()
            ),
            "the Reassignment tells what it waits for",
        )
        assert world.removed == []
        undo = world.reassignments()[-1].name
        assert f"to let it go, delete Reassignments {undo} and {drain}" in move.blocked_by()
        # It returns, but not before they are gone; were it not to, it would be let go as it is.
        world.edit(lambda spec: spec.update(paused=True))
        for name in (undo, drain):
            world.kube.remove("Reassignment", NAMESPACE, name)
        move.give_back()
        await world.until(lambda: JOINING in world.view.brokers(), "it is back")
        world.edit(lambda spec: spec.update(paused=False))
        world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        # Nobody told it, while it was down, to delete what it had of the moves that were sent back.
        await world.until(lambda: "on disk" in world.message("Reconciling"), "strays are left")
        world.clock.ahead += STRAY_SECONDS
        await move.end(*range(3))
        assert world.removed == [JOINING]


async def test_a_broken_promise_stops_a_move_until_it_holds_again(
    racked_brokers: KafkaCluster, rng: random.Random
) -> None:
    # Brokers 0 and 3 share a rack, so four partitions go from the one to the other, three at first.
    async with moving(racked_brokers, rng, latest=0.3) as move:
        world, name = move.world, move.world.reassignments()[-1].name
        change(world, name, paused=True)
        world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        await world.until(lambda: not move.flying(), "the first batch lands")
        number = next(n for n in ROWS if JOINING in move.replicas(n))
        planned = move.replicas(number)
        await crowd(racked_brokers, move, number, [JOINING, 0, 2])
        submitted = move.submissions()
        change(world, name, paused=False)
        stalled = ("True", "PromiseBroken")
        await world.until(lambda: world.condition("Stalled") == stalled, "it is stopped")
        for _ in range(5):
            await world.one_pass()
        assert move.submissions() == submitted
        assert not world.view.throttles()
        assert "rack" in world.message("Stalled")
        assert f"{move.topic}-{number}" in world.message("Stalled")
        assert "undo the Reassignment (spec.undo: true), or delete it" in world.message("Stalled")
        await crowd(racked_brokers, move, number, planned)
        await world.until(lambda: rests(world), "all has ended")
        load = world.view.load()
        assert load[0] == load[JOINING] == len(ROWS) // 2
        for row in world.view.assignment().values():
            assert len({RACKS[broker] for broker in row}) == len(row)
        move.records.verify()


async def crowd(cluster: KafkaCluster, move: Move, number: int, replicas: list[int]) -> None:
    """Move one partition with a tool that is not the operator's; return when it is there."""
    async with tool(cluster) as admin:
        await admin.reassign({move.topic: {number: tuple(replicas)}})
    wait_until(
        lambda: move.replicas(number) == replicas and number not in move.flying(), "it is there"
    )


async def test_a_throttle_that_can_never_catch_up_is_told_with_one_that_can(
    live_brokers: KafkaCluster,
) -> None:
    settings = {"throttle": "8Ki", "maxMovesPerBroker": 3}
    async with LiveWorld(live_brokers, 3, reassignment=settings) as world:
        live_brokers.create_topic("busy", ROWS, {"min.insync.replicas": "2"})
        partitions = [("busy", number) for number in ROWS]
        with Records(live_brokers.bootstrap, partitions) as records:
            records.fill(3_000_000)  # what comes in at first, whatever the rate, is less
            await world.settle()
            world.scale(4)

            def told() -> str:
                found = world.reassignments()
                why = "; ".join(found[-1].status.get("blockedBy") or []) if found else ""
                return why if "cannot catch up" in why else ""

            await world.until(told, "it is told")
            advice = re.search(r"set (\S+) to at least (\d+[KM]i)", told())
            assert advice, told()
            assert advice[1] == "spec.reassignment.throttle"
            world.edit(lambda spec: spec["reassignment"].update(throttle=advice[2]))
            await world.until(lambda: not told(), "the advised throttle is enough")
            world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
            await world.settle()
            world.assert_at_rest(0, 1, 2, 3)
            records.verify()
