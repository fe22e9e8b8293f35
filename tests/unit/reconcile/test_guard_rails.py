"""What a plan may not do is refused before any of it is done, with the numbers and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from broker_operator.api.reassignment import State
from broker_operator.core.fit import misfit
from broker_operator.reconcile.steps import plan
from tests.unit.reconcile.test_control import ask, change, found, told, waiting_world
from tests.unit.reconcile.world import NAMESPACE, World, filled_world

MIB = 1024**2


def resize(world: World, broker: int, size: str) -> None:
    """Say how large a broker's volume is, as the provisioner does once it has made or grown it."""
    world.kube.edit(
        "PersistentVolumeClaim",
        NAMESPACE,
        f"data-demo-broker-{broker}",
        lambda body: body.update(status={"capacity": {"storage": size}}),
    )


def blocked(world: World) -> list[str]:
    """What holds the reassignment up, or the cluster if there is none."""
    found: list[str] = world.status.get("reassignment", {}).get("blockedBy", [])
    return found or [c["message"] for c in world.status.get("conditions", ())]


async def test_an_approved_plan_does_not_start_without_room_for_it() -> None:
    """It was checked when it was made, perhaps days ago, and producers have written since."""
    world = await waiting_world()
    plan = found(world, "demo-1").plan_hash
    for partition in world.kafka.topics["orders"].values():
        partition.size = 9 * 1024 * MIB
    change(world, "demo-1", approvedPlan=plan)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    message = world.message("Stalled")
    assert f"plan {plan} of demo-1 does not start before there is room for it: broker 3" in message
    assert "(holds 0 B, receives 27.0 GiB, of 10.0 GiB); the limit is 85 %" in message
    assert "to give it up: kubectl patch ra demo-1 -n team" in message
    assert found(world, "demo-1").state is State.STALLED
    assert not found(world, "demo-1").started
    assert not world.load()[3]
    for partition in world.kafka.topics["orders"].values():
        partition.size = 1000
    await world.settle()
    assert found(world, "demo-1").plan_hash == plan
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_plan_that_finds_no_room_at_its_start_can_be_given_up() -> None:
    world = await waiting_world()
    for partition in world.kafka.topics["orders"].values():
        partition.size = 9 * 1024 * MIB
    change(world, "demo-1", approvedPlan=found(world, "demo-1").plan_hash)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    change(world, "demo-1", undo=True)
    await world.settle()
    assert found(world, "demo-1").state is State.UNDONE
    assert world.condition("Stalled") is None


async def test_a_plan_waits_until_a_broker_that_gets_something_tells_what_it_holds() -> None:
    """It has just registered. Whoever does not tell may be full."""
    world = await filled_world(3)
    world.scale(4)
    world.kafka.strays[3] = {"old": {0: 9 * 1024 * MIB}}
    world.kafka.silent = {3}
    await world.settle()
    assert world.condition("Reconciling") == ("True", "DiskUnknown")
    assert world.condition("Stalled") is None
    assert world.message("Reconciling") == (
        "whether there is room on the disks cannot be told, for broker 3 does not answer; nothing "
        "is planned before"
    )
    assert world.results[-1].delay == 2.0
    assert world.reassignments() == []
    assert not world.kafka.moved
    world.kafka.silent.clear()
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk"), "it was full indeed"
    assert not world.kafka.moved
    world.kafka.strays.clear()
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_plan_waits_until_somebody_tells_how_large_it_is_what_moves() -> None:
    world = await filled_world(3)
    world.kafka.create_topic("alone", {0: (2,)}, size=9 * 1024 * MIB)
    ask(world, "mine", evacuate=[2])
    world.kafka.silent = {2}
    await world.settle()
    assert "for broker 2 does not answer; nothing is planned before" in str(blocked(world))
    assert not found(world, "mine").finished
    assert not world.kafka.moved
    world.kafka.silent.clear()
    await world.settle()
    assert found(world, "mine").state is State.REFUSED
    assert "receives 9.0 GiB" in told(world, "mine")


async def test_nobody_waits_for_a_broker_of_which_nothing_must_be_known() -> None:
    """It gets nothing, and of all that it holds another one tells the size."""
    world = await filled_world(3, reassignment={"throttle": "0"})
    ask(world, "mine", evacuate=[2])
    world.kafka.silent = {2}
    await world.until(lambda: bool(world.kafka.moved))


async def test_an_approved_plan_does_not_start_while_a_disk_is_unknown() -> None:
    world = await waiting_world()
    plan = found(world, "demo-1").plan_hash
    world.kafka.silent = {3}
    change(world, "demo-1", approvedPlan=plan)
    await world.settle()
    assert world.condition("Stalled") is None
    (message,) = blocked(world)
    assert message.startswith(f"plan {plan} of demo-1 does not start before it is known whether")
    assert "there is room for it on the disks: broker 3 does not answer" in message
    assert not found(world, "demo-1").started
    assert not world.throttled()
    world.kafka.silent.clear()
    await world.settle()
    assert found(world, "demo-1").plan_hash == plan
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_volume_that_was_enlarged_by_hand_has_the_room_that_it_has() -> None:
    world = await filled_world(4, storage={"size": "100Mi"})
    world.kafka.create_topic("big", {n: (3, n) for n in range(3)}, size=60 * MIB)
    world.scale(3)
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    assert "of 100.0 MiB)" in world.message("Stalled")
    for broker in (0, 1):
        resize(world, broker, "1Gi")
    await world.settle()
    assert world.condition("Stalled") == ("True", "NotEnoughDisk")
    assert "broker 2 would be" in world.message("Stalled")
    resize(world, 2, "1Gi")
    await world.settle()
    world.assert_at_rest(0, 1, 2)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(
            {"evacuate": [100, 101]},
            "2 of 2 replicas in rack a, where 1 would do; ask for other brokers",
            id="two replicas in one rack",
        ),
        pytest.param(
            {"topics": ["orders"], "replicationFactor": 1},
            "1 replica, while min.insync.replicas is 2; ask for",
            id="fewer replicas than must be in sync",
        ),
    ],
)
async def test_a_plan_that_breaks_a_promise_is_refused_before_it_waits_for_approval(
    spec: dict[str, Any], words: str
) -> None:
    racks = [{"name": name, "nodeSelector": {"rack": name}} for name in "ab"]
    world = World(4, racks=racks, reassignment={"approval": "Required"})
    await world.settle()
    dealt = {n: (n % 2, 100 + n % 2) for n in range(6)}
    world.kafka.create_topic("orders", dealt, size=1000)
    world.kafka.min_insync = 2
    await world.settle()
    before = world.assignment()
    ask(world, "mine", **spec)
    await world.settle()
    assert found(world, "mine").state is State.REFUSED
    assert words in told(world, "mine")
    assert not found(world, "mine").plan_hash
    assert world.assignment() == before
    assert world.condition("Stalled") is None


async def test_brokers_that_are_missing_are_counted_before_and_between_batches() -> None:
    world = await filled_world(3, reassignment={"maxMovesPerBroker": 1})
    world.refused = {3}
    world.scale(4)
    said = "BrokersNotReady: 3 of 4 brokers are registered; partitions move once broker 3 is, too"
    await world.until(lambda: said in world.memory.said)
    world.refused.clear()
    await world.until(lambda: bool(world.load()[3]) and not world.in_flight())
    world.kafka.stop_broker(1)
    await world.reconciler.run("team", "demo", world.memory)
    said = "3 of 4 brokers are registered; no further batch before broker 1 is again"
    assert said in blocked(world)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_who_is_behind_is_named_with_how_much() -> None:
    world = await filled_world(3, reassignment={"maxMovesPerBroker": 1})
    world.scale(4)
    await world.until(lambda: bool(world.load()[3]) and not world.in_flight())
    late = [part for _, part in world.partitions() if part.leader != 1 and 1 in part.isr]
    for part in late:
        part.isr.remove(1)
    await world.one_pass()
    (message,) = [text for text in blocked(world) if "catch up" in text]
    assert message.startswith(f"{len(late)} partitions wait for live replicas to catch up (")
    assert f") on broker 1 ({len(late)}); no further batch before. If that lasts, see" in message
    for part in late:
        part.isr.append(1)
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


@pytest.mark.parametrize("who", ["ZooKeeper", "Kafka"])
async def test_who_does_not_answer_is_named_with_where_to_look(who: str) -> None:
    world = await filled_world(3)
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    world.kafka.ensemble_down = who == "ZooKeeper"
    world.kafka.silent = set() if who == "ZooKeeper" else set(range(4))
    for _ in range(3):
        await world.one_pass()
    words, place = {
        "ZooKeeper": ("cannot be read", "the servers in spec.zookeeper.connect run"),
        "Kafka": ("cannot be asked", "the brokers' pods"),
    }[who]
    (message,) = {text for text in blocked(world) if text.startswith(who)}
    assert f"{who} {words} (" in message
    assert "nothing moves before it can" in message
    assert place in message


async def test_whether_a_plan_fits_is_found_out_once_in_a_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be of a hundred thousand partitions."""
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    looks = 0

    def looked(*args: Any, **options: Any) -> str:
        nonlocal looks
        looks += 1
        return misfit(*args, **options)

    monkeypatch.setattr(plan, "misfit", looked)
    for _ in range(3):
        await world.one_pass()
    assert looks == 3


async def test_the_plan_of_one_that_is_undone_is_read_once_in_a_pass() -> None:
    world = await filled_world(3)
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    change(world, "demo-1", undo=True)
    world.kube.calls.clear()
    await world.one_pass()
    parts = found(world, "demo-1").config_maps
    assert [c.name for c in world.kube.calls if (c.verb, c.kind) == ("get", "ConfigMap")] == [
        *parts
    ]
