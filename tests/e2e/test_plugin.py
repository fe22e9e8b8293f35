"""`kubectl brokers` through kubectl itself, on a cluster that waits for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.brokers import MOVE_SECONDS, READY_SECONDS, USUAL
from tests.e2e.test_control import SLOW, look, state, wait_for
from tests.e2e.test_scaling import newest_number, spread

if TYPE_CHECKING:
    from tests.e2e.brokers import Brokers
    from tests.e2e.plugin import Plugin
    from tests.traffic.pods import Traffic

pytestmark = pytest.mark.e2e

TIMEOUT = ("--timeout", f"{MOVE_SECONDS:g}s")


def test_a_scaling_is_looked_at_approved_paused_watched_and_undone(
    brokers: Brokers, traffic: Traffic, plugin: Plugin
) -> None:
    cluster, name = brokers.name, f"{brokers.name}-{newest_number(brokers) + 1}"
    chosen = f"ra/{name}"
    before = traffic.describe(assignment=True)["assignment"]
    brokers.patch({"reassignment": SLOW | {"approval": "Required"}})
    try:
        plugin.says("pause", cluster)
        brokers.until("a pause", lambda: brokers.condition("Paused").get("status") == "True", 60)
        assert f"kubectl brokers resume {cluster}" in plugin.says("explain", cluster)
        plugin.says("resume", cluster)

        brokers.scale(4)
        waiting = f"{name} (ScaleUp) waits for approval of plan"
        brokers.until(waiting, lambda: waiting in plugin.says("explain", cluster), READY_SECONDS)
        plan = look(brokers, name)["plan"]
        shown = plugin.says("plan", cluster)
        assert f"Plan {plan['hash']}: {plan['moves']:,} moves" in shown
        assert json.loads(plugin.says("plan", cluster, "--format", "json"))["hash"] == plan["hash"]
        assert f"waits for approval: kubectl brokers approve {chosen}" in plugin.says(
            "status", cluster
        )
        assert f"that of {name} is {plan['hash']}" in plugin.ends(
            3, "approve", cluster, "--plan", "other"
        )
        assert state(brokers, name) == "AwaitingApproval"
        assert "Approved plan" in plugin.says("approve", cluster, "--plan", plan["hash"])

        def moving() -> bool:
            return bool(look(brokers, name).get("progress", {}).get("movesDone"))

        brokers.until("some moves", moving, READY_SECONDS)
        plugin.says("pause", chosen)
        wait_for(brokers, name, "Paused")
        assert f"kubectl brokers resume {chosen}" in plugin.says("status", cluster)
        brokers.patch({"reassignment": USUAL})
        plugin.says("resume", chosen)
        assert f"{name} has ended as Succeeded" in plugin.says("watch", chosen, *TIMEOUT)

        assert f"Undoing {name}" in plugin.says("undo", cluster)
        assert "nothing moves, nothing waits" in plugin.says("watch", cluster, *TIMEOUT)
        assert state(brokers, name) == "Undone"
        assert f"{name} is undone already" in plugin.says("undo", chosen)
        after = traffic.describe(assignment=True)["assignment"]
        assert {topic: after[topic] for topic in before} == before
        assert spread(traffic).get(3, 0) == 0
        stays = "broker 3 is ready and asked for by the spec, so it stays"
        assert stays in plugin.says("explain", cluster, "--broker", "3")
    finally:
        brokers.patch({"paused": False, "reassignment": USUAL | {"approval": "Automatic"}})
    brokers.scale(3)
    brokers.ready(3, MOVE_SECONDS)
    assert "nothing moves, nothing waits" in plugin.says("watch", cluster, *TIMEOUT)
    assert "broker 3 is gone, or never was" in plugin.says("explain", cluster, "--broker", "3")
