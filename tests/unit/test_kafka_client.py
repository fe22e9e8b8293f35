"""The Admin API client: what kafka-python leaves open is closed, and brokers are asked in turn."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kafka.net.transport import KafkaTCPTransport

from broker_operator.adapters import kafka_client
from broker_operator.adapters.kafka_client import APART, APART_MOST, AdminClient

if TYPE_CHECKING:
    from collections.abc import Coroutine


def test_a_connection_with_something_unsent_is_closed_with_the_client() -> None:
    """As towards a broker that has stopped to read."""
    ours, theirs = socket.socketpair()
    with theirs:
        network = kafka_client._network([], bootstrap_servers=["localhost:1"])
        transport = KafkaTCPTransport(network._net, ours)
        transport._write_buffer.append(b"unsent")
        connection = SimpleNamespace(transport=transport, close=transport.close)
        network._manager._conns[0] = connection
        network.close()
        assert ours.fileno() == -1


async def test_brokers_are_asked_one_after_the_other_and_awaited_together() -> None:
    """Those that share a machine would otherwise all be at work in the same moment."""
    seen: list[str] = []

    async def sleep(seconds: float) -> None:
        seen.append(f"{seconds} s")

    async def answer(broker: int) -> str:
        seen.append(f"await {broker}")
        if broker == 1:
            raise ConnectionError("gone")
        return f"of {broker}"

    def send(request: str, node_id: int) -> Coroutine[Any, Any, str]:
        seen.append(f"{request} {node_id}")
        return answer(node_id)

    client: Any = SimpleNamespace(
        _net=SimpleNamespace(sleep=sleep), _manager=SimpleNamespace(send=send)
    )
    found = await AdminClient._ask_known(client, dict.fromkeys(range(3), "ask"), 0.25)
    asked = ["ask 0", "0.25 s", "ask 1", "0.25 s", "ask 2"]
    assert seen == [*asked, "await 0", "await 1", "await 2"]
    assert (found[0], found[2]) == ("of 0", "of 2")
    assert isinstance(found[1], ConnectionError)


def test_many_brokers_are_asked_within_a_second() -> None:
    def run(_: object, requests: dict[int, str], apart: float) -> dict[int, float]:
        return dict.fromkeys(requests, apart)

    client: Any = SimpleNamespace(_manager=SimpleNamespace(run=run), _ask_each=None)
    few = AdminClient.ask_each(client, dict.fromkeys(range(3), "ask"))
    many = AdminClient.ask_each(client, dict.fromkeys(range(200), "ask"), apart=0.25)
    assert few[0] == APART
    assert many[0] * 200 == APART_MOST
