"""The operator is killed before and after every single external call of 3 -> 4 -> 3.

So it is where the 3 -> 4 is taken back half-way.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.core import naming
from tests.unit.reconcile.mortal import Fate, Killed, bind
from tests.unit.reconcile.world import PASS_LIMIT, World, filled_world

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject

PHASES = {"out": (3, 4), "in": (4, 3), "back": (4, 3)}


async def world_before(phase: str, via: str) -> World:
    """Return a world at rest whose next pass begins the phase."""
    world = await filled_world(3, reassignment={"via": via, "maxMovesPerBroker": 3})
    if phase == "in":
        world.scale(4)
        await world.settle()
    if phase == "back":
        world.scale(4)
        await world.until(lambda: world.load()[3] > 1)
        world.kafka.complete()
    world.scale(PHASES[phase][1])
    world.kafka.moved.clear()
    return world


async def passes_of(world: World) -> list[tuple[World, int]]:
    """Let the phase run undisturbed; return the world before each pass, and the pass's calls."""
    found = []
    idle = 0
    for _ in range(PASS_LIMIT):
        world.kube.calls.clear()
        before, picture, fate = deepcopy(world), outcome(world), Fate()
        bind(world, fate)
        await world.one_pass()
        world.reconciler = world.new_reconciler()
        found.append((before, fate.calls))
        idle = idle + 1 if outcome(world) == picture and not world.kube.writes else 0
        if idle == 2:  # two passes beyond the last change
            return found
    raise AssertionError("the undisturbed run finds no rest")


def outcome(world: World) -> dict[str, Any]:
    """Return all that a new process can find, apart from times and texts."""
    return {
        "moved": sorted(world.kafka.moved),
        "states": {tp: part.state for tp, part in world.partitions()},
        "leaders": {tp: part.leader for tp, part in world.partitions()},
        "isr": {tp: tuple(part.isr) for tp, part in world.partitions()},
        "request": world.kafka.request,
        "brokers": sorted(world.kafka.brokers),
        "configs": (world.kafka.broker_configs, world.kafka.topic_configs),
        "sizes": world.sizes(),
        "removed": tuple(world.removed),
        "reassignments": [
            (r.name, str(r.cause), r.finished, r.succeeded, r.plan_hash, r.throttle, r.finalizers)
            for r in world.reassignments()
        ],
        "maps": {(name_of(b), str(b.get("binaryData"))) for b in world.kube.all("ConfigMap")},
        "status": {k: v for k, v in world.status.items() if k in ("balancedBrokers", "clusterId")},
    }


def name_of(config_map: KubeObject) -> str:
    """Return its name but for what tells two of the same plan apart, made at different times."""
    found = naming.plan_of(config_map["metadata"]["name"])
    return f"{found[1]}-{found[2]}" if found else str(config_map["metadata"]["name"])


def plans(world: World) -> list[tuple[int, int]]:
    return [
        (r.status["plan"]["moves"], r.status["plan"]["lowerBound"]) for r in world.reassignments()
    ]


@pytest.mark.parametrize("via", ["ZooKeeper", "AdminApi"])
@pytest.mark.parametrize("phase", PHASES)
async def test_whoever_dies_at_whatever_call_the_next_one_finishes(phase: str, via: str) -> None:
    undisturbed = await world_before(phase, via)
    passes = await passes_of(undisturbed)
    wanted, planned = outcome(undisturbed), plans(undisturbed)
    undisturbed.assert_at_rest(*range(PHASES[phase][1]))
    recovered: set[str] = set()
    deaths = 0
    for before, calls in passes:
        for call in range(1, calls + 1):
            for after in (False, True):
                world = deepcopy(before)
                bind(world, Fate(dies_at=call, after=after))
                with pytest.raises(Killed):
                    await world.one_pass()
                deaths += 1
                found = repr(outcome(world))
                if found in recovered:
                    continue  # a successor has already been seen to finish from exactly here
                recovered.add(found)
                world.restart_operator()
                world.kubelet()
                await world.settle()
                assert outcome(world) == wanted, f"died {'after' if after else 'before'} {call}"
                assert plans(world) == planned
                world.assert_at_rest(*range(PHASES[phase][1]))
    assert deaths == 2 * sum(calls for _, calls in passes)
    assert len(recovered) > len(passes)
