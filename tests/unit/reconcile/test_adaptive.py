"""The throttle that adapts, from the brokers' metrics to their configs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.core.adaptive import BEGIN_SECONDS, first_rate, ladder
from broker_operator.core.health import Reading
from broker_operator.core.model import FOLLOWER_RATE, LEADER_RATE
from broker_operator.reconcile.steps.adapt import MEASURE_SECONDS, READ_SECONDS
from tests.fakes.meters import FakeMeters
from tests.unit.reconcile.test_control import change
from tests.unit.reconcile.world import World, filled_world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.api.reassignment import ThrottleRecord
    from broker_operator.core.model import BrokerId, Unknown

MI = 1024**2
FIRST = first_rate(ladder(4 * MI, 500 * MI))
RUNGS = ladder(4 * MI, 500 * MI)
ADAPTIVE = {"throttle": "Adaptive", "maxMovesPerBroker": 1}


class LiveMeters(FakeMeters):
    """Brokers with producers, whose moves take all that the throttle lets them.

    Attributes:
        slow: Produce requests take a tenth of a second from now on.
        shrinks: How often each broker has dropped a replica from an ISR.
        mute: Brokers that tell nothing.
        starved: Nothing is left for moves.
        pace: Produce requests per second that each broker gets.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._at = world.clock.seconds
        self._requests = self._seconds = self._idle = self._moved = 0.0
        self.slow = False
        self.shrinks = 0
        self.mute: set[BrokerId] = set()
        self.starved = False
        self.pace = 100.0

    async def read(self, addresses: Mapping[BrokerId, str]) -> dict[BrokerId, Reading | Unknown]:
        """Count on to this moment, and tell."""
        now = self._world.clock.seconds
        elapsed, self._at = now - self._at, now
        self._requests += self.pace * elapsed
        self._seconds += self.pace * elapsed * (0.1 if self.slow else 0.002)
        self._idle += 0.9 * elapsed
        self._moved += 0 if self.starved else elapsed * max(rates(self._world), default=0)
        reading = Reading(
            produce_p99=0.2 if self.slow else 0.004,
            produce_mean=self._seconds / self._requests if self._requests else None,
            produce_count=self._requests,
            handlers_idle=0.9,
            handlers_idle_seconds=self._idle,
            isr_shrinks=self.shrinks,
            moved_in=self._moved,
            moved_out=self._moved,
        )
        self.readings = dict.fromkeys(set(addresses) - self.mute, reading)
        return await super().read(addresses)


def rates(world: World) -> set[int]:
    """Return the rates that brokers have."""
    keys = (LEADER_RATE, FOLLOWER_RATE)
    configs = world.kafka.broker_configs.values()
    return {int(value) for found in configs for key, value in found.items() if key in keys}


def record(world: World) -> ThrottleRecord:
    """Return what is recorded of the throttle."""
    found = world.reassignments()[-1].throttle
    assert found is not None
    return found


async def drain(
    *, mute: bool = False, pace: float = 100.0, **reassignment: object
) -> tuple[World, LiveMeters]:
    """Return a world from which broker 3 is to go, just before the first pass that knows."""
    world = await filled_world(4, reassignment=ADAPTIVE | reassignment)
    meters = LiveMeters(world)
    meters.mute, meters.pace = {0, 1, 2, 3} if mute else set(), pace
    world.meters = meters
    world.reconciler = world.new_reconciler()
    world.kafka.complete_after = None
    world.scale(3)
    return world, meters


async def flying(
    *, mute: bool = False, pace: float = 100.0, **spec: object
) -> tuple[World, LiveMeters]:
    """Return such a world once its first batch is in flight."""
    world, meters = await drain(mute=mute, pace=pace, **spec)
    await world.until(lambda: bool(world.in_flight()))
    return world, meters


async def go_on(world: World, seconds: float) -> list[int]:
    """Make passes for so long; return the rate after each of them."""
    end, seen = world.clock.seconds + seconds, []
    while world.clock.seconds < end:
        await world.one_pass()
        (rate,) = rates(world)
        seen.append(rate)
    return seen


async def test_it_looks_how_clients_are_before_anything_moves() -> None:
    world, meters = await drain()
    await world.until(lambda: len(meters.asked) == 1)
    assert not world.throttled()
    assert not world.in_flight()
    await world.until(lambda: bool(world.in_flight()))
    assert rates(world) == {FIRST}
    assert record(world).adaptive == "started at 45.3 MiB/s: produce p99 before is 4 ms"
    assert record(world).p99_before == 4
    assert sorted(meters.asked[0]) == [0, 1, 2, 3]
    assert meters.asked[0][2] == ("demo-broker-2.demo-broker-headless.team.svc.cluster.local:9404")


@pytest.mark.parametrize(
    ("pace", "before", "looks"),
    [(100.0, 4, {2}), (2.0, 4, {3, 4}), (0.1, 0, {6, 7, 8}), (0.0, 0, {2})],
)
async def test_clients_that_write_seldom_are_looked_at_for_longer(
    pace: float, before: int, looks: set[int]
) -> None:
    world, meters = await drain(pace=pace)
    began = world.clock.seconds
    await world.until(lambda: bool(world.in_flight()))
    assert record(world).p99_before == before
    assert len(meters.asked) in looks
    assert world.clock.seconds - began < MEASURE_SECONDS + 3 * READ_SECONDS


async def test_after_a_pause_it_goes_on_at_the_rate_that_clients_could_bear() -> None:
    world, meters = await flying()
    meters.slow = True
    await world.until(lambda: max(rates(world)) <= 8 * MI)
    meters.slow = False
    (name,) = (r.name for r in world.reassignments())
    change(world, name, paused=True)
    world.kafka.complete_after = 1
    await world.until(lambda: not world.throttled())
    (before,) = {world.memory.watch.rate}
    assert before <= 8 * MI
    world.kafka.complete_after = None
    change(world, name, paused=False)
    await world.until(lambda: bool(world.in_flight()))
    assert rates(world) == {before}
    assert max(await go_on(world, 60.0)) < FIRST, "what was too much is not tried so soon"


async def test_a_pause_right_after_a_restart_costs_no_rate() -> None:
    world, _ = await flying()
    world.restart_operator()
    await world.one_pass()
    (name,) = (r.name for r in world.reassignments())
    change(world, name, paused=True)
    world.kafka.complete_after = 1
    await world.until(lambda: not world.throttled())
    world.kafka.complete_after = None
    change(world, name, paused=False)
    await world.until(lambda: bool(world.in_flight()))
    assert rates(world) == {FIRST}


async def test_the_next_move_long_after_is_measured_anew() -> None:
    world, meters = await flying()
    meters.slow = True
    world.kafka.complete_after = 2
    await world.settle()
    await world.one_pass()
    meters.slow = False
    world.clock.seconds += 3600.0
    world.kafka.complete_after = None
    asked = len(meters.asked)
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    assert len(meters.asked) >= asked + 2
    level = world.memory.watch.level
    assert level is not None
    assert level.mean == pytest.approx(0.002), "nothing of the hour before is in it"


async def test_what_the_first_copying_costs_lowers_nothing() -> None:
    world, meters = await flying()
    meters.slow = True
    assert set(await go_on(world, BEGIN_SECONDS - 5.0)) == {FIRST}
    await world.until(lambda: max(rates(world)) < FIRST)


async def test_a_move_right_after_another_has_no_first_copying() -> None:
    world, meters = await flying()
    world.kafka.complete_after = 2
    await world.settle()
    world.kafka.complete_after = None
    world.scale(4)
    await world.until(lambda: bool(world.in_flight()))
    meters.slow = True
    assert min(await go_on(world, BEGIN_SECONDS - 5.0)) < FIRST


async def test_nor_has_one_whose_throttle_begins_to_adapt() -> None:
    world, meters = await flying(throttle="32Mi")
    world.edit(lambda spec: spec["reassignment"].update(throttle="Adaptive"))
    await world.until(lambda: record(world).adaptive != "")
    meters.slow = True
    assert min(await go_on(world, BEGIN_SECONDS - 5.0)) < 32 * MI


async def test_it_rises_rung_by_rung_to_the_most_while_all_is_well() -> None:
    world, _ = await flying()
    seen = await go_on(world, 500.0)
    steps = [rate for i, rate in enumerate(seen) if i == 0 or rate != seen[i - 1]]
    first = RUNGS.index(steps[0])
    assert steps == list(RUNGS[first:])
    assert record(world).adaptive.startswith("kept, for it is the most allowed: produce p99 4 ms")
    assert {record(world).rate, *record(world).former} <= set(RUNGS)


async def test_it_is_halved_when_clients_wait_and_patient_after_that() -> None:
    world, meters = await flying()
    await go_on(world, 30.0)
    (before,) = rates(world)
    meters.slow = True
    await world.until(lambda: rates(world) != {before})
    meters.slow = False
    (after,) = rates(world)
    assert after == RUNGS[RUNGS.index(before) - 2]
    assert record(world).adaptive.startswith("lowered to ")
    assert "produce p99 200 ms (4 ms before)" in record(world).adaptive
    assert max(await go_on(world, 100.0)) < before, "what was too much is not tried again so soon"
    assert before in await go_on(world, 300.0), "but later it is"


@pytest.mark.parametrize("sign", ["told by a leader", "seen in the metadata"])
async def test_a_follower_that_falls_out_of_sync_brings_it_to_the_least(sign: str) -> None:
    world, meters = await flying()
    await go_on(world, 30.0)
    (before,) = rates(world)
    assert before > RUNGS[4]
    if sign == "told by a leader":
        meters.shrinks += 1
    else:
        partition = next(p for _, p in world.partitions() if not p.state.in_flight)
        partition.isr.remove(next(b for b in partition.isr if b != partition.leader))
    await world.until(lambda: rates(world) != {before})
    assert rates(world) == {RUNGS[0]}
    assert record(world).adaptive.startswith("lowered to 4.0 MiB/s: replicas ")


async def test_a_replica_that_is_being_added_is_no_sign_of_trouble() -> None:
    world, _ = await flying()
    assert all(set(p.isr) < set(p.state.replicas) for _, p in world.partitions() if p.state.adding)
    seen = await go_on(world, 60.0)
    assert seen == sorted(seen)
    assert seen[-1] > FIRST


async def test_it_never_rises_while_a_broker_tells_nothing() -> None:
    world, meters = await flying()
    meters.mute = {1}
    (before,) = rates(world)
    assert set(await go_on(world, 120.0)) == {before}
    assert record(world).adaptive.startswith("kept, for metrics are missing: broker 1 (")
    meters.mute = set()
    assert max(await go_on(world, 60.0)) > before


async def test_without_any_metrics_it_starts_at_once_and_stays() -> None:
    world, meters = await flying(mute=True)
    assert len(meters.asked) == 1, "a second look would show no more"
    assert record(world).adaptive == "started at 45.3 MiB/s: produce p99 before is not known"
    assert record(world).p99_before == 0
    assert set(await go_on(world, 120.0)) == {FIRST}


async def test_it_obeys_new_limits_in_mid_move() -> None:
    world, _ = await flying()
    limits = {"min": "1Mi", "max": "8Mi"}
    world.edit(lambda spec: spec["reassignment"].update(adaptive=limits))
    await world.until(lambda: rates(world) == {8 * MI})
    assert max(await go_on(world, 100.0)) == 8 * MI


async def test_an_operator_that_restarts_goes_on_from_where_it_was() -> None:
    world, meters = await flying()
    await go_on(world, 30.0)
    (before,) = rates(world)
    assert before > FIRST
    meters.slow = True  # what is seen now must not be taken for how it was before
    world.restart_operator()
    assert max(await go_on(world, 20.0)) == before
    assert record(world).p99_before == 4
    await world.until(lambda: rates(world) != {before})
    assert max(rates(world)) < before
    assert "(4 ms before)" in record(world).adaptive


async def test_from_a_fixed_rate_to_one_that_adapts_and_back() -> None:
    world, _ = await flying(throttle="32Mi")
    assert rates(world) == {32 * MI}
    assert record(world).adaptive == ""
    world.edit(lambda spec: spec["reassignment"].update(throttle="Adaptive"))
    await world.until(lambda: record(world).adaptive != "")
    assert record(world).rate == RUNGS[6] == 32 * MI, "not from the start again"
    world.edit(lambda spec: spec["reassignment"].update(throttle="7Mi"))
    await world.until(lambda: rates(world) == {7 * MI})
    assert record(world).adaptive == ""


async def test_nothing_is_left_of_any_rate() -> None:
    world, meters = await flying()
    await go_on(world, 40.0)
    meters.slow = True
    await go_on(world, 40.0)
    meters.slow = False
    world.kafka.complete_after = 2
    await world.settle()
    world.assert_at_rest(0, 1, 2)


@pytest.mark.parametrize("writing", [False, True])
async def test_it_rises_where_producers_leave_nothing_of_it_for_moves(*, writing: bool) -> None:
    world, meters = await flying()
    meters.starved = True
    began = world.clock.seconds
    for _ in range(60):
        for _, partition in world.partitions():
            partition.size = 1000 + writing * int((world.clock.seconds - began) * 40 * MI)
        await world.one_pass()
    assert (max(rates(world)) > FIRST) is writing


@pytest.mark.parametrize(
    ("throttle", "adaptive", "said"),
    [
        ("1Mi", {}, "set spec.reassignment.throttle to at least 16Mi"),
        ("Adaptive", {"min": "1Mi", "max": "1Mi"}, "set spec.reassignment.adaptive.max to at"),
    ],
)
async def test_a_rate_below_what_producers_write_is_told_with_what_would_do(
    throttle: str, adaptive: dict[str, str], said: str
) -> None:
    world, _ = await flying(throttle=throttle, adaptive=adaptive)
    began = world.clock.seconds
    for _ in range(60):
        for _, partition in world.partitions():
            partition.size = 1000 + int((world.clock.seconds - began) * 1.9 * MI)
        await world.one_pass()
        if world.clock.seconds - began > 45.0:
            break
    (told,) = world.reassignments()[-1].status["blockedBy"]
    assert "throttle 1.0 MiB/s cannot catch up: keeping up with producers takes " in told
    assert said in told
