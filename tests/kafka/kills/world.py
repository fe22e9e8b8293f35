"""3 -> 4 -> 3 over live brokers, by operators to whom something happens."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from broker_operator.adapters.zookeeper import SESSION_TIMEOUT
from broker_operator.ports import TransientError
from broker_operator.reconcile.reconciler import Result
from tests.fakes.intercept import intercepted
from tests.kafka.harness import LiveWorld, LoopbackClients
from tests.kafka.kills.records import Records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.fakes.intercept import Asked, Between
    from tests.kafka.cluster import KafkaCluster

TOPIC, PARTITIONS = "orders", 6
PHASES = {"out": (3, 4), "in": (4, 3)}
MOVES = 3
"""Of each phase: a fourth broker takes three of twelve replicas, and gives them back."""


class TrackedWorld(LiveWorld):
    """A live world with records in it, that knows what was submitted.

    Only pods come and go, the brokers all keep running: else each phase would wait for a JVM.

    Attributes:
        submitted: How often each partition was submitted in this phase to be moved elsewhere.
        batches: How many times anything was submitted in it.
    """

    def __init__(self, cluster: KafkaCluster, **spec: Any) -> None:
        reassignment = {"throttle": "10Mi", "maxMovesPerBroker": 2}
        spec["reassignment"] = reassignment | spec.get("reassignment", {})
        super().__init__(cluster, 3, **spec)
        self.submitted: Counter[tuple[str, int]] = Counter()
        self.batches = 0
        self.records = Records(cluster, TOPIC, PARTITIONS)
        self._left: deque[tuple[float, LoopbackClients]] = deque()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            rows = {n: (n % 3, (n + 1) % 3) for n in range(PARTITIONS)}
            await asyncio.to_thread(self.cluster.create_topic, TOPIC, rows)
            await asyncio.to_thread(self.records.write)
            await self.settle()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        try:
            while self._left:
                await self._left.popleft()[1].close()
        finally:
            await super().close()

    async def one_pass(self) -> Result:
        """Make a pass. What makes it fail is tried again in the next one, as the loop does."""
        try:
            return await super().one_pass()
        except TransientError as error:
            self.results.append(Result(delay=0.0, retry=str(error), status={}))
            return self.results[-1]

    async def watch(self, asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call of an operator process, and take down the moves that it has submitted."""
        submits = asked.method in ("submit", "reassign")
        before = self._targets() if submits else {}
        answer = await act()
        if submits:
            self.batches += 1
            self.submitted.update(
                (topic, number)
                for topic, partitions in asked.args[0].items()
                for number, replicas in partitions.items()
                if set(replicas) != before[topic, number]
            )
        return answer

    def _targets(self) -> dict[tuple[str, int], set[int]]:
        """Return where each partition is, or is on its way to."""
        return {
            (topic, int(number)): {*replicas}.difference(
                content.get("removing_replicas", {}).get(number, ())
            )
            for topic, content in self.view.topics().items()
            for number, replicas in content["partitions"].items()
        }

    async def replace_operator(self, between: Between | None = None) -> None:
        """Start another process, with memory and connections of its own."""
        await self.leave_connections()
        self.restart_operator(**intercepted(self, between or self.watch))

    async def leave_connections(self) -> None:
        """Connect anew. What a killed process had open stays until its session would have expired.

        It holds nothing in ZooKeeper, so that closing it then makes no difference to anybody.
        """
        now = asyncio.get_running_loop().time()
        self._left.append((now, self.clients))
        self.clients = LoopbackClients(self.cluster, self.clients.writes)
        while self._left[0][0] < now - SESSION_TIMEOUT:
            await self._left.popleft()[1].close()

    @asynccontextmanager
    async def phase(
        self, name: str, *, planned_once: bool = True, askers: int = 1
    ) -> AsyncIterator[None]:
        """Scale, and see at the end that all is as if nothing had happened in between.

        Args:
            name: Of `PHASES`.
            planned_once: All moves are those of one Reassignment and one plan.
            askers: So many operators may ask for a move that has yet to begin.
        """
        before, removed, last = self.view.assignment(), len(self.removed), self.last_number
        self.submitted.clear()
        self.batches = 0
        self.scale(PHASES[name][1])
        yield
        await self.settle()
        self.assert_at_rest(*range(PHASES[name][1]))
        after = self.view.assignment()
        changed = {tp for tp in before if set(before[tp]) != set(after[tp])}
        assert len(changed) == MOVES, (before, after, self.submitted, self.story())
        assert self.submitted.keys() == changed, (changed, self.submitted)
        assert max(self.submitted.values()) <= askers, self.submitted
        made = [r for r in self.reassignments() if r.number > last]
        assert made[-1].succeeded
        if planned_once:
            assert [r.moves for r in made] == [MOVES]
        assert self.removed[removed:] == ([3] if name == "in" else [])

    @property
    def last_number(self) -> int:
        """Number of the newest Reassignment, 0 if there is none."""
        return max((r.number for r in self.reassignments()), default=0)
