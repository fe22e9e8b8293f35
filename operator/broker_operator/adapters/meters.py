"""The brokers' own metrics, as each of them tells Prometheus.

broker_image/config/jmx.yml gives them their names.
"""

from __future__ import annotations

import asyncio
import math
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

from broker_operator.adapters.pool import Pool
from broker_operator.core.health import Reading
from broker_operator.core.model import Unknown
from broker_operator.ports import TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import BrokerId

DEADLINE = 3.0
"""Seconds for each broker: a late answer is no answer to how it is now."""
SOCKET_TIMEOUT = 2.0
APART, APART_MOST = 0.1, 1.0
"""Seconds between the questions to two brokers, and from the first to the last. An answer costs a
broker some 10 ms of a processor: where brokers share a machine, all at once make clients wait."""
MOST_BYTES = 4 * 1024**2
_WORKERS = 16

_FIELDS = {
    "kafka_network_request_seconds": "produce_p99",
    "kafka_network_request_mean_seconds": "produce_mean",
    "kafka_network_requests_total": "produce_count",
    "kafka_server_request_handler_idle_ratio": "handlers_idle",
    "kafka_server_request_handler_idle_seconds_total": "handlers_idle_seconds",
    "kafka_server_isr_shrinks_total": "isr_shrinks",
    "kafka_server_reassignment_bytes_in_total": "moved_in",
    "kafka_server_reassignment_bytes_out_total": "moved_out",
}
PATH = "/metrics?" + urlencode([("name[]", name) for name in _FIELDS])
"""Only these: what is not asked for, the exporter does not collect, of the JVM's own at least."""
_WANTED = {"request": "Produce", "quantile": "0.99"}
"""Of a metric that has these labels, the series with these values is taken."""


class HttpMeters:
    """`ports.Meters` by HTTP, on threads of its own: a name that is not resolved blocks."""

    def __init__(self) -> None:
        self._pool = Pool("meters", _WORKERS)

    async def read(self, addresses: Mapping[BrokerId, str]) -> dict[BrokerId, Reading | Unknown]:
        """See the port."""
        apart = min(APART, APART_MOST / max(1, len(addresses)))
        asked = (self._ask(address, n * apart) for n, address in enumerate(addresses.values()))
        answers = await asyncio.gather(*asked)
        return dict(zip(addresses, answers, strict=True))

    def close(self) -> None:
        """Let the threads end."""
        self._pool.close()

    async def _ask(self, address: str, after: float) -> Reading | Unknown:
        await asyncio.sleep(after)
        try:
            page = await self._pool.call(DEADLINE, _fetch, address)
            return parse(page)
        except (OSError, HTTPException, ValueError, TransientError) as error:
            return Unknown(f"{address}: {error}")


def _fetch(address: str) -> str:
    """Return the page of a broker.

    Raises:
        OSError, HTTPException: It does not answer, or not so.
        ValueError: The answer is no page of metrics.
    """
    connection = HTTPConnection(address, timeout=SOCKET_TIMEOUT)
    try:
        connection.request("GET", PATH, headers={"Accept": "text/plain; version=0.0.4"})
        response = connection.getresponse()
        body = response.read(MOST_BYTES)
        if response.status != 200:  # noqa: PLR2004 - OK
            raise ValueError(f"answers {response.status}")
        return body.decode()
    finally:
        connection.close()


def parse(page: str) -> Reading:
    """Read a page of metrics; a metric that is not there, or is no number, is None.

    Raises:
        ValueError: It has none of these metrics, or is none of Prometheus' pages.
    """
    # Only these lines: a page has hundreds, and the parser takes its time over each.
    lines = [line for line in page.splitlines() if line.startswith(tuple(_FIELDS))]
    values = {
        _FIELDS[sample.name]: sample.value
        for family in text_string_to_metric_families("\n".join(lines) + "\n")
        for sample in family.samples
        if sample.name in _FIELDS
        and all(sample.labels.get(key, value) == value for key, value in _WANTED.items())
    }
    if not values:
        raise ValueError("has no metrics of a broker")
    return Reading(**{key: value for key, value in values.items() if math.isfinite(value)})
