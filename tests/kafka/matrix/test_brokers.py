"""Brokers die in mid-move, come back, come back empty, or do not come back."""

from __future__ import annotations

import errno
import subprocess
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.kafka.harness import LiveWorld
from tests.kafka.matrix.moves import (
    FAST,
    FOURS,
    JOINING,
    NOT_READY,
    ROWS,
    SIZE,
    SLOWEST,
    SUBMISSIONS,
    Move,
    moving,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.cluster import KafkaCluster

ORIGIN = (0, 1, 2)
DISK = 60_000_000
"""Bytes of a disk that what comes to it fills by less than half."""
CHUNK = 65536


@pytest.mark.parametrize("victim", ["target", "leader", "controller"])
async def test_a_broker_dies_in_mid_move_and_returns(
    live_brokers: KafkaCluster, rng: random.Random, victim: str
) -> None:
    async with moving(live_brokers, rng) as move:
        await move.lose(chosen(move, rng, victim))
        move.give_back()
        await move.end()
        assert "SentBack" not in move.world.recorder.reasons()


def chosen(move: Move, rng: random.Random, victim: str) -> int:
    """Return the target, the controller, or a broker that leads something in flight."""
    view = move.world.view
    if victim == "target":
        return JOINING
    if victim == "controller":
        controller = view.controller()
        assert controller is not None
        return controller
    return rng.choice(sorted({view.leader(move.topic, number) for number in move.flying()}))


async def test_moves_to_a_broker_that_never_returns_are_sent_back(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng) as move:
        world = move.world
        await move.lose(JOINING)
        hung = move.flying()
        assert hung
        await world.until(lambda: "cannot go on" in move.blocked_by(), "it is said")
        world.clock.ahead += DESIRED_SECONDS
        await world.until(lambda: not move.flying(), "nothing is in flight any more")
        await world.until(lambda: world.view.requested() is None, "the request is gone")
        assert "SentBack" in world.recorder.reasons()
        now = world.view.assignment()
        assert {n: tuple(now[move.topic, n]) for n in hung} == {n: ROWS[n] for n in hung}
        await world.until(
            lambda: "broker 3 has been away for more than 10 min" in move.blocked_by(),
            "the Reassignment tells what it waits for",
        )
        move.give_back()
        await move.end()
        assert [r.succeeded for r in world.reassignments()] == [True]


async def test_a_broker_is_emptied_onto_others_if_a_target_never_returns(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    # Two replicas each, so that two other brokers can take what leaves broker 3.
    pairs = {n: (n % 4, (n + 1 + n // 4) % 4) for n in range(12)}
    one_by_one: dict[str, Any] = {"throttle": "150Ki", "maxMovesPerBroker": 1}
    async with moving(
        live_brokers, rng, scale=(4, 3), rows=pairs, latest=0.1, **one_by_one
    ) as move:
        world = move.world
        target = move.target()
        held = [n for n, replicas in pairs.items() if JOINING in replicas]
        waiting = [n for n in held if n not in move.flying()]
        lost = rng.choice([b for b in ORIGIN if any(b in target[n] for n in waiting)])
        await move.lose(lost)
        world.edit(lambda spec: spec["reassignment"].update(throttle="100Mi"))
        await world.one_pass()
        assert "LedAround" not in world.recorder.reasons(), "it may come back"
        world.clock.ahead += DESIRED_SECONDS
        await world.until(lambda: world.removed == [JOINING], "broker 3 is emptied and goes")
        assert world.recorder.reasons().count("LedAround") == 1
        assert world.status["balancedBrokers"] == sorted({*ORIGIN} - {lost})
        assert not any(lost in move.replicas(n) for n in waiting if lost in target[n])
        move.give_back()
        await move.end(*ORIGIN)


async def test_two_of_three_replicas_die(live_brokers: KafkaCluster, rng: random.Random) -> None:
    async with moving(live_brokers, rng) as move:
        world = move.world
        await move.lose(*rng.sample(ORIGIN, 2))
        before = move.submissions()
        assert world.condition("Reconciling") or world.condition("Stalled")
        acked = move.records.acked
        for _ in range(20):
            await world.one_pass()
        assert move.submissions() == before, "it waits"
        assert "2 of 4 brokers are ready" in world.message("BrokersReady")
        move.give_back()
        await world.until(lambda: move.records.acked > acked, "producers go on")
        await move.end()


async def test_a_broker_that_returns_empty_is_filled_before_anything_else_moves(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng) as move:
        world, broker = move.world, rng.choice((*ORIGIN, JOINING))
        await move.lose(broker)
        live_brokers.wipe(broker)
        early: list[str] = []

        def look(operation: str) -> None:
            if operation in SUBMISSIONS:
                early.extend(f"{operation} before {tp}" for tp in world.view.out_of_sync())

        world.clients.on_write = look
        move.give_back()
        await move.end()
        assert early == []


async def test_a_leaving_broker_that_returns_empty_goes_only_once_nothing_is_its_own(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    """An empty disk proves nothing while ZooKeeper still lists the broker's replicas."""
    async with moving(live_brokers, rng, scale=(4, 3), rows=FOURS, latest=0.2, **SLOWEST) as move:
        world = move.world
        world.pods.held.add(JOINING)
        live_brokers.kill_broker(JOINING)
        await world.until(lambda: JOINING not in world.view.brokers(), "its session ends")
        live_brokers.wipe(JOINING)
        move.give_back()
        await world.until(lambda: JOINING in world.view.brokers(), "it is back, with nothing")
        for _ in range(5):
            await world.one_pass()
        assert any(JOINING in move.replicas(number) for number in FOURS), "in mid-move"
        assert world.removed == []
        await move.end(*ORIGIN)  # the world has looked, when it was removed, that it held nothing
        assert world.removed == [JOINING]


async def test_a_disk_runs_full_on_the_target(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    with small_disk(live_brokers, JOINING) as disk:
        async with moving(live_brokers, rng) as move:
            world = move.world
            world.pods.held.add(JOINING)  # else it is started in vain, again and again
            ballast = disk / "ballast"
            fill_up(ballast)
            await world.until(lambda: not live_brokers.running(JOINING), "it goes down")
            await world.until(
                lambda: (
                    world.condition("BrokersReady") == NOT_READY
                    and "broker 3 is not registered" in move.blocked_by()
                ),
                "it is said",
            )
            ballast.unlink()
            move.give_back()
            await move.end()


async def test_a_plan_that_would_fill_a_disk_does_not_start(
    live_brokers: KafkaCluster,
) -> None:
    """How full it is is what the broker's file system says, with everything that lies on it."""
    with small_disk(live_brokers, JOINING) as disk:
        async with LiveWorld(live_brokers, 3, reassignment={"throttle": FAST}) as world:
            live_brokers.create_topic("large", ROWS)
            for number in ROWS:
                live_brokers.fill("large", number, SIZE)
            await world.settle()
            before = world.view.assignment()
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(DISK * 3 // 4))
            world.scale(4)
            full = ("True", "NotEnoughDisk")
            await world.until(lambda: world.condition("Stalled") == full, "it is refused")
            told = world.message("Stalled")
            assert "broker 3" in told
            assert "85 %" in told
            for _ in range(5):
                await world.one_pass()
            assert world.view.assignment() == before
            assert not world.view.throttles()
            ballast.unlink()
            await world.settle()
            world.assert_at_rest(0, 1, 2, JOINING)


@contextmanager
def small_disk(cluster: KafkaCluster, broker: int) -> Iterator[Path]:
    """Give a broker a disk of its own, of `DISK` bytes, and yield its folder."""
    folder = cluster.data(broker)
    cluster.stop_broker(broker)
    cluster.wipe(broker)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    try:
        cluster.start_broker(broker)
        yield folder
        cluster.stop_broker(broker)
    finally:
        if cluster.running(broker):
            cluster.kill_broker(broker)
        subprocess.run(["umount", str(folder)], check=True)
    cluster.start_broker(broker)


def fill_up(ballast: Path) -> None:
    """Leave no byte free on a file system."""
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(CHUNK))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def registered(world: LiveWorld, brokers: set[int]) -> bool:
    return world.view.brokers() == brokers


async def test_all_brokers_are_restarted_one_by_one(
    live_brokers: KafkaCluster, rng: random.Random
) -> None:
    async with moving(live_brokers, rng, latest=0.2, transactional=True, **SLOWEST) as move:
        world = move.world
        for broker in rng.sample(range(4), 4):
            assert not world.reassignments()[-1].succeeded, "in mid-move"
            live_brokers.end_broker(broker)
            others = set(range(4)) - {broker}
            await world.until(partial(registered, world, others), f"broker {broker} leaves")
            await world.until(partial(registered, world, {*others, broker}), "it is back")
        await move.end()
        assert "SentBack" not in world.recorder.reasons()
