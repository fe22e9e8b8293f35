"""The operator is killed right after every external call of 3 -> 4 -> 3, over live brokers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fakes.intercept import intercepted
from tests.kafka.harness import LoopbackClients
from tests.kafka.kills.calls import REPORT, name_of
from tests.kafka.kills.world import PHASES, TrackedWorld
from tests.unit.reconcile.mortal import Killed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker_operator.reconcile.reconciler import Result
    from tests.fakes.intercept import Asked
    from tests.kafka.cluster import KafkaCluster

EVERY_CALL = int(os.environ.get("EVERY_CALL") or 0)
"""Kill one process in each 3 -> 4 -> 3: after its call of this number, then the next, to the last.
That takes hours. If it is 0 several are killed in each, as `Deaths` says."""
MOST_ROUNDS = 80
"""Twenty or so are enough."""
HISTORY = 2
FEW = 4
"""So many processes may die one after the other without any having written anything."""
SPECS = (
    {"via": "ZooKeeper", "throttle": "10Mi"},
    {"via": "AdminApi", "throttle": "Adaptive"},
)
"""In turn: these make different calls."""
CALLS = {
    *("kubernetes get BrokerCluster", "kubernetes list Pod", "kubernetes apply StatefulSet"),
    *("kubernetes create Reassignment", "kubernetes apply ConfigMap", "recorder event"),
    *("kubernetes set_finalizers Reassignment", "kubernetes delete Reassignment"),
    *("kafka leadership", "kafka log_dirs", "kafka min_insync", "kafka throttles", "meters read"),
    *("kafka set_throttle", "kafka clear_throttle", "kafka reassign"),
    *("zookeeper read", "zookeeper submit"),
}
"""Some of those after which somebody must have died: nearly all."""


class Site(NamedTuple):
    """Where in 3 -> 4 -> 3 a call is made.

    Two calls at one site are the same call of the same step of a pass, and nothing was written
    between them but a report for people: whoever comes after them finds the same.

    Attributes:
        phase: `out` or `in`.
        batches: Submitted so far in this phase.
        written: The last write before it.
        call: Port, method and what it is about.
        number: Which of its kind it is in its pass, from 1.
        request: Which write request of its call, from 2, was about to be sent; 0: it has returned.
    """

    phase: str
    batches: int
    written: str
    call: str
    number: int
    request: int


@dataclass
class Deaths:
    """Decides who dies where: one process at each site, and few of them between two writes.

    So the next one after these lives long enough to write something.

    Attributes:
        phase: The present one; empty while nobody dies.
        written: See `Site`.
        calls: Made so far in this 3 -> 4 -> 3.
        dies_at: Die after this call, and nowhere else, unless it is 0.
        count: How many have died.
        died: Where somebody has died.
        lately: How many have died since each last write, in this phase.
    """

    phase: str = ""
    written: str = ""
    calls: int = 0
    dies_at: int = 0
    count: int = 0
    died: set[Site] = field(default_factory=set)
    lately: Counter[tuple[str, int, str]] = field(default_factory=Counter)

    def begin(self, phase: str) -> None:
        self.phase, self.written = phase, ""
        self.lately.clear()

    def chooses(self, site: Site) -> bool:
        if not self.phase:
            return False
        self.calls += site.request == 0
        if self.dies_at:
            dies = self.calls == self.dies_at and site.request == 0
        else:
            dies = site not in self.died and self.lately[site[:3]] < FEW
        if not dies:
            return False
        self.count += 1
        self.died.add(site)
        self.lately[site[:3]] += 1
        return True


class Life:
    """One process: it may end right after each of its calls, and between their requests."""

    def __init__(self, world: MortalWorld) -> None:
        self._world, self._deaths = world, world.deaths
        self._dead = False
        self._made: Counter[str] = Counter()
        self._writing: Site | None = None

    def begin_pass(self) -> None:
        self._made.clear()

    async def __call__(self, asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:
        if self._dead:
            raise Killed
        deaths, call = self._deaths, name_of(self._world, asked)
        self._made[call] += 1
        place = deaths.phase, self._world.batches, deaths.written
        site = Site(*place, call, self._made[call], 0)
        self._writing = site if asked.writes else None
        try:
            answer = await self._world.watch(asked, act)
        finally:
            self._writing = None
        if self._dead:
            raise Killed
        if asked.writes:
            deaths.written = deaths.written if call.endswith(REPORT) else call
        self._end_at(site)
        return answer

    def request(self) -> None:
        """Be told, in a worker thread, that a request to write is about to be sent."""
        if self._writing is None:
            return
        self._writing = site = self._writing._replace(request=self._writing.request + 1)
        if site.request > 1:
            self._end_at(site)

    def _end_at(self, site: Site) -> None:
        if self._deaths.chooses(site):
            self._dead = True
            raise Killed


class Requests(list[str]):
    """`LoopbackClients.writes` that lets a process die before a request is sent."""

    life: Life | None = None

    def append(self, name: str) -> None:
        if self.life is not None:
            self.life.request()
        super().append(name)


class MortalWorld(TrackedWorld):
    """A world where the next operator process comes as soon as one is killed."""

    def __init__(self, cluster: KafkaCluster, deaths: Deaths, **spec: Any) -> None:
        super().__init__(cluster, **spec)
        self.deaths = deaths
        self.requests = Requests()
        self.clients = LoopbackClients(cluster, self.requests)
        self._start()

    def _start(self) -> None:
        self.requests.life = self._life = Life(self)
        self.restart_operator(**intercepted(self, self._life))

    async def one_pass(self) -> Result:
        while True:
            self._life.begin_pass()
            try:
                return await super().one_pass()
            except Killed:
                await self.leave_connections()
                self._start()


async def test_killed_after_any_call(live_brokers: KafkaCluster) -> None:
    deaths, undisturbed = Deaths(dies_at=EVERY_CALL), 0
    async with MortalWorld(live_brokers, deaths, reassignment={"history": HISTORY}) as world:
        for number in range(MOST_ROUNDS if not EVERY_CALL else sys.maxsize):
            world.edit(partial(_set, SPECS[number % len(SPECS)]))
            died = await _out_and_in(world, deaths)
            assert not await asyncio.to_thread(world.records.lost)
            assert len(world.reassignments()) <= HISTORY
            undisturbed = 0 if died else undisturbed + 1
            if undisturbed == len(SPECS):
                break
            deaths.dies_at += bool(EVERY_CALL)
        else:
            raise AssertionError(f"{len(deaths.died)} deaths, and still calls that nobody died at")
    assert EVERY_CALL or {site.call for site in deaths.died} >= CALLS


def _set(reassignment: dict[str, str], spec: dict[str, Any]) -> None:
    spec["reassignment"].update(reassignment)


async def _out_and_in(world: MortalWorld, deaths: Deaths) -> int:
    """Go through 3 -> 4 -> 3; return how many have died. If nobody has, all calls had their dead.

    Then there was no call at which somebody was still to die.
    """
    before, deaths.calls = deaths.count, 0
    for phase in PHASES:
        async with world.phase(phase):
            deaths.begin(phase)
        deaths.begin("")
    return deaths.count - before
