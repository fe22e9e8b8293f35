"""The adapter that reads brokers' metrics, without brokers."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from broker_operator.adapters.meters import APART, APART_MOST, HttpMeters
from broker_operator.core.health import Reading
from broker_operator.core.model import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = b"""\
# TYPE kafka_server_reassignment_bytes_in_total counter
kafka_server_reassignment_bytes_in_total 7.0
"""


class Page(BaseHTTPRequestHandler):
    """A broker's metrics, those alone that are asked for."""

    def do_GET(self) -> None:
        """Answer."""
        where = urlsplit(self.path)
        assert where.path == "/metrics"
        assert "kafka_server_reassignment_bytes_in_total" in parse_qs(where.query)["name[]"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long was waited, which takes no time."""
    seen: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        seen.append(seconds)
        await real(0)

    monkeypatch.setattr("broker_operator.adapters.meters.asyncio.sleep", sleep)
    return seen


async def test_brokers_are_asked_one_after_the_other(address: str, waits: list[float]) -> None:
    """Four that share a machine would otherwise stop it for a tenth of a second together."""
    meters = HttpMeters()
    found = await meters.read(dict.fromkeys(range(4), address))
    meters.close()
    assert found == dict.fromkeys(range(4), Reading(moved_in=7.0))
    assert waits == [pytest.approx(n * APART) for n in range(4)]


async def test_many_brokers_are_asked_within_a_second(address: str, waits: list[float]) -> None:
    meters = HttpMeters()
    await meters.read(dict.fromkeys(range(50), address))
    meters.close()
    assert len(set(waits)) == 50
    assert max(waits) < APART_MOST


async def test_one_that_does_not_answer_is_unknown_and_takes_nothing_from_the_others(
    address: str, waits: list[float]
) -> None:
    meters = HttpMeters()
    found = await meters.read({0: "127.0.0.1:1", 1: address})
    meters.close()
    silent = found[0]
    assert isinstance(silent, Unknown)
    assert "127.0.0.1:1: " in silent.reason
    assert found[1] == Reading(moved_in=7.0)
    assert len(waits) == 2
