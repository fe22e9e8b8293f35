"""A pod that never starts holds up what the spec asks for, and nothing that users ask for."""

from __future__ import annotations

import pytest

from broker_operator.api.reassignment import State
from broker_operator.reconcile.absence import DESIRED_SECONDS
from tests.unit.reconcile.test_absence import wait_for
from tests.unit.reconcile.test_control import ask, change, found
from tests.unit.reconcile.world import World, filled_world


async def stalled_world(**settings: object) -> World:
    """Return a world whose fourth broker does not start."""
    world = await filled_world(3, reassignment=settings)
    world.broken[3] = "ImagePullBackOff"
    world.scale(4)
    await wait_for(world, 30)
    assert world.condition("Stalled") == ("True", "BrokersNotReady")
    return world


async def test_what_a_user_asks_for_goes_on_without_a_broker_that_never_came() -> None:
    world = await stalled_world()
    ask(world, "mine", evacuate=[2])
    await wait_for(world, DESIRED_SECONDS - 100)
    assert not found(world, "mine").started, "it may come yet"
    assert "mine waits for that until it has been away for 10 min" in "; ".join(
        found(world, "mine").status["blockedBy"]
    )
    await wait_for(world, 200)
    assert found(world, "mine").succeeded
    assert not world.load()[2]
    assert [r.name for r in world.reassignments()] == ["mine"], "the spec's own move waits"
    assert world.condition("Stalled") == ("True", "BrokersNotReady")
    del world.broken[3]
    await world.settle()
    assert world.reassignments()[-1].succeeded
    assert world.load()[3], "it gets its share when it is there"


async def test_what_has_begun_goes_on_at_once() -> None:
    world = await filled_world(3, reassignment={"maxMovesPerBroker": 1})
    world.kafka.complete_after = None
    ask(world, "mine", evacuate=[2])
    await world.until(lambda: bool(world.in_flight()))
    world.broken[3] = "ImagePullBackOff"
    world.scale(4)
    world.kafka.complete_after = 1
    world.kafka.complete()
    begun = world.clock.seconds
    await world.until(lambda: found(world, "mine").succeeded)
    assert world.clock.seconds < begun + DESIRED_SECONDS - 100
    assert not world.load()[2]
    del world.broken[3]
    await world.settle()
    assert world.load()[3], "it gets its share when it is there"


async def test_a_replacement_among_the_others_waits_for_nobody() -> None:
    world = await filled_world(4)
    ask(world, "off", evacuate=[3])
    await world.settle()
    world.broken[4] = "ImagePullBackOff"
    world.scale(5)
    await wait_for(world, 30)
    ask(world, "mine", replace={"broker": 2, "by": 3})
    ask(world, "never", replace={"broker": 0, "by": 1})
    await wait_for(world, 60)
    assert found(world, "mine").succeeded
    assert found(world, "never").state is State.REFUSED
    assert not world.load()[2]
    assert world.condition("Stalled") == ("True", "BrokersNotReady")


async def test_it_waits_for_a_broker_that_it_names() -> None:
    world = await stalled_world()
    ask(world, "mine", replace={"broker": 2, "by": 3})
    await wait_for(world, DESIRED_SECONDS + 100)
    assert not found(world, "mine").started
    assert not found(world, "mine").finished
    del world.broken[3]
    await world.settle()
    assert found(world, "mine").state is State.REFUSED, "it holds what the spec has given it"


async def test_what_empties_it_waits_for_it() -> None:
    world = await stalled_world()
    ask(world, "mine", evacuate=[3])
    await wait_for(world, DESIRED_SECONDS + 100)
    assert not found(world, "mine").finished
    assert "10 min" not in "; ".join(found(world, "mine").status["blockedBy"])


async def test_a_broker_that_the_spec_would_not_fill_is_waited_for() -> None:
    """It was emptied by its user, who wants it filled again."""
    world = await filled_world(4)
    ask(world, "off", evacuate=[3])
    await world.settle()
    assert not world.load()[3]
    world.broken[3] = "CrashLoopBackOff"
    world.kubelet()
    ask(world, "back")
    await wait_for(world, DESIRED_SECONDS + 100)
    assert not found(world, "back").finished
    del world.broken[3]
    await world.settle()
    assert found(world, "back").succeeded
    assert world.load()[3]


@pytest.mark.parametrize("late", [False, True])
async def test_a_broker_that_comes_in_the_middle_of_a_request_keeps_its_share(
    *, late: bool
) -> None:
    if late:
        world = await stalled_world(maxMovesPerBroker=1)
    else:
        world = await filled_world(3, reassignment={"maxMovesPerBroker": 1})
    world.kafka.complete_after = None
    ask(world, "mine", evacuate=[2])
    await wait_for(world, DESIRED_SECONDS + 100)
    assert world.in_flight()
    if late:
        del world.broken[3]
    else:
        world.scale(4)
    for _ in range(5):
        await world.one_pass()
    world.kafka.complete_after = 1
    await world.settle()
    assert found(world, "mine").succeeded
    load = world.load()
    assert not load[2]
    assert load[0] == pytest.approx(load[3], abs=1)


async def test_what_cannot_be_had_without_it_waits_and_is_not_refused() -> None:
    world = await stalled_world()
    ask(world, "mine", evacuate=[1, 2])
    await wait_for(world, DESIRED_SECONDS + 100)
    assert not found(world, "mine").finished
    why = "; ".join(found(world, "mine").status["blockedBy"])
    assert "it waits, for broker 3 has been away for more than 10 min" in why


async def test_a_plan_that_was_approved_meanwhile_goes_on_without_it() -> None:
    world = await stalled_world(approval="Required")
    ask(world, "mine", evacuate=[2])
    await wait_for(world, DESIRED_SECONDS + 100)
    waiting = found(world, "mine")
    assert waiting.state is State.AWAITING_APPROVAL
    change(world, "mine", approvedPlan=waiting.plan_hash)
    await wait_for(world, 60)
    assert found(world, "mine").succeeded


@pytest.mark.parametrize("lost", [0, 2])
async def test_a_broker_that_holds_data_is_waited_for(lost: int) -> None:
    world = await stalled_world()
    world.broken[lost] = "CrashLoopBackOff"
    world.kubelet()
    ask(world, "mine", evacuate=[2])
    await wait_for(world, DESIRED_SECONDS + 100)
    assert not found(world, "mine").started
