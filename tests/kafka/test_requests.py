"""What users ask for in Reassignments of their own: done to the letter on live brokers, or not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import ResourceType

from broker_operator.api.reassignment import Cause, State
from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.kafka.harness import LiveWorld
from tests.kafka.matrix.moves import FAST, SLOWEST, SUBMISSIONS
from tests.unit.reconcile.world import NAME, NAMESPACE

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from broker_operator.api.reassignment import Reassignment
    from tests.kafka.cluster import KafkaCluster

PARTITIONS = 4
SIZE = 2_000_000
"""Bytes of one partition of each topic; the others are empty."""

Rows = dict[tuple[str, int], list[int]]


@pytest.fixture
async def world(live_brokers: KafkaCluster) -> AsyncIterator[LiveWorld]:
    """Four brokers with three topics of two replicas, none of them on broker 3."""
    async with LiveWorld(live_brokers, 4) as world:
        for shift, topic in enumerate(("logs-a", "logs-b", "orders")):
            rows = {n: ((n + shift) % 3, (n + shift + 1) % 3) for n in range(PARTITIONS)}
            live_brokers.create_topic(topic, rows)
            live_brokers.fill(topic, 0, SIZE)
        await world.settle()
        yield world


def ask(world: LiveWorld, name: str, **spec: Any) -> None:
    """Create a Reassignment as its user does."""
    world.kube.put(
        {
            "apiVersion": "broker-operator.dev/v1alpha1",
            "kind": "Reassignment",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"cluster": NAME, **spec},
        }
    )


def found(world: LiveWorld, name: str) -> Reassignment:
    return next(r for r in world.reassignments() if r.name == name)


def told(world: LiveWorld, name: str) -> str:
    """Why it is in the state that it is in."""
    conditions = found(world, name).status["conditions"]
    return str(next(c["message"] for c in conditions if c["type"] == "Complete"))


async def served(world: LiveWorld, name: str, **spec: Any) -> Rows:
    """Ask for something, have it done, and return where everything is then."""
    ask(world, name, **spec)
    await world.settle()
    assert found(world, name).succeeded, told(world, name)
    assert not world.view.in_flight()
    assert world.view.requested() is None
    assert world.view.throttles() == {}
    assert world.condition("Stalled") is None
    assert world.condition("Available") == ("True", "AllPartitionsLed")
    return world.view.assignment()


async def test_one_broker_takes_the_place_of_another(
    world: LiveWorld, live_brokers: KafkaCluster, rng: random.Random
) -> None:
    old, before = rng.randrange(3), world.view.assignment()
    after = await served(world, "swap", replace={"broker": old, "by": 3})
    assert after == {tp: [3 if b == old else b for b in row] for tp, row in before.items()}
    assert found(world, "swap").moves == sum(old in row for row in before.values())
    for (topic, number), row in after.items():
        if number == 0 and 3 in row:
            assert live_brokers.bytes_on_disk(3, topic, number) >= SIZE


async def test_some_topics_get_another_replication_factor(world: LiveWorld) -> None:
    before = world.view.assignment()
    after = await served(world, "three", topics=["logs-*"], replicationFactor=3)
    for (topic, number), row in after.items():
        if topic == "orders":
            assert row == before[topic, number]
        else:
            assert len(set(row)) == len(row) == 3
            assert set(before[topic, number]) <= set(row), "what is there stays"
    less = await served(world, "one", topics=["logs-b"], replicationFactor=1)
    assert {tp: row for tp, row in less.items() if tp[0] != "logs-b"} == {
        tp: row for tp, row in after.items() if tp[0] != "logs-b"
    }
    assert all(len(row) == 1 for tp, row in less.items() if tp[0] == "logs-b")


async def test_only_the_topics_that_are_named_move(world: LiveWorld) -> None:
    before = world.view.assignment()
    after = await served(world, "some", topics=["orders", "logs-b"])
    changed = {topic for topic, number in after if after[topic, number] != before[topic, number]}
    assert changed == {"orders", "logs-b"}
    moving = {tp: row for tp, row in after.items() if tp[0] in changed}
    assert any(3 in row for row in moving.values())


async def test_a_cluster_is_balanced_when_somebody_asks_for_it(world: LiveWorld) -> None:
    before = world.view.assignment()
    assert world.view.load()[3] == 0
    after = await served(world, "now")
    load = world.view.load()
    assert max(load.values()) - min(load[b] for b in range(4)) <= 1
    leaders = Counter(row[0] for row in after.values())
    assert max(leaders.values()) - min(leaders[b] for b in range(4)) <= 1
    moved = sum(len(set(after[tp]) - set(before[tp])) for tp in after)
    assert moved == found(world, "now").moves == load[3], "nothing moves between the old ones"
    again = await served(world, "again")
    assert again == after
    assert told(world, "again") == "nothing has to move"


async def test_requests_wait_for_each_other_in_order_and_show_it(world: LiveWorld) -> None:
    world.edit(lambda spec: spec.update(reassignment=SLOWEST))
    names = ["zz-first", "aa-second", "mm-third"]
    for name, spec in zip(names, ({"evacuate": [0]}, {"evacuate": [1]}, {}), strict=True):
        ask(world, name, **spec)
        world.clock.ahead += 1.0  # the API server tells seconds only
    await world.until(lambda: bool(world.view.in_flight()), "the first has begun")
    await world.one_pass()
    assert world.status["reassignment"]["name"] == "zz-first"
    assert world.status["reassignment"]["queued"] == ["aa-second", "mm-third"]
    assert [found(world, name).status.get("queuePosition") for name in names] == [None, 1, 2]
    assert "after aa-second" in told(world, "mm-third")
    world.edit(lambda spec: spec["reassignment"].update(throttle=FAST, maxMovesPerBroker=9))
    at: list[list[str]] = []
    world.before_pass = lambda: at.append([n for n in names if found(world, n).started])
    await world.settle()
    assert all(found(world, name).succeeded for name in names)
    assert all(begun == names[: len(begun)] for begun in at)
    ends = [found(world, name).ended for name in names]
    assert ends == sorted(ends)
    load = world.view.load()
    assert max(load.values()) - min(load[b] for b in range(4)) <= 1


async def test_what_would_break_a_promise_is_refused_with_the_numbers(
    world: LiveWorld, live_brokers: KafkaCluster
) -> None:
    live_brokers.create_topic("strict", {0: (0, 1)}, {"min.insync.replicas": "2"})
    before = world.view.assignment()
    ask(world, "fewer", topics=["strict"], replicationFactor=1)
    ask(world, "more", topics=["orders"], replicationFactor=5)
    await world.settle()
    for name, words in {
        "fewer": "1 replica, while min.insync.replicas is 2; ask for other brokers, or for more",
        "more": "topic orders is to have replication factor 5, but only 4 brokers would remain",
    }.items():
        assert found(world, name).state is State.REFUSED
        assert words in told(world, name)
    assert world.view.assignment() == before
    assert world.condition("Stalled") is None


async def test_a_minimum_that_is_raised_in_mid_move_stops_it_until_it_can_be_kept(
    world: LiveWorld, live_brokers: KafkaCluster
) -> None:
    world.edit(lambda spec: spec.update(reassignment=SLOWEST))
    live_brokers.create_topic("wide", {n: (n % 3, (n + 1) % 3, (n + 2) % 3) for n in range(8)})
    for number in range(8):
        live_brokers.fill("wide", number, SIZE)
    ask(world, "fewer", topics=["wide"], replicationFactor=2)

    def begun() -> bool:
        rows = [row for tp, row in world.view.assignment().items() if tp[0] == "wide"]
        return bool(world.view.in_flight()) and any(len(row) == 2 for row in rows)

    await world.until(begun, "some have two replicas, and others are in flight")
    live_brokers.configure(ResourceType.TOPIC, "wide", "min.insync.replicas", "3")
    world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
    stalled = ("True", "PromiseBroken")
    await world.until(lambda: world.condition("Stalled") == stalled, "it is stopped")
    assert "after its move, 2 replicas, while min.insync.replicas is 3" in world.message("Stalled")
    await world.until(lambda: not world.view.in_flight(), "what is in flight lands")
    written = [write for write in world.clients.writes if write in SUBMISSIONS]
    for _ in range(5):
        await world.one_pass()
    assert [write for write in world.clients.writes if write in SUBMISSIONS] == written
    assert not world.view.throttles()
    live_brokers.configure(ResourceType.TOPIC, "wide", "min.insync.replicas", "2")
    await world.settle()
    assert found(world, "fewer").succeeded
    rows = [row for tp, row in world.view.assignment().items() if tp[0] == "wide"]
    assert {len(row) for row in rows} == {2}
    assert any(3 in row for row in rows)


async def test_an_approved_plan_starts_only_once_there_is_room_for_it(world: LiveWorld) -> None:
    world.edit(lambda spec: spec.update(reassignment={"approval": "Required"}))
    ask(world, "late", evacuate=[2])
    await world.until(
        lambda: found(world, "late").state is State.AWAITING_APPROVAL, "a plan that waits"
    )
    plan, before = found(world, "late").plan_hash, world.view.assignment()
    resize(world, "1Mi")
    approve = {"approvedPlan": plan}
    world.kube.edit("Reassignment", NAMESPACE, "late", lambda body: body["spec"].update(approve))
    full = ("True", "NotEnoughDisk")
    await world.until(lambda: world.condition("Stalled") == full, "a refusal to start")
    assert f"plan {plan} of late does not start" in world.message("Stalled")
    assert "of 1.0 MiB); " in world.message("Stalled")
    assert world.view.assignment() == before
    resize(world, "1Gi")
    await world.settle()
    assert found(world, "late").succeeded
    assert found(world, "late").plan_hash == plan
    assert world.view.load()[2] == 0


def resize(world: LiveWorld, size: str) -> None:
    """Give every broker's volume another size, as its provisioner reports it."""
    for claim in world.kube.all("PersistentVolumeClaim"):
        world.kube.put(claim | {"status": {"capacity": {"storage": size}}})


async def test_a_request_is_served_without_a_broker_that_never_came(
    live_brokers: KafkaCluster,
) -> None:
    async with LiveWorld(live_brokers, 3) as world:
        live_brokers.create_topic("pairs", {n: (n % 3, (n + 1) % 3) for n in range(6)})
        live_brokers.fill("pairs", 0, SIZE)
        await world.settle()
        world.pods.held.add(3)
        live_brokers.kill_broker(3)
        await world.until(lambda: 3 not in world.view.brokers(), "broker 3 is not there")
        world.scale(4)
        await world.until(
            lambda: world.condition("BrokersReady") == ("False", "BrokersNotReady"), "it is missed"
        )
        ask(world, "swapped", replace={"broker": 2, "by": 0})
        await world.until(lambda: found(world, "swapped").finished, "that needs no other broker")
        assert "cannot take the place of broker 2" in told(world, "swapped")
        ask(world, "without-2", evacuate=[2])
        for _ in range(10):
            await world.one_pass()
        assert not found(world, "without-2").started, "it may come yet"
        world.clock.ahead += DESIRED_SECONDS
        await world.until(lambda: found(world, "without-2").succeeded, "broker 2 is emptied")
        assert world.view.load() == Counter({0: 6, 1: 6})
        ask(world, "moved", replace={"broker": 1, "by": 2})
        await world.until(lambda: found(world, "moved").succeeded, "it waits for nobody")
        assert world.view.load() == Counter({0: 6, 2: 6})
        assert not any(r.cause is not Cause.REQUESTED for r in world.reassignments())
        world.pods.held.clear()
        await world.until(lambda: world.view.load()[3] > 0, "broker 3 gets its share")
        await world.settle()
        assert world.condition("Stalled") is None


async def test_a_broker_that_joins_in_the_middle_of_a_request_keeps_its_share(
    live_brokers: KafkaCluster,
) -> None:
    async with LiveWorld(live_brokers, 3, reassignment=SLOWEST) as world:
        live_brokers.create_topic("halves", {n: (n % 3, (n + 1) % 3) for n in range(6)})
        for number in range(6):
            live_brokers.fill("halves", number, SIZE)
        await world.settle()
        ask(world, "without-2", evacuate=[2])
        await world.until(lambda: bool(world.view.in_flight()), "it has begun")
        world.scale(4)
        await world.one_pass()
        assert found(world, "without-2").started
        assert not found(world, "without-2").finished
        world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
        await world.settle()
        assert found(world, "without-2").succeeded
        assert world.view.load() == Counter({0: 4, 1: 4, 3: 4})


async def test_a_drain_in_the_middle_of_an_evacuation_is_not_undone_by_it(world: LiveWorld) -> None:
    await served(world, "even")
    world.edit(lambda spec: spec.update(reassignment=SLOWEST))
    ask(world, "mine", evacuate=[0])
    await world.until(lambda: bool(world.view.in_flight()), "it is half done")
    world.scale(3)
    world.edit(lambda spec: spec["reassignment"].update(throttle=FAST))
    await world.settle()
    assert world.removed == [3]
    assert found(world, "mine").succeeded
    assert len(world.reassignments()) == 3, "one drain was enough"
    assert set(world.view.load()) == {1, 2}
    assert world.view.throttles() == {}
