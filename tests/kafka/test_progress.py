"""What is said of a throttled move while it lasts, held against what then happens."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from confluent_kafka.admin import ResourceType

from broker_operator.core.model import TopicPartition
from tests.kafka.cluster import KafkaCluster
from tests.kafka.harness import LiveWorld
from tests.kafka.properties import replication_settings
from tests.unit.reconcile.world import NAME, NAMESPACE, host

if TYPE_CHECKING:
    from collections.abc import Iterator

MEGABYTE = 1_000_000
PARTITIONS = 24
DEADLINE = 100.0
TOLD_FROM = 25
"""Percent from which on the time left is held against the truth."""
SHARE = 0.2
"""The time left may differ by this share of what is really left."""
FLOOR_SECONDS = 4.0
"""It may always differ by so much: that is one look a second at copies that grow by up to 1 MB in
each of five partitions at once, at 1 MiB/s. A fifth of the last ten seconds would be less."""


LEADER = ("leader.replication.throttled.replicas", "leader.replication.throttled.rate")
FOLLOWER = ("follower.replication.throttled.replicas", "follower.replication.throttled.rate")
UNTHROTTLED = {"throttle": "0", "maxMovesPerBroker": 9}


class Sample(NamedTuple):
    """What the Reassignment's status said after a pass."""

    at: float
    progress: dict[str, Any]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    folder = tmp_path_factory.mktemp("progress")
    cluster = KafkaCluster(folder, brokers=4, host=lambda broker: host(f"demo-broker-{broker}"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def usual_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Brokers that copy as those which the operator runs do."""
    cluster = KafkaCluster(
        tmp_path_factory.mktemp("usual"),
        brokers=4,
        host=lambda broker: host(f"demo-broker-{broker}"),
        settings=replication_settings(),
    )
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def seconds(eta: str) -> float:
    """Read a duration such as `1m40s`."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", eta)
    assert match, eta
    hours, minutes, rest = (int(group or 0) for group in match.groups())
    return 3600.0 * hours + 60 * minutes + rest


async def follow(world: LiveWorld) -> list[Sample]:
    """Make passes as often as the operator does, until the first Reassignment has ended."""
    samples: list[Sample] = []
    end = time.monotonic() + DEADLINE
    while True:
        world.pods.sync()
        result = await world.reconciler.run(NAMESPACE, NAME, world.memory)
        found = world.reassignments()
        if found and "progress" in found[0].status:
            samples.append(Sample(time.monotonic(), found[0].status["progress"]))
        if found and found[0].finished:
            return samples
        assert time.monotonic() < end, world.story()
        await asyncio.sleep(1.0 if result.delay is None else min(result.delay, 1.0))


async def test_a_drain_ends_when_it_is_said_to(brokers: KafkaCluster) -> None:
    # A drain, as its end is the hardest to tell: one broker sends, three receive, each at a
    # throttle of its own, and all copies together stop growing evenly long before the end.
    world = LiveWorld(brokers, 4, reassignment={"throttle": "1Mi"})
    try:
        await world.settle()
        rows = {n: (n % 4, (n + 1) % 4) for n in range(PARTITIONS)}
        brokers.create_topic("orders", rows)
        for number in rows:
            brokers.fill("orders", number, (6 + 5 * number % 9) * MEGABYTE)
        await world.settle()
        world.scale(3)
        samples = await follow(world)
        reassignment = world.reassignments()[0]
    finally:
        await world.close()
    ended = samples[-1].at
    whole = ended - samples[0].at
    assert whole > 40, "too short a move to tell anything by"

    compared = [
        (ended - at, seconds(shown["eta"]), shown["percent"])
        for at, shown in samples
        if shown["percent"] >= TOLD_FROM and "eta" in shown
    ]
    due = [shown for _, shown in samples if TOLD_FROM <= shown["percent"] < 100]
    assert len(compared) >= 0.9 * len(due)
    wrong = [
        f"{percent} %: {eta:.0f} s were left to go, it was {rest:.1f}"
        for rest, eta, percent in compared
        if abs(eta - rest) > max(SHARE * rest, FLOOR_SECONDS)
    ]
    assert not wrong, (whole, wrong)

    for key in ("percent", "movesDone", "bytesDone"):
        figures = [shown[key] for _, shown in samples]
        assert all(a <= b for a, b in pairwise(figures)), (key, figures)
    assert not any("note" in shown for _, shown in samples)
    assert samples[-1].progress["percent"] == 100

    told = [slow for _, shown in samples for slow in shown.get("slowest", ())]
    assert {TopicPartition(slow["topic"], slow["partition"]) for slow in told} <= {
        TopicPartition("orders", number) for number in rows
    }
    assert any("the throttle of 1.0 MiB/s" in slow["reason"] for slow in told)

    plan, came = reassignment.status["plan"], reassignment.status["outcome"]
    assert came["moves"] == came["predictedMoves"] == plan["moves"] == PARTITIONS // 2
    assert came["predictedBytes"] == plan["bytes"]
    assert came["bytes"] == pytest.approx(plan["bytes"], rel=0.01)
    assert came["seconds"] == pytest.approx(came["predictedSeconds"], rel=SHARE)


@pytest.mark.parametrize("kind", ["busy leader", "slow target"])
async def test_the_slowest_are_named_with_their_reason(
    usual_brokers: KafkaCluster, kind: str
) -> None:
    """Somebody else's throttle makes a broker as slow as its network or its disk might."""
    topic = kind.replace(" ", "-")
    if kind == "busy leader":  # it sends everything, and each of the others takes a third
        rows: dict[int, tuple[int, ...]] = dict.fromkeys(range(9), (3,))
        side, rates, expected = LEADER, {3: MEGABYTE}, "its leader, broker 3, sends "
    else:  # each sends a third, and broker 0 takes its third more slowly
        rows = {n: (n % 3, 3) for n in range(9)}
        side, rates = FOLLOWER, {0: MEGABYTE // 2, 1: 2 * MEGABYTE, 2: 2 * MEGABYTE}
        expected = "broker 0 takes "
    every, rate_key = side
    async with LiveWorld(usual_brokers, 4, reassignment=UNTHROTTLED) as world:
        usual_brokers.create_topic(topic, rows)
        for number in rows:
            usual_brokers.fill(topic, number, 10 * MEGABYTE)
        await world.settle()
        usual_brokers.configure(ResourceType.TOPIC, topic, every, "*")
        for broker, rate in rates.items():
            usual_brokers.configure(ResourceType.BROKER, str(broker), rate_key, str(rate))
        world.scale(3)

        def told() -> list[str]:
            status = world.reassignments()[-1].status if world.reassignments() else {}
            return [slow["reason"] for slow in status.get("progress", {}).get("slowest", ())]

        try:
            await world.until(
                lambda: any(f"; {expected}" in reason for reason in told()), f"{expected}..."
            )
        finally:
            for broker in rates:
                usual_brokers.configure(ResourceType.BROKER, str(broker), rate_key, None)
            usual_brokers.configure(ResourceType.TOPIC, topic, every, None)
        await world.settle()
        world.assert_at_rest(0, 1, 2)


async def test_brokers_with_the_settings_that_they_get_keep_to_the_throttle(
    usual_brokers: KafkaCluster,
) -> None:
    world = LiveWorld(usual_brokers, 3, reassignment={"throttle": "8Mi"})
    try:
        await world.settle()
        rows = {n: (n % 3, (n + 1) % 3) for n in range(PARTITIONS)}
        usual_brokers.create_topic("orders", rows)
        for number in rows:
            usual_brokers.fill("orders", number, 10 * MEGABYTE)
        await world.settle()
        world.scale(4)
        await follow(world)
        came = world.reassignments()[0].status["outcome"]
    finally:
        await world.close()
    assert came["moves"] == PARTITIONS // 2
    rate = came["bytes"] / came["seconds"]
    # At most what a second brings before anything is counted, and at least what pauses between two
    # batches and between two looks of the brokers leave of it.
    assert 0.5 * 8 * 2**20 < rate < 1.2 * 8 * 2**20, came
