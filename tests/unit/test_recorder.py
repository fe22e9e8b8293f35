"""Events: what they say, how repeats are counted, and that recording never fails."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.adapters import recorder as module
from broker_operator.adapters.recorder import EventRecorder
from broker_operator.ports import TransientError
from tests.contract.kube_contract import broker_cluster
from tests.fakes.kube import Call, FakeKube

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject

START = datetime(2026, 3, 4, 5, 0, 0, tzinfo=UTC)


class ManualClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def advance(self, **delta: float) -> None:
        self.time += timedelta(**delta)


@pytest.fixture
def fake() -> FakeKube:
    return FakeKube()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recorder(fake: FakeKube, clock: ManualClock) -> EventRecorder:
    return EventRecorder(fake, clock, instance="operator-0")


@pytest.fixture
def cluster(fake: FakeKube) -> KubeObject:
    return fake.put(broker_cluster("kafka"))


def events(fake: FakeKube) -> list[dict[str, Any]]:
    return list(fake.all("Event"))


async def test_an_event_tells_who_says_what_about_whom(
    recorder: EventRecorder, fake: FakeKube, cluster: KubeObject
) -> None:
    await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    [event] = events(fake)
    assert event["involvedObject"] == {
        "apiVersion": "broker-operator.dev/v1alpha1",
        "kind": "BrokerCluster",
        "namespace": "kafka",
        "name": "orders",
        "uid": cluster["metadata"]["uid"],
    }
    assert event["metadata"]["namespace"] == "kafka"
    assert event["metadata"]["name"].startswith("orders.")
    assert (event["type"], event["reason"]) == ("Normal", "ScalingUp")
    assert event["message"] == "Adding broker 3."
    assert event["count"] == 1
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-03-04T05:00:00Z"
    assert event["source"] == {"component": "broker-operator"}
    assert event["reportingComponent"] == "broker-operator"
    assert event["reportingInstance"] == "operator-0"


async def test_a_warning_is_one(
    recorder: EventRecorder, fake: FakeKube, cluster: KubeObject
) -> None:
    await recorder.event(cluster, reason="DrainRefused", message="Too few.", warning=True)
    assert [event["type"] for event in events(fake)] == ["Warning"]


async def test_a_repeat_within_ten_minutes_counts_up(
    recorder: EventRecorder, fake: FakeKube, clock: ManualClock, cluster: KubeObject
) -> None:
    for _ in range(3):
        await recorder.event(cluster, reason="Waiting", message="Broker 3 is not ready.")
        clock.advance(minutes=9)
    [event] = events(fake)
    assert event["count"] == 3
    assert event["firstTimestamp"] == "2026-03-04T05:00:00Z"
    assert event["lastTimestamp"] == "2026-03-04T05:18:00Z"


async def test_a_repeat_after_ten_minutes_is_a_new_event(
    recorder: EventRecorder, fake: FakeKube, clock: ManualClock, cluster: KubeObject
) -> None:
    await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    clock.advance(minutes=10, seconds=1)
    await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    assert sorted(event["lastTimestamp"] for event in events(fake)) == [
        "2026-03-04T05:00:00Z",
        "2026-03-04T05:10:01Z",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"reason": "Other"},
        {"message": "Other."},
        {"warning": True},
    ],
)
async def test_what_differs_is_another_event(
    recorder: EventRecorder, fake: FakeKube, cluster: KubeObject, other: dict[str, Any]
) -> None:
    same: dict[str, Any] = {"reason": "ScalingUp", "message": "Adding broker 3."}
    await recorder.event(cluster, **same)
    await recorder.event(cluster, **(same | other))
    assert [event["count"] for event in events(fake)] == [1, 1]


async def test_objects_of_one_name_are_told_apart(
    recorder: EventRecorder, fake: FakeKube, cluster: KubeObject
) -> None:
    again = {**cluster, "metadata": {**cluster["metadata"], "uid": "another"}}
    await recorder.event(cluster, reason="Created", message="Welcome.")
    await recorder.event(again, reason="Created", message="Welcome.")
    assert len(events(fake)) == 2


async def test_the_next_process_counts_on(
    recorder: EventRecorder, fake: FakeKube, clock: ManualClock, cluster: KubeObject
) -> None:
    await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    clock.advance(minutes=3)
    successor = EventRecorder(fake, clock)
    await successor.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    [event] = events(fake)
    assert event["count"] == 2
    assert event["firstTimestamp"] == "2026-03-04T05:00:00Z"
    assert event["lastTimestamp"] == "2026-03-04T05:03:00Z"


async def test_long_messages_are_cut_where_the_server_would_refuse(
    recorder: EventRecorder, fake: FakeKube, cluster: KubeObject
) -> None:
    await recorder.event(cluster, reason="Planned", message="x" * 1024)
    await recorder.event(cluster, reason="Refused", message="x" * 1025)
    lengths = {event["reason"]: len(event["message"]) for event in events(fake)}
    assert lengths == {"Planned": 1024, "Refused": 1024}
    assert next(e for e in events(fake) if e["reason"] == "Refused")["message"].endswith("x...")


async def test_what_is_remembered_is_bounded(
    recorder: EventRecorder,
    fake: FakeKube,
    cluster: KubeObject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_SERIES", 2)
    for reason in ("A", "B", "A", "C", "D"):
        await recorder.event(cluster, reason=reason, message="Once more.")
    assert len(recorder._known) == 2
    await recorder.event(cluster, reason="A", message="Once more.")  # found on the server
    counts = {event["reason"]: event["count"] for event in events(fake)}
    assert counts == {"A": 3, "B": 1, "C": 1, "D": 1}


@pytest.mark.parametrize("verb", ["get", "apply"])
async def test_a_server_that_fails_costs_a_warning(
    recorder: EventRecorder,
    fake: FakeKube,
    cluster: KubeObject,
    caplog: pytest.LogCaptureFixture,
    verb: str,
) -> None:
    def fail(call: Call) -> None:
        if call.verb == verb:
            raise TransientError("no answer")

    fake.before = fail
    with caplog.at_level(logging.WARNING):
        await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    assert events(fake) == []
    assert "Cannot record the Event ScalingUp (Adding broker 3.): no answer" in caplog.text


async def test_an_object_without_identity_costs_a_warning(
    recorder: EventRecorder, fake: FakeKube, caplog: pytest.LogCaptureFixture
) -> None:
    await recorder.event({"kind": "BrokerCluster"}, reason="ScalingUp", message="Adding.")
    assert events(fake) == []
    assert "Cannot record the Event ScalingUp" in caplog.text


async def test_an_event_that_was_not_sent_is_not_counted(
    recorder: EventRecorder, fake: FakeKube, cluster: KubeObject
) -> None:
    def fail(call: Call) -> None:
        if call.verb == "apply":
            raise TransientError("no answer")

    fake.before = fail
    await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    fake.before = lambda _: None
    await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
    assert [event["count"] for event in events(fake)] == [1]
