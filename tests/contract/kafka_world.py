"""A Kafka cluster as the contract's tests see it, and what they do to it from outside."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from broker_operator.core.model import PartitionState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from broker_operator.core.model import Assignment, BrokerId, Ensemble, Replicas
    from broker_operator.ports import BrokerAdmin, Coordination

BROKERS = (0, 1, 2, 3)
DEADLINE = 40.0
SIZE = 3_000_000
"""Bytes of a partition whose move can be held up: more than a follower fetches at once."""


class World(ABC):
    """A cluster of brokers 0 to 3 with nothing in flight, and what a test does to it from outside.

    Attributes:
        coordination: The one under test.
        admin: The one under test.
        writes: What both called their `on_write` with.
        topic: A topic name that is free.
    """

    coordination: Coordination
    admin: BrokerAdmin
    writes: list[str]
    topic: str

    @abstractmethod
    async def create_topic(self, assignment: Mapping[int, Replicas], size: int = 0) -> None:
        """Create `topic` with `size` bytes in each partition, replicated."""

    @abstractmethod
    async def delete_topic(self) -> None:
        """Delete `topic`."""

    @abstractmethod
    async def configure_topic(self, key: str, value: str | None) -> None:
        """Set a config of `topic`, or delete it if `value` is None."""

    @abstractmethod
    async def put_request(self, content: bytes) -> None:
        """Create `/admin/reassign_partitions` with this content, as any other tool may."""

    @abstractmethod
    async def deafen(self) -> None:
        """Make the controller miss the next request, as whoever deletes one by hand does."""

    @abstractmethod
    async def stop_broker(self, broker: BrokerId) -> None:
        """Take a broker out of the cluster in good order."""

    @abstractmethod
    async def start_broker(self, broker: BrokerId) -> None:
        """Bring a stopped broker back."""

    @abstractmethod
    async def hold(self) -> None:
        """Keep moves of `topic` from finishing until `let_go`."""

    @abstractmethod
    async def let_go(self) -> None:
        """Let moves of `topic` finish."""

    async def until(
        self, what: str, condition: Callable[[Ensemble], bool], *, pause: float = 0.05
    ) -> Ensemble:
        """Read until `condition` holds, and return what was read then."""
        end = time.monotonic() + DEADLINE
        while not condition(seen := await self.coordination.read()):
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}; last seen: {seen}"
            await asyncio.sleep(pause)
        return seen

    async def until_true(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        """Ask until `condition` holds; brokers learn of changes a moment after they are made."""
        end = time.monotonic() + DEADLINE
        while not await condition():
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
            await asyncio.sleep(0.05)

    async def until_moved(
        self, target: Assignment, *, requested: Assignment | None = None
    ) -> Ensemble:
        """Wait until these partitions are where they should be and nothing else is requested."""

        def moved(seen: Ensemble) -> bool:
            there = all(
                seen.topics[topic][number] == PartitionState(replicas)
                for topic, partitions in target.items()
                for number, replicas in partitions.items()
            )
            return there and seen.requested == requested

        return await self.until(f"moved to {target}", moved)
