"""What people decide while data moves: approve, ask, pause, undo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.brokers import MOVE_SECONDS, READY_SECONDS, USUAL, Brokers
from tests.e2e.test_scaling import newest_number, scale_and_finish, spread

if TYPE_CHECKING:
    from tests.traffic.pods import Traffic

pytestmark = pytest.mark.e2e

SLOW = {"throttle": "1Mi", "maxMovesPerBroker": 2}


def ask(brokers: Brokers, name: str, **spec: Any) -> None:
    """Create a Reassignment as its user does."""
    brokers.env.apply(
        {
            "apiVersion": "broker-operator.dev/v1alpha1",
            "kind": "Reassignment",
            "metadata": {"name": name, "namespace": brokers.namespace},
            "spec": {"cluster": brokers.name, **spec},
        }
    )


def change(brokers: Brokers, name: str, **spec: Any) -> None:
    """Change the spec of a Reassignment."""
    where = ("ra", name, "-n", brokers.namespace, "--type=merge", "-p")
    brokers.env.kubectl("patch", *where, json.dumps({"spec": spec}))


def look(brokers: Brokers, name: str) -> dict[str, Any]:
    """Return a Reassignment's status."""
    status: dict[str, Any] = brokers.env.get("ra", name, "-n", brokers.namespace).get("status", {})
    return status


def state(brokers: Brokers, name: str) -> str:
    """Return what the column STATE shows."""
    conditions = look(brokers, name).get("conditions", [])
    return next((c["reason"] for c in conditions if c["type"] == "Complete"), "")


def wait_for(brokers: Brokers, name: str, wanted: str, seconds: float = MOVE_SECONDS) -> None:
    brokers.until(f"{name} to be {wanted}", lambda: state(brokers, name) == wanted, seconds)


def test_a_request_that_names_no_cluster_says_so(brokers: Brokers) -> None:
    ask(brokers, "misspelt", cluster=f"{brokers.name}-typo", evacuate=[2])
    try:
        wait_for(brokers, "misspelt", "NoBrokerCluster", 60)
        told = next(c for c in look(brokers, "misspelt")["conditions"] if c["type"] == "Complete")
        assert f"spec.cluster is '{brokers.name}-typo'" in told["message"]
        assert brokers.name in told["message"].partition("(there is ")[2]
    finally:
        brokers.env.kubectl("delete", "ra", "misspelt", "-n", brokers.namespace)
    brokers.ready(3)


def test_nothing_moves_before_its_plan_is_approved(brokers: Brokers, traffic: Traffic) -> None:
    brokers.patch({"reassignment": {"approval": "Required"}})
    name = f"{brokers.name}-{newest_number(brokers) + 1}"
    try:
        before = spread(traffic)
        brokers.scale(4)

        def waiting() -> bool:
            return any(ra["metadata"]["name"] == name for ra in brokers.reassignments())

        brokers.until("a plan", waiting, READY_SECONDS)
        wait_for(brokers, name, "AwaitingApproval")
        plan = look(brokers, name)["plan"]["hash"]
        assert spread(traffic) == before | {3: 0} or spread(traffic) == before
        assert brokers.throttles() == ""
        change(brokers, name, approvedPlan=plan)
        wait_for(brokers, name, "Succeeded")
        assert look(brokers, name)["plan"]["hash"] == plan
        assert look(brokers, name)["outcome"]["moves"] == look(brokers, name)["plan"]["moves"]
        brokers.ready(4)
    finally:
        brokers.patch({"reassignment": {"approval": "Automatic"}})
    scale_and_finish(brokers, 3, "ScaleDown")


def test_an_evacuation_is_paused_resumed_and_undone_under_traffic(
    brokers: Brokers, traffic: Traffic
) -> None:
    scale_and_finish(brokers, 4, "ScaleUp")
    brokers.patch({"reassignment": SLOW})
    traffic.start()
    before = traffic.describe(assignment=True)["assignment"]
    try:
        ask(brokers, "impossible", evacuate=[9])
        wait_for(brokers, "impossible", "Refused", 60)
        ask(brokers, "empty-3", evacuate=[3])
        ask(brokers, "next")

        def moving() -> bool:
            return bool(look(brokers, "empty-3").get("progress", {}).get("movesDone"))

        brokers.until("some moves", moving, READY_SECONDS)
        assert look(brokers, "next")["queuePosition"] == 1
        brokers.env.kubectl("delete", "ra", "impossible", "-n", brokers.namespace)
        change(brokers, "empty-3", paused=True)
        wait_for(brokers, "empty-3", "Paused")
        assert brokers.throttles() == ""
        half = traffic.describe(assignment=True)["assignment"]
        assert any(3 in replicas for its in half.values() for replicas in its.values())
        assert half != before
        change(brokers, "empty-3", undo=True, paused=False)
        wait_for(brokers, "empty-3", "Undone")
        wait_for(brokers, "next", "Succeeded")
    finally:
        brokers.patch({"reassignment": USUAL})
    brokers.ready(4, MOVE_SECONDS)
    after = traffic.describe(assignment=True)["assignment"]
    assert {t: after[t] for t in before} == before, "in the very order that they had"
    assert brokers.throttles() == ""
    ask(brokers, "empty-3-again", evacuate=[3])
    wait_for(brokers, "empty-3-again", "Succeeded")
    assert spread(traffic).get(3, 0) == 0
    assert brokers.replicas() == 4, "it keeps running"
    brokers.ready(4)
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []
    brokers.scale(3)
    brokers.ready(3, MOVE_SECONDS)
