"""The spec, or the cluster, changes while something is under way."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from broker_operator.core.model import (
    FOLLOWER_RATE,
    LEADER_RATE,
    LEADER_REPLICAS,
    PartitionState,
    Throttle,
)
from broker_operator.core.render.reassignment import read_plan
from broker_operator.ports import ConflictError, TransientError
from broker_operator.reconcile import gather
from broker_operator.reconcile.steps import throttle as throttle_step
from tests.fakes.kafka import FakeBrokerAdmin
from tests.unit.reconcile.world import NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker_operator.core.facts import StoredPlan
    from broker_operator.core.model import KubeObject
    from tests.fakes.kube import Call

SLOW = {"maxMovesPerBroker": 1}


async def mid_drain(throttle: str = "50Mi") -> World:
    """Return a world half-way from 4 to 3 brokers, with a batch in flight."""
    world = await filled_world(4, reassignment=SLOW | {"throttle": throttle})
    full = world.load()[3]
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    world.kafka.complete()
    await world.one_pass()
    await world.until(lambda: bool(world.in_flight()))
    assert 1 < world.load()[3] <= full
    return world


async def test_a_drain_that_is_taken_back_sends_nothing_more_off_the_broker() -> None:
    world = await mid_drain()
    held = {tp for tp, r in world.assignment().items() if 3 in r} - set(world.in_flight())
    world.scale(4)
    await world.one_pass()
    world.kafka.complete_after = 1
    await world.settle()
    assert held <= {tp for tp, replicas in world.assignment().items() if 3 in replicas}
    world.assert_at_rest(0, 1, 2, 3)
    assert not world.removed


async def test_a_replacement_counts_its_own_moves_only() -> None:
    world = await mid_drain()
    world.scale(4)
    world.kafka.complete_after = 1
    await world.settle()
    drain, back = world.reassignments()
    assert not drain.succeeded
    assert back.succeeded
    plan = back.status["plan"]
    assert 0 <= plan["lowerBound"] <= plan["moves"] <= 3
    assert back.status["progress"]["percent"] == 100


async def test_the_superseded_drain_says_why_it_ended() -> None:
    world = await mid_drain()
    world.scale(4)
    world.kafka.complete_after = 1
    await world.settle()
    conditions = world.reassignments()[0].status["conditions"]
    assert {c["reason"] for c in conditions if c["type"] == "Complete"} == {"Superseded"}
    assert "SupersededReassignment" in world.recorder.reasons()


@pytest.mark.parametrize("back", [3, 4, 5])
@pytest.mark.parametrize(("before", "after"), [(3, 4), (4, 3)])
async def test_replicas_may_change_again_at_every_stage(before: int, after: int, back: int) -> None:
    world = await filled_world(before)
    world.scale(after)
    stages = 0
    while world.condition("Reconciling") or stages < 2:
        branch = deepcopy(world)
        branch.scale(back)
        await branch.settle()
        branch.assert_at_rest(*range(back))
        await world.one_pass()
        stages += 1
    assert stages > 5


async def test_a_topic_created_during_a_drain_ends_off_the_leaving_broker() -> None:
    world = await mid_drain()
    world.kafka.create_topic("late", {0: (3, 0), 1: (1, 3)}, size=10)
    world.kafka.complete_after = 1
    await world.settle()
    assert world.load()[3] == 0
    assert world.removed == [3]
    assert [r.succeeded for r in world.reassignments()] == [True]


async def test_partitions_added_during_a_drain_end_off_the_leaving_broker() -> None:
    world = await mid_drain()
    world.kafka.create_topic("orders", {6: (3, 1)}, size=10)
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]


async def test_a_topic_created_after_the_drain_is_drained_too() -> None:
    world = await filled_world(4)
    world.scale(3)
    await world.until(lambda: world.load()[3] == 0 and not world.in_flight())
    world.kafka.create_topic("late", {0: (3, 0)}, size=10)
    await world.settle()
    assert world.removed == [3]
    assert world.load()[3] == 0


async def test_a_topic_deleted_in_mid_move_is_forgotten() -> None:
    world = await mid_drain()
    world.kafka.delete_topic("orders")
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert not world.throttled()


async def test_a_changed_replication_factor_is_planned_anew_and_kept() -> None:
    world = await mid_drain()
    world.kafka.complete()
    tp = next(tp for tp, replicas in world.assignment().items() if 3 in replicas)
    world.kafka.topics[tp[0]][tp[1]].state = PartitionState((3, 0, 1))
    world.kafka.topics[tp[0]][tp[1]].isr = [3, 0, 1]
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert len(world.assignment()[tp]) == 3


def rates(world: World) -> set[str]:
    """Every rate that is set on a broker."""
    return {v for configs in world.kafka.broker_configs.values() for v in configs.values()}


@pytest.mark.parametrize("brokers", [3, 5])
async def test_a_changed_throttle_reaches_what_is_in_flight(brokers: int) -> None:
    """Be it on its way by the plan, or by one that was given up and is only landing."""
    world = await mid_drain()
    flying = world.in_flight()
    assert rates(world) == {str(50 * 1024**2)}
    world.scale(brokers)
    world.edit(lambda spec: spec["reassignment"].update(throttle="7Mi"))
    await world.until(lambda: rates(world) == {str(7 * 1024**2)})
    assert world.in_flight() == flying
    world.edit(lambda spec: spec["reassignment"].update(throttle="0"))
    await world.until(lambda: not world.throttled())
    assert world.in_flight() == flying
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(*range(brokers))


async def test_an_operator_that_restarts_in_mid_move_leaves_the_throttle_as_it_was() -> None:
    world = await mid_drain()
    before = deepcopy((world.kafka.broker_configs, world.kafka.topic_configs))
    world.kafka.delete_topic("orders")
    world.restart_operator()
    for _ in range(3):
        await world.one_pass()
    brokers, topics = before
    assert world.kafka.broker_configs == brokers
    assert world.kafka.topic_configs == {t: c for t, c in topics.items() if t != "orders"}
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert not world.throttled()


async def test_a_new_throttle_does_not_wait_for_a_broker_that_is_away() -> None:
    """What is in flight must not run unthrottled until it is back."""
    world = await mid_drain()
    world.broken[1] = "CrashLoopBackOff"
    world.kubelet()
    world.edit(lambda spec: spec["reassignment"].update(throttle="7Mi"))
    await world.until(lambda: rate_of(world, 0) == str(7 * 1024**2))
    assert rate_of(world, 1) == str(50 * 1024**2)
    assert world.in_flight()
    del world.broken[1]
    world.kubelet()
    await world.until(lambda: rate_of(world, 1) == str(7 * 1024**2))
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_throttle_on_a_broker_that_left_while_it_was_down_is_swept_when_it_returns() -> (
    None
):
    world = await mid_drain()
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert world.reassignments()[-1].succeeded
    assert rate_of(world, 3) == str(50 * 1024**2)
    del world.broken[3]
    world.recorder.told.clear()
    world.scale(4)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert "ForeignThrottle" not in world.recorder.reasons()


async def test_a_move_to_a_broker_that_died_ends_when_it_is_given_up() -> None:
    world = await filled_world(3, reassignment=SLOW)
    before = world.assignment()
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    for _ in range(5):
        await world.one_pass()
    assert world.in_flight(), "it may come back"
    world.scale(3)
    await world.until(lambda: not world.in_flight())
    world.kafka.complete_after = 1
    await world.settle()
    assert world.assignment() == before, "in the old order, too"
    assert not world.in_flight()
    assert not any(rate_of(world, b) for b in (0, 1, 2))
    assert world.removed == [3]
    assert "SentBack" in world.recorder.reasons()


async def test_a_move_is_not_sent_back_to_where_nobody_leads() -> None:
    """The replica that was added leads, and may be the only one in sync: it would be deleted."""
    world = await filled_world(3, reassignment=SLOW)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    world.scale(3)
    flying = [part for tp, part in world.partitions() if tp in world.in_flight()]
    for partition in flying:
        partition.leader = None
    await world.one_pass()
    world.clock.seconds += 60
    for _ in range(3):
        await world.one_pass()
    assert world.condition("Stalled") == ("True", "TargetBrokerDown")
    assert world.in_flight()
    for partition in flying:
        partition.leader = partition.state.origin[0]
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    assert "SentBack" in world.recorder.reasons()


@pytest.mark.parametrize("first", ["deleted", "scaled"])
async def test_a_reassignment_deleted_while_its_moves_hang_ends_all_the_same(first: str) -> None:
    world = await filled_world(3, reassignment=SLOW)
    before = world.assignment()
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    if first == "scaled":
        world.scale(3)
        await world.one_pass()
    world.kube.remove("Reassignment", NAMESPACE, "demo-1")
    for _ in range(5):
        await world.one_pass()
    world.scale(3)
    await world.one_pass()
    world.clock.seconds += 60
    world.kafka.complete_after = 1
    await world.settle()
    assert world.assignment() == before
    assert world.removed == [3]
    assert world.reassignments() == []


async def test_a_topic_that_cannot_be_deleted_yet_is_not_submitted_for_ever() -> None:
    """ZooKeeper lists it until all of its brokers have answered; Kafka mentions it no more."""
    world = await mid_drain()
    world.kafka.complete()
    unmoved = next(topic for (topic, _), where in world.assignment().items() if 3 in where)
    world.kafka.deleting.add(unmoved)
    world.kafka.complete_after = 1
    await world.settle()
    assert world.condition("Reconciling") == ("True", "Moving")
    world.forget_writes()
    for _ in range(10):
        await world.one_pass()
    assert world.writes() == []
    world.kafka.deleting.clear()
    world.kafka.delete_topic(unmoved)
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_topic_that_kafka_does_not_mention_for_a_moment_is_swept_all_the_same() -> None:
    world = await mid_drain()
    world.kafka.deleting.add("orders")
    world.edit(lambda spec: spec["reassignment"].update(throttle="0"))
    await world.until(lambda: not world.throttled())
    world.edit(lambda spec: spec["reassignment"].update(throttle="7Mi"))
    await world.until(lambda: bool(world.kafka.topic_configs.get("payments")))
    assert not world.kafka.topic_configs.get("orders")
    world.kafka.deleting.clear()
    await world.until(lambda: bool(world.kafka.topic_configs.get("orders")))
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_stored_plan_is_read_once_while_it_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be of a hundred thousand partitions, and a pass is made every second."""
    read: list[StoredPlan] = []

    def reading(config_maps: Sequence[KubeObject]) -> StoredPlan:
        read.append(read_plan(config_maps))
        return read[-1]

    monkeypatch.setattr(gather, "read_plan", reading)
    world = await mid_drain()
    for _ in range(5):
        await world.one_pass()
    assert len(read) == 1


async def test_a_throttle_that_holds_lagging_replicas_back_is_lifted() -> None:
    world = await mid_drain()
    world.kafka.complete()
    (_, partition), *_ = world.partitions()
    lost = next(b for b in partition.isr if b not in {partition.leader, 3})
    partition.isr.remove(lost)
    for _ in range(4):
        await world.one_pass()
    assert world.throttled()
    assert world.condition("Reconciling") == ("True", "UnderReplicated")
    world.clock.seconds += 10
    await world.until(lambda: not world.throttled())
    assert not world.in_flight()
    partition.isr.append(lost)
    await world.until(lambda: bool(world.in_flight()))
    assert world.throttled()
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)


def rate_of(world: World, broker: int) -> str | None:
    return world.kafka.broker_configs.get(broker, {}).get(LEADER_RATE)


async def test_no_throttle_means_none_is_ever_set() -> None:
    world = await filled_world(3, reassignment={"throttle": "0"})
    world.scale(4)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)
    assert "IncrementalAlterConfigs" not in world.kafka.writes


@pytest.mark.parametrize(
    "damage",
    [
        lambda kube, parts: kube.remove("ConfigMap", NAMESPACE, parts[0]),
        lambda kube, parts: kube.edit(
            "ConfigMap", NAMESPACE, parts[1], lambda b: b.update(binaryData={})
        ),
        lambda kube, parts: kube.edit(
            "ConfigMap",
            NAMESPACE,
            parts[1],
            lambda b: b.update(binaryData={"target.json.gz": "!"}),
        ),
    ],
    ids=["deleted", "emptied", "edited"],
)
async def test_a_damaged_plan_is_made_anew(damage: object) -> None:
    world = await mid_drain()
    assert callable(damage)
    damage(world.kube, world.reassignments()[-1].config_maps)
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.removed == [3]


async def test_a_plan_swapped_for_another_valid_one_is_not_followed() -> None:
    world = await mid_drain()
    first, second = world.reassignments()[-1].config_maps
    origin = world.kube.find("ConfigMap", NAMESPACE, first)
    assert origin is not None
    content = {"target.json.gz": origin["binaryData"]["origin.json.gz"]}
    world.kube.edit("ConfigMap", NAMESPACE, second, lambda b: b.update(binaryData=content))
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_reassignment_deleted_in_mid_move_is_swept_released_and_made_anew() -> None:
    world = await mid_drain()
    assert world.throttled()
    world.kube.remove("Reassignment", NAMESPACE, "demo-1")
    assert [r.deleting for r in world.reassignments()] == [True]
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert "demo-1" not in [r.name for r in world.reassignments()]
    assert world.removed == [3]


async def test_a_deleted_reassignment_waits_for_every_broker_that_it_has_to_sweep() -> None:
    world = await mid_drain()
    world.kafka.complete()
    world.broken[1] = "CrashLoopBackOff"
    world.kubelet()
    world.kube.remove("Reassignment", NAMESPACE, "demo-1")
    await world.settle()
    assert set(world.kafka.broker_configs[1])
    assert not any(world.kafka.broker_configs[b] for b in (0, 2, 3))
    (held,) = world.reassignments()
    assert held.throttle is not None
    assert held.throttle.brokers == (1,)
    del world.broken[1]
    world.kafka.complete_after = 1
    await world.settle()
    assert world.removed == [3]
    world.assert_at_rest(0, 1, 2)


@pytest.mark.parametrize("moment", ["at rest", "in mid-move", "done moving"])
async def test_a_wiped_status_changes_nothing_in_the_end(moment: str) -> None:
    world = await filled_world(4)
    if moment != "at rest":
        world.scale(3)
        reached = {
            "in mid-move": lambda: bool(world.in_flight()),
            "done moving": lambda: any(r.succeeded for r in world.reassignments()),
        }[moment]
        await world.until(reached)
    world.kube.edit("BrokerCluster", NAMESPACE, "demo", lambda body: body.pop("status", None))
    await world.settle()
    world.assert_at_rest(*range(4 if moment == "at rest" else 3))
    assert world.status["clusterId"] == "fake-cluster"


@pytest.mark.parametrize(
    ("throttle", "expected"),
    [("1Mi", (1.0, 2.0, 5.0)), ("500Mi", (1.0, 1.0, 1.0)), ("0", (1.0, 2.0, 5.0))],
)
async def test_what_takes_long_is_looked_at_less_often(
    throttle: str, expected: tuple[float, ...]
) -> None:
    """At 500 MiB/s, what is in flight is due at any moment."""
    world = await flying_slowly(throttle)
    began = world.clock.seconds
    seen: list[float] = []
    for after in (4.0, 10.0, 40.0):
        while world.clock.seconds - began < after:
            await world.one_pass()
        seen.append(world.results[-1].delay or 0.0)
    assert seen == [pytest.approx(delay, abs=0.6) for delay in expected]
    first = world.in_flight()
    world.kafka.complete()
    await world.until(lambda: world.in_flight() not in (first, []))
    await world.one_pass()
    assert world.results[-1].delay == 1.0, "the next batch begins anew"


async def test_what_may_be_due_before_the_next_look_is_looked_at_by_then() -> None:
    world = await flying_slowly("14Mi")  # 7.2 s at least for the half that is missing
    delays = []
    for _ in range(20):
        await world.one_pass()
        delays.append(world.results[-1].delay or 0.0)
    assert max(delays) > 3.0
    assert all(one + another < 7.2 for one, another in pairwise(delays))


async def flying_slowly(throttle: str) -> World:
    """Return a world with a partition of 200 MiB in flight that never arrives, and more to move."""
    settings = {"throttle": throttle, "maxMovesPerBroker": 1}
    world = await filled_world(3, reassignment=settings)
    for _, partition in world.partitions():
        partition.size = 200 * 1024**2
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    return world


async def test_setting_a_throttle_goes_on_from_where_it_was_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[set[str]] = []
    real = FakeBrokerAdmin.set_throttle

    async def cut_off(admin: FakeBrokerAdmin, throttle: Throttle) -> None:
        asked.append({*throttle.leader_replicas, *throttle.follower_replicas})
        if len(asked) == 1:
            first = min(asked[0])
            leading, following = (
                {first: its[first]}
                for its in (throttle.leader_replicas, throttle.follower_replicas)
            )
            await real(admin, Throttle(throttle.rate, (), leading, following))
            raise TransientError("cut off")
        await real(admin, throttle)

    monkeypatch.setattr(FakeBrokerAdmin, "set_throttle", cut_off)
    world = await mid_drain()
    assert len(asked[0]) > 1
    assert asked[1] == asked[0] - {min(asked[0])}
    assert asked[0] == {topic for topic, configs in world.kafka.topic_configs.items() if configs}
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)


async def test_a_sweep_of_very_many_topics_goes_by_what_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttle_step, "MANY_TOPICS", 1)
    swept: list[set[str]] = []
    real = FakeBrokerAdmin.clear_throttle

    async def clear(admin: FakeBrokerAdmin, throttle: Throttle) -> None:
        swept.append({*throttle.leader_replicas, *throttle.follower_replicas})
        await real(admin, throttle)

    monkeypatch.setattr(FakeBrokerAdmin, "clear_throttle", clear)
    world = await mid_drain()
    shown = {topic for topic, configs in world.kafka.topic_configs.items() if configs}
    gone = min(shown)
    world.kafka.topic_configs[gone].clear()
    world.kafka.complete_after = 1
    await world.settle()
    assert swept == [shown - {gone}]
    world.assert_at_rest(0, 1, 2)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("throttle", ["50Mi", "Adaptive"])
async def test_a_reassignment_whose_status_is_wiped_still_sweeps_its_throttle(
    throttle: str, *, restarted: bool
) -> None:
    world = await mid_drain(throttle)
    assert world.throttled()
    world.kube.edit("Reassignment", NAMESPACE, "demo-1", lambda body: body.pop("status"))
    if restarted:
        world.restart_operator()
    world.kafka.complete_after = 1
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.removed == [3]


async def test_a_wiped_status_lets_nobody_take_a_foreign_throttle_for_ours() -> None:
    world = await mid_drain()
    foreign = {"leader.replication.throttled.rate": "7"}
    for broker in range(4):
        world.kafka.broker_configs[broker] = dict(foreign)
    world.kafka.topic_configs.clear()
    world.kube.edit("Reassignment", NAMESPACE, "demo-1", lambda body: body.pop("status"))
    world.kafka.complete_after = 1
    await world.settle()
    assert all(world.kafka.broker_configs[broker] == foreign for broker in range(3))
    assert world.removed == [3]


def rate(mebibytes: int) -> dict[str, str]:
    """Return what an administrator sets on a broker to hold its replication back."""
    return dict.fromkeys((LEADER_RATE, FOLLOWER_RATE), str(mebibytes * 1024**2))


def theirs_is_left(world: World, theirs: dict[int, dict[str, str]]) -> None:
    """See that these rates are set still, and nothing else."""
    assert {b: c for b, c in world.kafka.broker_configs.items() if c} == theirs
    assert not any(world.kafka.topic_configs.values())


@pytest.mark.parametrize("throttle", ["20Mi", "Adaptive"])
@pytest.mark.parametrize("lists", [{}, {"orders": {LEADER_REPLICAS: "*"}}])
async def test_a_plan_that_could_not_be_recorded_makes_no_foreign_throttle_ours(
    throttle: str, lists: dict[str, dict[str, str]]
) -> None:
    """A user's patch comes between the ConfigMaps and the status that names them."""
    world = await filled_world(4, reassignment=SLOW | {"throttle": throttle})
    world.kafka.broker_configs[1] = rate(20)
    world.kafka.topic_configs.update(deepcopy(lists))
    refused: list[Call] = []

    def patched(call: Call) -> None:
        stored = bool(found_parts(world))
        if call.verb == "apply_status" and call.kind == "Reassignment" and stored and not refused:
            refused.append(call)
            raise ConflictError("somebody has changed it")

    world.kube.before = patched
    world.scale(3)
    await world.settle()
    assert refused
    assert world.removed == [3]
    assert world.kafka.broker_configs[1] == rate(20)
    assert {t: c for t, c in world.kafka.topic_configs.items() if c} == lists
    assert not any(world.kafka.broker_configs.get(b) for b in (0, 2))
    assert world.recorder.reasons().count("ForeignThrottle") == 1


@pytest.mark.parametrize("throttle", ["50Mi", "Adaptive"])
async def test_a_wiped_status_leaves_a_foreign_throttle_and_still_sweeps_ours(
    throttle: str,
) -> None:
    world = await filled_world(4, reassignment=SLOW | {"throttle": throttle})
    world.kafka.broker_configs[1] = rate(20)
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    assert set(world.kafka.broker_configs) == {0, 1, 2, 3}
    world.kube.edit("Reassignment", NAMESPACE, "demo-1", lambda body: body.pop("status"))
    world.kafka.complete()
    world.kafka.complete_after = 1
    await world.settle()
    theirs_is_left(world, {1: rate(20)})
    assert world.removed == [3]
    assert all(r.throttle is None for r in world.reassignments())


async def test_the_plan_of_a_former_reassignment_of_that_name_proves_nothing() -> None:
    """It is still there: the garbage collector has not come yet."""
    world = await mid_drain()
    was = deepcopy(world.kafka.broker_configs), deepcopy(world.kafka.topic_configs)
    for part in found_parts(world):
        world.kube.edit(
            "ConfigMap",
            NAMESPACE,
            part,
            lambda body: body["metadata"]["ownerReferences"][0].update(uid="former"),
        )
    world.kube.edit("Reassignment", NAMESPACE, "demo-1", lambda body: body.pop("status"))
    world.kafka.complete_after = 1
    await world.settle()
    assert (world.kafka.broker_configs, world.kafka.topic_configs) == was
    assert world.removed == [3]


def found_parts(world: World) -> list[str]:
    """Names of the ConfigMaps that hold a plan."""
    names = [body["metadata"]["name"] for body in world.kube.all("ConfigMap")]
    return [name for name in names if "-plan-" in name]


async def test_a_broker_lost_in_mid_move_holds_the_move_up_until_it_is_back() -> None:
    world = await mid_drain()
    world.broken[1] = "CrashLoopBackOff"
    world.kafka.complete_after = 1
    await world.settle()
    assert not world.removed
    assert world.condition("Stalled") == ("True", "BrokersNotReady")
    assert "demo-broker-1: CrashLoopBackOff" in world.message("Stalled")
    blocked = world.status["reassignment"]["blockedBy"]
    assert any("demo-broker-1: CrashLoopBackOff" in sentence for sentence in blocked)
    del world.broken[1]
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    assert world.removed == [3]


async def test_a_leaving_broker_that_dies_is_drained_from_the_other_replicas() -> None:
    world = await mid_drain()
    world.broken[3] = "CrashLoopBackOff"
    world.kafka.complete_after = 1
    await world.settle()
    assert world.load()[3] == 0
    assert world.removed == [3]
