"""Fill batches, so that no broker has too much to do and none waits for long.

A batch lasts as long as its busiest broker, and the next one begins when it has ended. So the
broker with most left to send or to receive sets the measure: it gets its share of every batch, and
the others get no more than fits into the time that this takes. Large partitions go first, each next
to others like it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from broker_operator.core.model import BrokerId, Replicas, TopicPartition

_LOOKS = 20
"""Candidates of one broker that are passed over in one batch: what does not fit now will soon."""


class Way(Enum):
    """What a broker has to do with a move. Each is limited by itself."""

    RECEIVE = "receive"
    SEND = "send"
    GIVE_UP = "give up"


Task: TypeAlias = "tuple[Way, BrokerId]"


class Candidate(NamedTuple):
    """A partition that may be submitted. `load`: replicas by task; sending counts each copy."""

    size: int
    name: TopicPartition
    replicas: Replicas
    load: dict[Task, int]


class _Queue:
    """The candidates of one task that are left, largest first.

    Attributes:
        count: Replicas left.
        bytes: Bytes left; giving up costs none.
    """

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self._numbers: list[int] = []
        self._sizes: list[int] = []  # negative, so that they ascend
        self._next: list[int] = []  # where to look on from a candidate that has been taken

    def append(self, number: int, size: int, count: int, weight: int) -> None:
        self.count += count
        self.bytes += weight
        self._numbers.append(number)
        self._sizes.append(-size)
        self._next.append(len(self._next))

    def after(self, at: int, room: int | None, taken: list[bool]) -> int | None:
        """Return the place of the first candidate from `at` on that is left and fits the room."""
        if room is not None:
            at = max(at, bisect_left(self._sizes, -room))
        at = self._find(at, taken)
        return at if at < len(self._numbers) else None

    def __getitem__(self, at: int) -> int:
        return self._numbers[at]

    def _find(self, at: int, taken: list[bool]) -> int:
        """Return the first place from `at` on that is not taken, and shorten the way to it."""
        passed: list[int] = []
        while at < len(self._numbers) and taken[self._numbers[at]]:
            passed.append(at)
            at = max(at + 1, self._next[at])
        for place in passed:
            self._next[place] = at
        return at


_NONE = _Queue()


class Schedule:
    """The candidates that are left, and how to fill batches with them."""

    def __init__(
        self,
        candidates: list[Candidate],
        max_moves: int,
        max_bytes: int | None,
        max_entries: int,
    ) -> None:
        self.left = len(candidates)
        self._candidates = candidates
        self._taken = [False] * len(candidates)
        self._max_moves = max(1, max_moves)
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._queues: dict[Task, _Queue] = {}
        self._ends: set[Task] = set()  # every candidate is in the queue of one of these
        self._reorderings: list[int] = []
        for number, candidate in enumerate(candidates):
            if not candidate.load:
                self._reorderings.append(number)
            receives = any(way is Way.RECEIVE for way, _ in candidate.load)
            for task, count in candidate.load.items():
                queue = self._queues.setdefault(task, _Queue())
                queue.append(number, candidate.size, count, weight_of(candidate, task))
                if task[0] is Way.RECEIVE or not receives:
                    self._ends.add(task)
        self._reorderings.reverse()

    def take(self, busy: Counter[Task]) -> Filling:
        """Fill the next batch beside what keeps the brokers busy already; count per task."""
        filling = Filling(busy, self._max_moves, self._max_bytes)
        tasks = [task for task in self._most_work_first() if filling.count(task) < self._max_moves]
        half = 0
        for busiest in tasks:  # the first that is not held up by what others are busy with
            half = self._queues[busiest].bytes // 2
            self._take_from(busiest, filling, None, self._share(busiest))
            if filling.chosen:
                break
        if filling.chosen:
            share = filling.bytes
            for task in tasks:  # those that could become the busiest keep pace
                if task in self._queues and self._queues[task].bytes >= half:
                    self._take_from(task, filling, share, self._share(task))
            for task in tasks:
                if task in self._ends:
                    self._take_from(task, filling, share, self._max_moves)
        while self._reorderings and len(filling.chosen) < self._max_entries:
            filling.add(self._take(self._reorderings.pop()))
        return filling

    def _most_work_first(self) -> list[Task]:
        work = [(-q.bytes, -q.count, t[0].value, t[1], t) for t, q in self._queues.items()]
        return [task for *_, task in sorted(work)]

    def _share(self, busiest: Task) -> int:
        """Return how many replicas the busiest broker handles in this batch.

        All it may, unless the limit holds somebody else up for more batches: then no more than that
        both end together, for in what others do alone it would have nothing to do.
        """
        here = self._queues[busiest].count
        most = max(queue.count for queue in self._queues.values())
        if here == most:
            return self._max_moves
        batches = -(-most // self._max_moves)
        return max(1, min(self._max_moves, round(here / batches)))

    def _take_from(self, task: Task, filling: Filling, share: int | None, most: int) -> None:
        """Take candidates of one broker until it has its share or nothing more fits."""
        if filling.count(task) >= self._max_moves:
            return
        queue = self._queues.get(task, _NONE)  # its candidates may have gone with those of others
        most = min(len(filling.chosen) + most, self._max_entries)
        start = passed = 0
        while passed < _LOOKS and len(filling.chosen) < most:
            room = None if share is None else share - filling.weight(task)
            at = queue.after(start, room, self._taken)
            if at is None:
                break
            start = at + 1
            candidate = self._candidates[queue[at]]
            if filling.fits(candidate, share):
                filling.add(self._take(queue[at]))
            else:
                passed += 1

    def _take(self, number: int) -> Candidate:
        self.left -= 1
        self._taken[number] = True
        candidate = self._candidates[number]
        for task, count in candidate.load.items():
            queue = self._queues[task]
            queue.count -= count
            queue.bytes -= weight_of(candidate, task)
            if not queue.count:
                del self._queues[task]
        return candidate


class Filling:
    """A batch in the making: what is in it, and what each broker has to do.

    Attributes:
        chosen: What is in it, in no particular order.
        bytes: Most bytes that any one broker sends or receives.
    """

    def __init__(self, busy: Counter[Task], max_moves: int, max_bytes: int | None) -> None:
        self.chosen: list[Candidate] = []
        self.bytes = 0
        self._counts = Counter(busy)
        self._weights: Counter[Task] = Counter()
        self._max_moves = max_moves
        self._max_bytes = max_bytes

    def count(self, task: Task) -> int:
        """Return the replicas that a broker handles by now."""
        return self._counts[task]

    def weight(self, task: Task) -> int:
        """Return the bytes that a broker sends or receives by now."""
        return self._weights[task]

    @property
    def busiest(self) -> list[Candidate]:
        """What the busiest brokers have to do, the largest first."""
        tasks = {task for task, weight in self._weights.items() if weight == self.bytes > 0}
        its = [candidate for candidate in self.chosen if not tasks.isdisjoint(candidate.load)]
        return sorted(its, key=lambda it: (-it.size, it.name))

    def fits(self, candidate: Candidate, share: int | None) -> bool:
        """Whether a candidate keeps to the limits and needs no more time than `share` bytes."""
        for task, count in candidate.load.items():
            before = self._counts[task]
            if before and before + count > self._max_moves:
                return False
            weight = self._weights[task] + weight_of(candidate, task)
            if share is not None and weight > share:
                return False
            if before and self._max_bytes is not None and weight > self._max_bytes:
                return False
        return True

    def add(self, candidate: Candidate) -> None:
        """Put a candidate in."""
        self.chosen.append(candidate)
        self._counts.update(candidate.load)
        for task in candidate.load:
            self._weights[task] += weight_of(candidate, task)
            self.bytes = max(self.bytes, self._weights[task])

    def remove(self, candidate: Candidate) -> None:
        """Take one out again."""
        self.chosen.remove(candidate)
        self._counts.subtract(candidate.load)
        for task in candidate.load:
            self._weights[task] -= weight_of(candidate, task)
        self.bytes = max(self._weights.values(), default=0)


def weight_of(candidate: Candidate, task: Task) -> int:
    """Return the bytes that a candidate makes a broker send or receive."""
    return 0 if task[0] is Way.GIVE_UP else candidate.size * candidate.load[task]
