"""Calls that fail and come back: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.ports import ConflictError, RejectedError, TransientError
from tests.fakes.intercept import intercepted
from tests.unit.reconcile.world import NAMESPACE, filled_world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker_operator.core.model import KubeObject
    from tests.fakes.intercept import Asked
    from tests.fakes.kube import Call


class Weather:
    """Fails a call now and then, before it acts or after: who asked cannot tell."""

    def __init__(self, seed: int, share: float) -> None:
        self._dice, self._share = random.Random(seed), share  # noqa: S311 - no secret
        self.failed = 0

    async def __call__(self, asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:
        self._strike(asked)
        answer = await act()
        self._strike(asked)
        return answer

    def _strike(self, asked: Asked) -> None:
        # Meters and Recorder never raise: see the ports.
        if asked.port not in ("meters", "recorder") and self._dice.random() < self._share:
            self.failed += 1
            raise TransientError("no answer")


@pytest.mark.parametrize("seed", range(6))
async def test_scaling_weathers_calls_that_fail(seed: int) -> None:
    world = await filled_world(3, reassignment={"via": "AdminApi" if seed % 2 else "ZooKeeper"})
    weather = Weather(seed, 0.02)
    world.reconciler = world.new_reconciler(**intercepted(world, weather))
    for replicas in (4, 3):
        world.scale(replicas)
        for _ in range(120):
            try:
                await world.one_pass()
            except TransientError:
                world.kubelet()
                world.clock.seconds += 1
    world.reconciler = world.new_reconciler()
    await world.settle()
    world.assert_at_rest(0, 1, 2)
    planned = sum(r.status["plan"]["lowerBound"] for r in world.reassignments())
    assert len(world.kafka.moved) == planned
    assert world.removed == [3]
    assert weather.failed > 10


async def test_what_the_api_server_refuses_is_said_and_tried_again_later() -> None:
    world = await filled_world(3)

    def refuse(call: Call) -> None:
        if (call.verb, call.kind) == ("apply", "StatefulSet"):
            raise RejectedError("spec.volumeClaimTemplates: Forbidden")

    world.kube.before = refuse
    world.scale(4)
    for _ in range(5):
        await world.one_pass()
    assert world.condition("Stalled") == ("True", "Rejected")
    assert "Forbidden" in world.message("Stalled")
    assert world.recorder.reasons().count("Rejected") == 1
    world.kube.before = lambda _: None
    await world.settle()
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_name_that_is_taken_is_passed_over() -> None:
    """Somebody's Reassignment, for another cluster, is called as our next one would be."""
    world = await filled_world(3)
    stray: KubeObject = {
        "apiVersion": "broker-operator.dev/v1alpha1",
        "kind": "Reassignment",
        "metadata": {"name": "demo-1", "namespace": NAMESPACE},
        "spec": {"cluster": "other", "cause": "Rebalance", "brokers": [9]},
    }
    world.kube.put(stray)
    world.scale(4)
    await world.settle()
    found = world.kube.find("Reassignment", NAMESPACE, "demo-1")
    assert found is not None
    assert "status" not in found
    world.kube.remove("Reassignment", NAMESPACE, "demo-1")
    assert [r.name for r in world.reassignments()] == ["demo-2"]
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_finalizer_that_somebody_else_changes_is_tried_again() -> None:
    world = await filled_world(3)
    world.scale(4)
    conflicts = 0

    def conflict(call: Call) -> None:
        nonlocal conflicts
        if call.verb == "set_finalizers" and not conflicts:
            conflicts += 1
            raise ConflictError("it changed")

    world.kube.before = conflict
    await world.settle()
    assert conflicts == 1
    assert [r.finalizers for r in world.reassignments()] == [()]
    world.assert_at_rest(0, 1, 2, 3)


async def test_leaders_that_cannot_be_elected_do_not_hold_up_the_end() -> None:
    world = await filled_world(3)
    admin = world.kafka.admin
    asked = 0

    async def refuse(partitions: object) -> None:  # noqa: ARG001
        nonlocal asked
        asked += 1

    admin.elect_preferred = refuse  # type: ignore[method-assign]
    world.scale(4)
    await world.settle()
    assert [r.succeeded for r in world.reassignments()] == [True]
    assert not world.throttled()
    assert asked <= 5
