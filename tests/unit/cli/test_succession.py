"""The commands while a controller has died and its successor is not in office yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kafka.errors import ClusterAuthorizationFailedError, KafkaConnectionError, KafkaTimeoutError

from broker_operator.cli import live
from broker_operator.ports import RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

FOUND: tuple[dict[int, str | None], live.States] = ({1: None}, {})


class Client:
    """A connection of which only the end is seen."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Cluster:
    """Answers each new client with the next of these, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.clients: list[Client] = []
        self.slept = 0.0

        def ask(_client: Client) -> Any:
            answer = answers[min(len(self.clients), len(answers)) - 1]
            if isinstance(answer, Exception):
                raise answer
            return answer

        def sleep(seconds: float) -> None:
            self.slept += seconds

        monkeypatch.setattr(live, "open_client", self.connect)
        monkeypatch.setattr(live, "_ask", ask)
        clock = SimpleNamespace(sleep=sleep, monotonic=lambda: self.slept)
        monkeypatch.setattr(live, "time", clock)

    def connect(self, _servers: list[str]) -> Client:
        self.clients.append(Client())
        return self.clients[-1]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    return lambda *answers: Cluster(monkeypatch, *answers)


@pytest.mark.parametrize(
    "passing",
    [
        KafkaConnectionError("111 ECONNREFUSED"),
        RuntimeError("Failed to find active controller id!"),
        TransientError("the broker asked knows no controller yet"),
        AttributeError("what a dying connection trips the library over"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_next_controller_is_waited_for(
    cluster: Callable[..., Cluster], passing: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    it = cluster(passing, passing, FOUND)
    assert live._metadata(["a:1"]) == FOUND
    assert it.slept == 2 * live.PAUSE_SECONDS
    assert [client.closed for client in it.clients] == [True, True, True]
    told = capsys.readouterr().err
    assert told.count("asked again for up to 30 s") == 1
    assert str(passing) in told


def test_brokers_that_answer_no_more_meanwhile_are_waited_for(
    cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = cluster(KafkaConnectionError("111 ECONNREFUSED"), FOUND)
    times = iter((True, False, False, True))

    def connect_or_not(servers: list[str]) -> Any:
        if next(times):
            return it.connect(servers)
        raise KafkaTimeoutError("the one that was asked is the dead one")

    monkeypatch.setattr(live, "open_client", connect_or_not)
    assert live._metadata(["a:1", "b:1"]) == FOUND
    assert it.slept == 3 * live.PAUSE_SECONDS


def test_it_is_not_waited_for_longer_than_an_election_takes(
    cluster: Callable[..., Cluster],
) -> None:
    it = cluster(KafkaConnectionError("111 ECONNREFUSED"))
    with pytest.raises(TransientError, match=r"not to be had within 30 s: .*REFUSED; .* advertise"):
        live._metadata(["a:1"])
    assert it.slept == pytest.approx(live.SUCCESSION_SECONDS, abs=2)
    assert all(client.closed for client in it.clients)


@pytest.mark.parametrize(
    "final", [ClusterAuthorizationFailedError("no"), RejectedError("no")], ids=["library", "ours"]
)
def test_a_refusal_is_told_at_once(cluster: Callable[..., Cluster], final: Exception) -> None:
    it = cluster(final, FOUND)
    with pytest.raises(RejectedError, match="no"):
        live._metadata(["a:1"])
    assert it.slept == 0
    assert it.clients[0].closed


def test_a_connection_that_will_not_close_takes_nothing_away(
    cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_client: Client) -> None:
        raise KafkaTimeoutError("still busy")

    cluster(FOUND)
    monkeypatch.setattr(Client, "close", fail)
    assert live._metadata(["a:1"]) == FOUND


def test_nobody_to_ask_is_told_at_once(
    cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = cluster(FOUND)

    def refuse(_servers: list[str]) -> Client:
        raise KafkaTimeoutError("nobody")

    monkeypatch.setattr(live, "open_client", refuse)
    with pytest.raises(TransientError, match=r"no broker answers at a:1; .*nobody"):
        live._metadata(["a:1"])
    assert it.slept == 0
