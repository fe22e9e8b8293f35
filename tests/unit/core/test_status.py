from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.api.reassignment import State
from broker_operator.core.diagnose import diagnose
from broker_operator.core.model import (
    BrokerLogs,
    BrokerSet,
    Leadership,
    PartitionState,
    Pod,
    Unknown,
)
from broker_operator.core.progress import Progress
from broker_operator.core.status import (
    Finding,
    blocked_by,
    cluster_status,
    invalid_status,
    standing,
)
from tests.unit.core.samples import (
    MIB,
    cluster,
    ensemble,
    facts,
    finished,
    kafka,
    reassignment,
    request,
)

if TYPE_CHECKING:
    from broker_operator.core.facts import Facts

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
DOWN = Unknown("it does not answer")


def status_of(
    seen: Facts,
    *findings: Finding,
    progress: Progress | None = None,
    balanced: bool = False,
    now: str = NOW,
) -> dict[str, Any]:
    return cluster_status(
        seen, diagnose(seen), findings, progress=progress, balanced=balanced, now=now
    )


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def message(status: dict[str, Any], kind: str) -> str:
    return str(next(c["message"] for c in status["conditions"] if c["type"] == kind))


def test_a_healthy_cluster_s_status() -> None:
    status = status_of(facts(), balanced=True)
    assert conditions(status) == {
        "Available": ("True", "AllPartitionsLed"),
        "BrokersReady": ("True", "AllReady"),
    }
    assert status["observedGeneration"] == 4
    assert status["replicas"] == status["readyReplicas"] == 3
    assert status["clusterId"] == "kafka-id"
    assert status["balancedBrokers"] == [0, 1, 2]
    assert status["selector"].count("=") == 3
    assert "reassignment" not in status
    assert status["brokers"][1] == {
        "id": 1,
        "pod": "demo-broker-1",
        "state": "Ready",
        "replicas": 2,
        "leaders": 1,
        "bytes": 7 * MIB,  # in whole MiB
    }


def test_equal_facts_give_an_equal_status_for_ever() -> None:
    first = status_of(facts(), balanced=True)
    assert status_of(facts(status=first), balanced=True, now=LATER) == first


def test_a_condition_s_time_moves_only_when_its_status_flips() -> None:
    first = status_of(facts())
    offline = kafka(leadership={"orders": {0: Leadership(None, frozenset())}})
    second = status_of(facts(status=first, kafka=offline), now=LATER)
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert times == {"Available": LATER, "BrokersReady": NOW}


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"ensemble": DOWN, "kafka": DOWN}, "Unknown", "ZooKeeperUnreachable"),
        ({"kafka": DOWN}, "Unknown", "KafkaUnreachable"),
        ({"kafka": DOWN, "broker_sets": ()}, "False", "KafkaUnreachable"),
        ({"kafka": DOWN, "ensemble": ensemble()}, "False", "KafkaUnreachable"),
        ({"ensemble": ensemble(0, 1, topics={})}, "False", "BrokersMissing"),
        (
            {"kafka": kafka(leadership={"orders": {0: Leadership(None, frozenset())}})},
            "False",
            "OfflinePartitions",
        ),
    ],
)
def test_availability(changes: dict[str, Any], status: str, reason: str) -> None:
    assert conditions(status_of(facts(**changes)))["Available"] == (status, reason)


def test_a_served_cluster_that_loses_a_broker_stays_available() -> None:
    served = status_of(facts())
    status = status_of(facts(status=served, ensemble=ensemble(0, 1)))
    assert conditions(status)["Available"] == ("True", "AllPartitionsLed")
    assert conditions(status)["BrokersReady"] == ("False", "BrokersNotReady")


def test_it_is_available_again_as_soon_as_all_partitions_are_led() -> None:
    """Between the loss of a broker and the elections there is a moment without some leaders."""
    lost = ensemble(0, 1)
    moment = kafka(leadership={"orders": {0: Leadership(None, frozenset())}})
    unled = status_of(facts(status=status_of(facts()), ensemble=lost, kafka=moment))
    assert conditions(unled)["Available"] == ("False", "OfflinePartitions")
    after = status_of(facts(status=unled, ensemble=lost))
    assert conditions(after)["Available"] == ("True", "AllPartitionsLed")


def test_not_ready_brokers_are_told_with_their_reason() -> None:
    told = Finding("blocked", "BrokersNotReady", "2 of 3 brokers are ready; demo-broker-2: x")
    status = status_of(facts(ensemble=ensemble(0, 1)), told)
    assert message(status, "BrokersReady") == told.message
    assert message(status_of(facts(ensemble=ensemble(0, 1))), "BrokersReady").startswith("2 of 3")


STUCK = Finding("blocked", "ReplicationFactorTooHigh", "too high", stalled=True)
BUSY = Finding("wait", "Moving", "3 partitions in flight")


@pytest.mark.parametrize(
    ("findings", "present"),
    [
        ([], {}),
        ([BUSY], {"Reconciling": ("True", "Moving")}),
        ([STUCK], {"Stalled": ("True", "ReplicationFactorTooHigh")}),
        ([BUSY, STUCK], {"Stalled": ("True", "ReplicationFactorTooHigh")}),
        ([Finding("blocked", "Paused", "paused")], {}),
        ([Finding("retry", "Retrying", "no answer")], {"Reconciling": ("True", "Retrying")}),
    ],
)
def test_what_goes_on_is_there_only_while_it_does(
    findings: list[Finding], present: dict[str, tuple[str, str]]
) -> None:
    before = status_of(facts(), STUCK)
    found = conditions(status_of(facts(status=before), *findings))
    assert {k: v for k, v in found.items() if k in ("Stalled", "Reconciling")} == present


def test_domain_conditions_stay_false_once_they_were_true() -> None:
    busy = facts(
        cluster=replace(cluster(4, paused=True)),
        broker_sets=(BrokerSet("demo-broker", None, 0, 6),),
        reassignments=(reassignment(),),
    )
    first = status_of(busy)
    kinds = {"ScalingUp", "ScalingDown", "ReassignmentInProgress", "Paused"}
    assert {k: v for k, v in conditions(first).items() if k in kinds} == {
        k: ("True", k) for k in kinds
    }
    after = conditions(status_of(facts(status=first)))
    assert {k: v for k, v in after.items() if k in kinds} == {
        k: ("False", f"Not{k}") for k in kinds
    }


@pytest.mark.parametrize(
    ("changes", "broker", "state"),
    [
        ({}, 0, "Ready"),
        ({"pods": {}}, 0, "Starting"),
        ({"ensemble": ensemble(1, 2)}, 0, "Starting"),
        ({"ensemble": DOWN, "kafka": DOWN}, 0, "Unknown"),
        ({"cluster": cluster(4)}, 3, "Joining"),
        ({"cluster": cluster(2)}, 2, "Draining"),
        ({"broker_sets": (BrokerSet("demo-broker", None, 0, 4),)}, 3, "Leaving"),
    ],
)
def test_the_state_of_a_broker(changes: dict[str, Any], broker: int, state: str) -> None:
    rows = {row["id"]: row["state"] for row in status_of(facts(**changes))["brokers"]}
    assert rows[broker] == state


def test_what_was_not_read_is_left_out_of_a_row() -> None:
    (row, *_) = status_of(facts(ensemble=DOWN, kafka=DOWN))["brokers"]
    assert row == {"id": 0, "pod": "demo-broker-0", "state": "Unknown"}
    view = kafka(logs={0: DOWN, 1: BrokerLogs({})})
    rows = status_of(facts(kafka=view))["brokers"]
    assert ["bytes" in row for row in rows] == [False, True, False]


def test_racks_show_in_the_rows_and_an_id_that_nobody_owns_has_no_pod() -> None:
    racked = facts(
        cluster=cluster(2, racks=[{"name": "a", "zone": "a"}, {"name": "b", "zone": "b"}]),
        broker_sets=(
            BrokerSet("demo-broker-a", "a", 0, 1),
            BrokerSet("demo-broker-b", "b", 100, 1),
            BrokerSet("stray", None, 950, 120),
        ),
    )
    rows = {row["id"]: row for row in status_of(racked)["brokers"]}
    assert rows[0]["rack"] == "a"
    assert rows[1069]["pod"] == ""


MOVING = reassignment(2, brokers=(0, 1, 2))
DONE = reassignment(2, brokers=(0, 1, 2), conditions=finished())
HALF = reassignment(2, brokers=(0, 1, 2), conditions=finished("Superseded"))


@pytest.mark.parametrize(
    ("newest", "recorded", "balanced", "expected"),
    [
        (None, None, False, None),
        (None, [0, 1], False, [0, 1]),
        (None, [0, 1], True, [0, 1, 2]),
        (MOVING, [0, 1], False, None),
        (MOVING, [0, 1], True, None),
        (DONE, None, False, [0, 1, 2]),
        (HALF, None, False, None),
        (HALF, [0, 1], False, [0, 1]),
        (reassignment(2, brokers=(0, 1), conditions=finished()), [0, 1], False, [0, 1]),
    ],
)
def test_brokers_are_recorded_as_balanced_only_when_they_are(
    newest: Any, recorded: Any, expected: Any, *, balanced: bool
) -> None:
    seen = facts(
        reassignments=(newest,) if newest else (),
        status={"balancedBrokers": recorded} if recorded else {},
    )
    assert status_of(seen, balanced=balanced).get("balancedBrokers") == expected


AWAY = Finding("blocked", "BrokersNotReady", "b starts")
BEGUN = {"plan": {"hash": "abc", "begun": True}, "startedAt": "now"}


def test_a_reassignment_under_way_is_shown() -> None:
    progress = Progress("abc", 5, 500, 50, bytes_per_second=100, seconds_left=5.0)
    stuck = Finding("blocked", "UnderReplicated", "b lags")
    retry = Finding("retry", "Retrying", "no answer")
    going = facts(reassignments=(MOVING,))
    status = status_of(going, stuck, retry, stuck, BUSY, progress=progress)
    assert status["reassignment"] == {
        "name": "demo-2",
        "state": "Queued",
        "percent": 50,
        "eta": "5s",
        "blockedBy": ["b lags", "no answer"],
    }
    unhurried = status_of(going, progress=replace(progress, seconds_left=None))
    assert unhurried["reassignment"] == {"name": "demo-2", "state": "Queued", "percent": 50}
    assert status_of(going)["reassignment"] == {"name": "demo-2", "state": "Queued"}
    assert "reassignment" not in status_of(facts(reassignments=(DONE,)))


def test_what_waits_behind_it_is_named_in_the_order_of_its_turns() -> None:
    waiting = facts(reassignments=(DONE, request("b"), request("c"), request("a")))
    assert status_of(waiting)["reassignment"] == {
        "name": "a",
        "state": "Queued",
        "queued": ["b", "c"],
    }


@pytest.mark.parametrize(
    ("status", "found", "state"),
    [
        ({}, [], State.QUEUED),
        ({"plan": {"hash": "abc"}}, [], State.QUEUED),
        ({"plan": {"hash": "abc"}, "startedAt": "now"}, [BUSY], State.QUEUED),
        (BEGUN, [BUSY], State.MOVING),
        (BEGUN, [Finding("wait", "MeasuringClients", "looking")], State.WAITING),
        ({"plan": {"hash": "abc"}, "startedAt": "now"}, [STUCK], State.STALLED),
        (
            {"plan": {"hash": "abc"}},
            [STUCK, Finding("blocked", "AwaitingApproval", "approve it")],
            State.AWAITING_APPROVAL,
        ),
        ({}, [Finding("blocked", "ReassignmentPaused", "paused")], State.PAUSED),
    ],
)
def test_the_state_of_the_reassignment_whose_turn_it_is(
    status: dict[str, Any], found: list[Finding], state: State
) -> None:
    active = reassignment(2, brokers=(0, 1), **status)
    assert standing(active, found, flying=False)[0] is state


@pytest.mark.parametrize(
    ("found", "flying", "expected"),
    [
        ([], True, (State.MOVING, "partitions are moving")),
        ([AWAY], True, (State.MOVING, "partitions are moving")),
        ([AWAY, BUSY], False, (State.MOVING, "partitions are moving")),
        ([AWAY], False, (State.WAITING, "b starts")),
        ([], False, (State.WAITING, "nothing of it is in flight")),
    ],
)
def test_it_moves_if_something_flies_or_was_just_submitted(
    found: list[Finding], expected: tuple[State, str], *, flying: bool
) -> None:
    assert standing(reassignment(2, brokers=(0, 1), **BEGUN), found, flying=flying) == expected


def test_only_what_holds_things_up_is_named() -> None:
    assert blocked_by([BUSY]) == []
    assert blocked_by([STUCK, BUSY, STUCK]) == ["too high"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": {"clusterId": "first"}}, "first"),
        ({"status": {"clusterId": "first"}, "ensemble": DOWN}, "first"),
        ({"ensemble": DOWN}, None),
        ({"ensemble": ensemble()}, None),
        ({"ensemble": ensemble(7, 8)}, None),
        ({"ensemble": ensemble(0, cluster_id=None)}, None),
        ({"ensemble": ensemble(0)}, "kafka-id"),
    ],
    ids=["recorded", "recorded, down", "down", "nobody", "others", "none yet", "ours"],
)
def test_the_cluster_id_is_recorded_once_under_a_broker_of_ours(
    changes: dict[str, Any], expected: str | None
) -> None:
    assert status_of(facts(**changes)).get("clusterId") == expected


def test_an_invalid_spec_leaves_the_rest_of_the_status_alone() -> None:
    old = status_of(facts(pods={0: Pod("demo-broker-0", 0, ready=False)}), BUSY)
    new = invalid_status(old, 5, ["a is bad", "b is bad"], LATER)
    assert conditions(new) == {
        **{k: v for k, v in conditions(old).items() if k != "Reconciling"},
        "Stalled": ("True", "InvalidSpec"),
    }
    assert message(new, "Stalled") == "a is bad; b is bad"
    assert new["observedGeneration"] == 5
    kept = {"brokers", "replicas", "readyReplicas", "selector"}
    assert {k: new[k] for k in kept} == {k: old[k] for k in kept}
    assert invalid_status(new, 5, ["a is bad", "b is bad"], NOW) == new
    assert conditions(invalid_status({}, 1, ["x"], NOW)) == {"Stalled": ("True", "InvalidSpec")}


def test_replicas_in_flight_show_where_they_are() -> None:
    state = PartitionState((0, 2, 1), adding=(2,), removing=(1,))
    rows = status_of(facts(ensemble=ensemble(0, 1, 2, topics={"t": {0: state}})))["brokers"]
    assert [row["replicas"] for row in rows] == [1, 1, 1]
