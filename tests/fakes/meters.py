"""Brokers' metrics in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.health import Reading
    from broker_operator.core.model import BrokerId


class FakeMeters:
    """`ports.Meters` over a table.

    Attributes:
        readings: What each broker tells; one that is not named does not answer.
        asked: The addresses of each call.
    """

    def __init__(self) -> None:
        self.readings: dict[BrokerId, Reading] = {}
        self.asked: list[dict[BrokerId, str]] = []

    async def read(self, addresses: Mapping[BrokerId, str]) -> dict[BrokerId, Reading | Unknown]:
        """See the port."""
        self.asked.append(dict(addresses))
        return {
            broker: self.readings.get(broker, Unknown(f"{address}: no answer"))
            for broker, address in addresses.items()
        }
