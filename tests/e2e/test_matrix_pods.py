"""Pods that cannot start: they stall what needs them, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.registry import pulled
from tests.e2e.brokers import MOVE_SECONDS, READY_SECONDS, Brokers
from tests.e2e.test_scaling import newest_number, scale_and_finish

if TYPE_CHECKING:
    import random

    from tests.traffic.pods import Traffic

pytestmark = pytest.mark.e2e

Spec = dict[str, Any]
MISTAKES: dict[str, tuple[Spec, Spec, tuple[str, ...]]] = {
    "Pending": (
        {"pod": {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}},
        {"pod": {"nodeSelector": None}},
        ("not scheduled", "node affinity/selector"),
    ),
    "ImagePullBackOff": (
        {"image": pulled("broker-operator/kafka:no-such-version")},
        {"image": None},
        ("ImagePull",),
    ),
    "CrashLoopBackOff": (
        {"config": {"log.retention.hours": "for ever"}},
        {"config": {"log.retention.hours": None}},
        ("CrashLoopBackOff, last exit code",),
    ),
}
"""Mistakes in a spec, what puts them right, and words of what is said meanwhile."""


def test_pods_that_cannot_start_stall_only_what_needs_them(
    brokers: Brokers, traffic: Traffic, rng: random.Random
) -> None:
    before = newest_number(brokers)
    traffic.start()
    first, *others = rng.sample(sorted(MISTAKES), k=len(MISTAKES))
    wrong, right, words = MISTAKES[first]
    try:
        brokers.patch({"replicas": 4, **wrong})
        expect_stalled(brokers, words)
        assert newest_number(brokers) == before, "nothing is planned meanwhile"
        # Whoever gives up gets what was there: the mistake is in the spec still.
        brokers.scale(3)
        brokers.ready(3)
        brokers.scale(4)
        expect_stalled(brokers, words)
        for mistake in others:
            wrong, then, words = MISTAKES[mistake]
            brokers.patch({**right, **wrong})  # they share no field
            right = then
            expect_stalled(brokers, words)
    finally:
        brokers.patch(right)
    brokers.ready(4, MOVE_SECONDS)
    assert newest_number(brokers) == before + 1
    assert brokers.on_broker(3)
    scale_and_finish(brokers, 3, "ScaleDown")
    outcome, verdict = traffic.stop(), traffic.verify()
    assert outcome.faults(verdict) == []


def expect_stalled(brokers: Brokers, words: tuple[str, ...]) -> None:
    """Wait until the status names the new broker's pod and its trouble; all else is well."""
    pod = f"{brokers.name}-broker-3: "

    def said() -> bool:
        stalled = brokers.condition("Stalled")
        message = stalled.get("message", "")
        named = stalled.get("reason") == "BrokersNotReady" and pod in message
        return named and all(word in message for word in words)

    brokers.until(f"{words} to be said", said, READY_SECONDS)
    status = brokers.status()
    assert status["readyReplicas"] == 3
    assert brokers.condition("Available")["status"] == "True"
    assert all(row["state"] == "Ready" for row in status["brokers"] if row["id"] != 3)
