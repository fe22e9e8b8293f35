"""A process that was stopped, and goes on when another has taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker_operator.reconcile.scope import Memory
from tests.unit.reconcile.world import NAME, NAMESPACE, World, filled_world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker_operator.core.model import KubeObject


def stop_before_stateful_set(
    world: World, when: Callable[[KubeObject], bool], meanwhile: Callable[[], Awaitable[object]]
) -> None:
    """Stop the process where it is about to apply such a StatefulSet; then let it go on."""
    go_on = world.kube.apply

    async def apply(body: KubeObject) -> KubeObject:
        if body["kind"] == "StatefulSet" and when(body):
            world.kube.apply = go_on  # type: ignore[method-assign]
            await meanwhile()
        return await go_on(body)

    world.kube.apply = apply  # type: ignore[method-assign]


async def taken_over(world: World) -> None:
    """Let another process serve the cluster until there is nothing left to do."""
    stopped, world.memory = world.memory, Memory()
    await world.settle()
    world.memory = stopped


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_a_process_stopped_before_a_removal_removes_nobody_afterwards(policy: str) -> None:
    world = await filled_world(4, storage={"size": "1Gi", "whenScaledDown": policy})

    async def scaled_back() -> None:
        world.scale(4)
        await taken_over(world)
        assert world.load()[3]

    stop_before_stateful_set(world, lambda body: body["spec"]["replicas"] == 3, scaled_back)
    world.scale(3)
    await world.settle()
    assert any("resourceVersion" in result.retry for result in world.results)
    assert not world.removed
    world.assert_at_rest(0, 1, 2, 3)


async def test_a_process_stopped_before_an_edit_takes_no_broker_back() -> None:
    world = await filled_world(3)

    async def scaled_out() -> None:
        world.scale(4)
        await taken_over(world)
        assert world.load()[3]

    stop_before_stateful_set(world, lambda _: True, scaled_out)
    world.edit(lambda spec: spec.update(pod={"labels": {"team": "orders"}}))
    await world.reconciler.run(NAMESPACE, NAME, world.memory)
    assert world.sizes() == {"demo-broker": 4}
    await world.settle()
    assert not world.removed
    world.assert_at_rest(0, 1, 2, 3)
