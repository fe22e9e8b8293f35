"""How a throttle is set and cleared, without brokers: in portions, and one after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.adapters import throttling
from broker_operator.adapters.kafka import KafkaBrokerAdmin
from broker_operator.core.model import Throttle
from broker_operator.ports import RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

TOPICS = [f"topic-{number:03}" for number in range(250)]
THROTTLE = Throttle(
    1_000_000, (0, 1, 2), dict.fromkeys(TOPICS, "0:1"), dict.fromkeys(TOPICS, "0:3")
)
LISTS = [100, 100, 50]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is asked for with how many topics, and for how long is waited in between."""
    seen: list[object] = []

    async def write(_: KafkaBrokerAdmin, work: Callable[..., None], what: Any) -> None:
        seen.append((work.__name__, len(what) if isinstance(what, dict) else None))
        if work is throttling.clear_rates and what.rate == 0:
            raise TransientError("broker 2: does not answer")

    async def call(_: KafkaBrokerAdmin, work: Any) -> None:
        seen.append(work.func.__name__)

    async def sleep(seconds: float) -> None:
        seen.append(seconds)

    monkeypatch.setattr(KafkaBrokerAdmin, "_write", write)
    monkeypatch.setattr(KafkaBrokerAdmin, "_call", call)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seen


def admin() -> KafkaBrokerAdmin:
    return KafkaBrokerAdmin([], on_write=lambda _: None)


async def test_lists_are_set_in_portions_and_apart_and_the_rates_last(seen: list[object]) -> None:
    await admin().set_throttle(THROTTLE)
    expected: list[object] = []
    for size in LISTS:
        expected += [("set_lists", size), throttling.APART]
    assert seen == [*expected, ("set_rates", None)]


async def test_rates_are_cleared_first_until_nobody_shows_anything(
    seen: list[object],
) -> None:
    await admin().clear_throttle(THROTTLE)
    expected: list[object] = [("clear_rates", None)]
    for size in LISTS:
        expected += [throttling.APART, ("clear_lists", size)]
    assert seen == [*expected, "await_gone"]


async def test_lists_are_cleared_though_a_broker_does_not_answer(seen: list[object]) -> None:
    with pytest.raises(TransientError, match="broker 2"):
        await admin().clear_throttle(Throttle(0, (0, 1, 2), {"orders": "0:1"}, {}))
    assert seen == [("clear_rates", None), throttling.APART, ("clear_lists", 1)]


async def test_a_portion_that_is_refused_keeps_no_other_from_being_cleared(
    seen: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    cleared: list[str] = []

    async def write(_: KafkaBrokerAdmin, work: Callable[..., None], what: Any) -> None:
        if work is throttling.clear_lists:
            cleared.append(min(what))
            if min(what) == "topic-100":
                raise RejectedError("topic topic-100: not allowed")

    monkeypatch.setattr(KafkaBrokerAdmin, "_write", write)
    with pytest.raises(RejectedError, match="topic-100"):
        await admin().clear_throttle(THROTTLE)
    assert cleared == ["topic-000", "topic-100", "topic-200"]
    assert "await_gone" not in seen


def test_brokers_hear_of_their_rates_apart() -> None:
    class Client:
        def ask_each(self, requests: dict[int, Any], apart: float) -> dict[int, Any]:
            asked.append((sorted(requests), apart))
            return {}

    asked: list[tuple[list[int], float]] = []
    written: list[str] = []
    client: Any = Client()
    throttling.clear_rates(client, THROTTLE, written.append)
    assert asked == [([0, 1, 2], throttling.APART)]
    assert len(written) == 3
