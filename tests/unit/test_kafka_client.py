"""What kafka-python leaves open is closed."""

from __future__ import annotations

import socket
from types import SimpleNamespace

from kafka.net.transport import KafkaTCPTransport

from broker_operator.adapters import kafka_client


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
