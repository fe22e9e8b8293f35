"""What is shown of a reassignment under way, pass after pass, and what is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.reconcile.world import World, filled_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker_operator.api.reassignment import Reassignment

FIGURES = ("movesDone", "bytesDone", "percent")


def newest(world: World) -> Reassignment:
    return world.reassignments()[-1]


def shown(world: World) -> dict[str, Any]:
    """Return the progress of the newest Reassignment."""
    progress: dict[str, Any] = newest(world).status["progress"]
    return progress


def figures(world: World) -> list[int]:
    return [shown(world)[key] for key in FIGURES]


async def growing(share: float = 0.6, **spec: Any) -> World:
    """Return a world in its first batch from 3 to 4 brokers, that has grown to this share."""
    world = await filled_world(3, reassignment={"maxMovesPerBroker": 2} | spec)
    world.kafka.complete_after = None
    world.kafka.filled = 0.0
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    for step in range(7):
        world.kafka.filled = share * step / 6
        await world.one_pass()
    assert shown(world)["bytesDone"] == 2 * share * 1000
    return world


async def finish(world: World) -> None:
    world.kafka.complete_after = 1
    await world.settle()


async def test_the_time_left_is_shown_while_copies_grow() -> None:
    world = await growing()
    progress = shown(world)
    assert progress["bytesPerSecond"] > 0
    assert progress["eta"]
    assert world.status["reassignment"]["eta"] == progress["eta"]
    assert progress["slowest"][0]["reason"].startswith("60% has arrived at broker 3")


async def test_nothing_is_said_of_the_end_while_it_is_paused() -> None:
    world = await growing()
    world.kube.edit(
        "Reassignment", "team", newest(world).name, lambda body: body["spec"].update(paused=True)
    )
    world.kafka.filled = 0.8
    await world.one_pass()
    assert "eta" not in shown(world)
    assert shown(world)["bytesDone"] == 1600


def the_target_is_silent(world: World) -> None:
    world.kafka.silent = {3}


def all_are_silent(world: World) -> None:
    world.kafka.silent = set(world.kafka.brokers)


def the_target_is_gone(world: World) -> None:
    world.kafka.stop_broker(3)


def the_operator_restarts(world: World) -> None:
    world.restart_operator()


@pytest.mark.parametrize(
    "happens",
    [the_target_is_silent, all_are_silent, the_target_is_gone, the_operator_restarts],
)
async def test_what_is_not_known_is_not_lost(happens: Callable[[World], None]) -> None:
    world = await growing()
    before = figures(world)
    happens(world)
    world.kafka.filled = 0.1
    await world.reconciler.run("team", "demo", world.memory)
    assert figures(world) == before
    assert "note" not in shown(world)


@pytest.mark.parametrize("cluster_id", [None, "another"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_zookeeper_without_the_cluster_does_not_show_the_move_as_done(
    cluster_id: str | None, *, restarted: bool
) -> None:
    world = await growing()
    before = figures(world)
    topics, world.kafka.topics = world.kafka.topics, {}
    world.kafka.cluster_id = cluster_id
    if restarted:
        world.restart_operator()
    for _ in range(3):
        await world.one_pass()
    assert world.condition("Stalled") == ("True", "WrongCluster")
    assert world.status["reassignment"].get("percent", 0) < 100
    assert figures(world) == before
    world.kafka.topics, world.kafka.cluster_id = topics, "fake-cluster"
    await finish(world)
    assert shown(world)["percent"] == 100


async def test_who_is_gone_is_named_and_no_end_is_told() -> None:
    world = await growing()
    the_target_is_gone(world)
    await world.reconciler.run("team", "demo", world.memory)
    assert "eta" not in shown(world)
    reasons = {slow["reason"] for slow in shown(world)["slowest"]}
    assert reasons == {"broker 3 is not registered; 60% has arrived at broker 3"}
    blockers = " ".join(newest(world).status["blockedBy"])
    assert "2 partitions in flight cannot go on" in blockers
    world.kafka.silent = set(world.kafka.brokers)
    await world.reconciler.run("team", "demo", world.memory)
    assert "cannot go on" not in " ".join(newest(world).status["blockedBy"])


async def test_copies_that_are_lost_are_said_to_be() -> None:
    world = await growing()
    percent = shown(world)["percent"]
    world.kafka.filled = 0.1
    await world.one_pass()
    progress = shown(world)
    assert (progress["bytesDone"], progress["percent"] < percent) == (200, True)
    assert progress["note"] == (
        f"was {percent} % and 1.2 KiB before: broker 3 has lost 1000 B that were copied to it"
    )
    world.kafka.filled = 0.9
    await world.one_pass()
    assert shown(world)["note"] == progress["note"], "it stays until the end of the plan"


async def test_a_loss_is_said_even_if_the_status_could_not_be_written_at_once() -> None:
    world = await growing()
    before = shown(world)
    name = newest(world).name

    def elsewhere(body: dict[str, Any]) -> None:
        body["status"]["progress"] = before

    world.kafka.filled = 0.1
    await world.one_pass()
    world.kube.edit("Reassignment", "team", name, elsewhere)
    await world.one_pass()
    assert "broker 3 has lost" in shown(world)["note"]


async def test_producers_do_not_turn_it_back() -> None:
    world = await growing()
    before = figures(world)
    for _, partition in world.partitions():
        partition.size *= 5
    await world.one_pass()
    assert all(now >= then for now, then in zip(figures(world), before, strict=True))
    assert "note" not in shown(world)


async def test_the_finished_object_tells_what_was_foretold_and_what_came() -> None:
    world = await growing(throttle="1Ki")
    await finish(world)
    done = newest(world)
    plan = done.status["plan"]
    outcome = dict(done.status["outcome"])
    assert outcome.pop("seconds") >= 7
    assert outcome == {
        "moves": plan["moves"],
        "bytes": plan["bytes"],
        "predictedMoves": plan["moves"],
        "predictedBytes": plan["bytes"],
        "predictedSeconds": plan["predictedSeconds"],
    }
    assert done.status["progress"] == {
        "plan": plan["hash"],
        "movesDone": plan["moves"],
        "bytesDone": plan["bytes"],
        "percent": 100,
    }


async def test_what_was_copied_is_more_than_foretold_when_producers_write() -> None:
    world = await growing()
    for _, partition in world.partitions():
        partition.size *= 2
    await finish(world)
    outcome = newest(world).status["outcome"]
    assert outcome["bytes"] == 2 * outcome["predictedBytes"]


async def test_one_that_ends_half_way_tells_what_it_has_done() -> None:
    world = await growing()
    world.kafka.complete()
    await world.one_pass()
    world.scale(3)
    await finish(world)
    given_up = world.reassignments()[0]
    assert not given_up.succeeded
    outcome = given_up.status["outcome"]
    assert 2 <= outcome["moves"] < outcome["predictedMoves"]
    assert 2000 <= outcome["bytes"] < outcome["predictedBytes"]
    assert "eta" not in given_up.status["progress"]


async def test_a_plan_made_anew_goes_on_counting_and_keeps_what_was_foretold() -> None:
    world = await filled_world(4, reassignment={"maxMovesPerBroker": 1})
    world.kafka.complete_after = None
    world.scale(3)
    await world.until(lambda: bool(world.in_flight()))
    first = newest(world)
    world.kafka.create_topic("late", {0: (3, 0)}, size=500)
    world.kafka.complete()
    await world.until(lambda: newest(world).plan_hash != first.plan_hash)
    counted = [figures(world)]
    world.kafka.complete_after = 1
    while not newest(world).finished:
        await world.one_pass()
        counted.append(figures(world))
    last, outcome = newest(world), newest(world).status["outcome"]
    assert last.uid == first.uid
    assert last.moves > first.moves
    assert (outcome["moves"], outcome["predictedMoves"]) == (last.moves, first.moves)
    assert (outcome["bytes"], outcome["predictedBytes"]) == (last.bytes, first.bytes)
    moves, copied = [f[0] for f in counted], [f[1] for f in counted]
    assert moves == sorted(moves)
    assert copied == sorted(copied)
