"""Requests to plan for, and how to look at a plan."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRequest
from tests.unit.planner.oracle import (
    Optimum,
    factor_of,
    held_by,
    imbalance,
    movable,
    rack_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker_operator.core.model import Assignment, Replicas
    from broker_operator.core.planner import Plan


def brokers(
    ids: Iterable[int],
    racks: str = "",
    dead: Iterable[int] = (),
    weights: Mapping[int, float] | None = None,
) -> tuple[Broker, ...]:
    """Make brokers; `racks` are one-letter names dealt out in turn."""
    lost, weight = set(dead), weights or {}
    return tuple(
        Broker(
            b,
            rack=racks[i % len(racks)] if racks else None,
            live=b not in lost,
            weight=weight.get(b, 1.0),
        )
        for i, b in enumerate(ids)
    )


def ring(
    partitions: int, count: int, factor: int, topics: int = 1
) -> dict[str, dict[int, Replicas]]:
    """Return an assignment as Kafka makes it: leaders in turn, followers at changing distance."""
    every = range(count)
    return {f"topic-{t:03}": _ring(every, partitions, factor) for t in range(topics)}


def _ring(ids: Sequence[int], partitions: int, factor: int) -> dict[int, Replicas]:
    count = len(ids)

    def replicas(number: int) -> Replicas:
        gaps = max(1, count - 1)
        followers = (1 + (number // count + i) % gaps for i in range(factor - 1))
        return tuple(ids[(number + distance) % count] for distance in (0, *followers))

    return {n: replicas(n) for n in range(partitions)}


@dataclass(frozen=True)
class Shape:
    """How large a random request may be: each a least and a most."""

    brokers: tuple[int, int]
    topics: tuple[int, int]
    partitions: tuple[int, int]
    largest_factor: int = 4


TINY = Shape(brokers=(1, 4), topics=(0, 2), partitions=(0, 3), largest_factor=3)
SMALL = Shape(brokers=(1, 7), topics=(0, 4), partitions=(0, 8))
MEDIUM = Shape(brokers=(8, 20), topics=(4, 8), partitions=(25, 50))

WEIGHTS = (0.1, 0.5, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0)
RACKS = ("", "", "a", "ab", "ab", "abc", "abc", "aab", "aabc", "abcd", "abcde")
STYLES = ("even", "random", "skewed", "crowded")


def random_request(rng: random.Random, shape: Shape, *, half_moved: bool = True) -> PlanRequest:
    """Make up a request that has a plan; everything in it comes from `rng`.

    Brokers come, go and are dead, several at once; starts are even, random, skewed or crowded in
    a rack; racks, weights, exclusions, pins, wanted replication factors and half-done moves are
    there or not.
    """
    return _Maker(rng, shape).request(half_moved=half_moved)


class _Maker:
    def __init__(self, rng: random.Random, shape: Shape) -> None:
        self._rng = rng
        self._shape = shape
        ids = rng.sample(range(200), rng.randint(*shape.brokers))
        self._ids = ids
        self._targets = sorted(rng.sample(ids, self._some(len(ids))))
        self._old = sorted(rng.sample(ids, self._some(len(ids))))
        going = [b for b in ids if b not in self._targets]
        self._dead = {b for b in going if rng.random() < rng.choice((0.0, 0.5))}
        if self._dead.issuperset(self._old):
            self._dead.clear()
        self._rack = self._racks()
        self._taste = {b: rng.random() ** rng.choice((0.3, 1, 3)) for b in ids}

    def request(self, *, half_moved: bool) -> PlanRequest:
        rng = self._rng
        assignment, pinned, factors = self._topics()
        excluded: set[int] = set()
        if self._happens(0.3):
            excluded = set(rng.sample(self._targets, rng.randint(1, len(self._targets))))
        weights = dict.fromkeys(self._ids, 1.0)
        if self._happens(0.35):
            weights = {b: rng.choice(WEIGHTS) for b in self._ids}
        described = [Broker(b, self._rack[b], b not in self._dead, weights[b]) for b in self._ids]
        moving = half_moved and self._happens(0.25)
        held = self._half_moved(assignment, pinned) if moving else {}
        whole = PlanRequest(
            assignment=assignment,
            brokers=tuple(described),
            targets=frozenset(self._targets),
            sizes=self._sizes(assignment),
            pinned=frozenset(pinned),
            factors=factors,
            held=held,
        )
        return excluding(whole, excluded)

    def _happens(self, probability: float) -> bool:
        return self._rng.random() < probability

    def _some(self, count: int) -> int:
        """Return how many of `count`, from 1, all of them often."""
        return count if self._happens(0.4) else self._rng.randint(1, count)

    def _racks(self) -> dict[int, str | None]:
        """Deal racks out in turn or at random; one broker may have none."""
        rng, names = self._rng, self._rng.choice(RACKS)
        if not names:
            return dict.fromkeys(self._ids, None)
        if self._happens(0.5):
            racks: dict[int, str | None] = {
                b: names[i % len(names)] for i, b in enumerate(self._ids)
            }
        else:
            racks = {b: rng.choice(names) for b in self._ids}
        if self._happens(0.15):
            racks[rng.choice(self._ids)] = None
        return racks

    def _topics(self) -> tuple[dict[str, dict[int, Replicas]], set[str], dict[str, int]]:
        rng = self._rng
        assignment: dict[str, dict[int, Replicas]] = {}
        pinned: set[str] = set()
        factors: dict[str, int] = {}
        pins, changes = self._happens(0.25), self._happens(0.25)
        names = [f"t{t}" for t in range(rng.randint(*self._shape.topics))]
        rng.shuffle(names)
        fixed = [b for b in self._old if b in self._targets]
        for name in names:
            if pins and fixed and self._happens(0.4):
                pinned.add(name)
                assignment[name] = self._partitions(fixed)
                continue
            assignment[name] = self._partitions(self._old)
            largest = max((len(r) for r in assignment[name].values()), default=0)
            if largest > len(self._targets) or (changes and self._happens(0.5)):
                most = min(self._shape.largest_factor, len(self._targets))
                factors[name] = rng.randint(1, most)
        return assignment, pinned, factors

    def _partitions(self, ids: list[int]) -> dict[int, Replicas]:
        rng = self._rng
        most = min(self._shape.largest_factor, len(ids))
        factor, mixed = rng.randint(1, most), self._happens(0.1)
        count, style = rng.randint(*self._shape.partitions), rng.choice(STYLES)
        if style == "even":
            lists = _ring(ids, count, factor)
        else:
            lists = {
                n: self._list(ids, style, rng.randint(1, most) if mixed else factor)
                for n in range(count)
            }
        return {n: self._with_a_live_one(replicas, ids) for n, replicas in lists.items()}

    def _list(self, ids: list[int], style: str, factor: int) -> Replicas:
        rng = self._rng
        if style == "random":
            return tuple(rng.sample(ids, factor))
        if style == "skewed":
            return tuple(sorted(ids, key=lambda b: -self._taste[b] * rng.random())[:factor])
        rack = self._rack[rng.choice(ids)]
        return tuple(sorted(ids, key=lambda b: (self._rack[b] != rack, rng.random()))[:factor])

    def _with_a_live_one(self, replicas: Replicas, ids: list[int]) -> Replicas:
        if self._dead.isdisjoint(replicas) or not self._dead.issuperset(replicas):
            return replicas
        return (self._rng.choice([b for b in ids if b not in self._dead]), *replicas[1:])

    def _half_moved(
        self, assignment: Assignment, pinned: set[str]
    ) -> dict[str, dict[int, Replicas]]:
        """Say of some partitions that their copies are not yet where they are being taken."""
        held: dict[str, dict[int, Replicas]] = {}
        for topic, partitions in assignment.items():
            for number, replicas in partitions.items():
                if topic not in pinned and self._happens(0.4):
                    copies = self._before(replicas)
                    held.setdefault(topic, {})[number] = self._with_a_live_one(copies, self._old)
        return held

    def _before(self, replicas: Replicas) -> Replicas:
        others = [b for b in self._old if b not in replicas]
        if self._happens(0.2):
            count = self._rng.randint(1, min(self._shape.largest_factor, len(self._old)))
            return tuple(self._rng.sample(self._old, count))
        if not others:
            return replicas[: max(1, len(replicas) - 1)]
        place = self._rng.randrange(len(replicas))
        return (*replicas[:place], self._rng.choice(others), *replicas[place + 1 :])

    def _sizes(self, assignment: Assignment) -> dict[str, dict[int, int]]:
        rng = self._rng
        if self._happens(0.3):
            return {}
        return {
            topic: {n: rng.randint(0, 10**9) for n in partitions if self._happens(0.9)}
            for topic, partitions in assignment.items()
        }


def excluding(request: PlanRequest, excluded: Iterable[int]) -> PlanRequest:
    """Exclude as many of these brokers as leave every partition enough brokers."""
    chosen = sorted(excluded)
    while True:
        made = PlanRequest(
            assignment=request.assignment,
            brokers=request.brokers,
            targets=request.targets,
            sizes=request.sizes,
            excluded=frozenset(chosen),
            pinned=request.pinned,
            factors=request.factors,
            held=request.held,
        )
        if not chosen or all(enough_brokers(made)):
            return made
        chosen.pop()


def enough_brokers(request: PlanRequest) -> Iterable[bool]:
    """Yield for each partition that may move whether enough brokers may hold it."""
    for topic, partitions in request.assignment.items():
        if topic not in request.pinned:
            for number in partitions:
                room = request.targets - (request.excluded - held_by(request, topic, number))
                yield len(room) >= factor_of(request, topic, number)


def seeded(seed: int, shape: Shape, *, half_moved: bool = True) -> PlanRequest:
    """Return the request that a seed stands for, the same on every machine."""
    rng = random.Random(f"{shape.brokers}-{seed}")  # noqa: S311 - repeatable on purpose
    return random_request(rng, shape, half_moved=half_moved)


def requests(shape: Shape = SMALL, *, half_moved: bool = False) -> st.SearchStrategy[PlanRequest]:
    """Any request that has a plan."""
    rngs = st.randoms(use_true_random=False)
    return rngs.map(lambda rng: random_request(rng, shape, half_moved=half_moved))


def loads(assignment: Assignment, targets: Iterable[int]) -> dict[int, int]:
    """Return replicas per broker."""
    count = Counter(b for its in assignment.values() for r in its.values() for b in r)
    return {broker: count[broker] for broker in targets}


def leads(assignment: Assignment, targets: Iterable[int]) -> dict[int, int]:
    """Return preferred leaders per broker."""
    count = Counter(b for its in assignment.values() for r in its.values() for b in r[:1])
    return {broker: count[broker] for broker in targets}


def gap(counts: Mapping[int, int]) -> int:
    """Return the difference of the fullest and the emptiest."""
    return max(counts.values()) - min(counts.values())


def topic_gaps(assignment: Assignment, targets: Iterable[int]) -> dict[str, int]:
    """Return for each topic how far its replicas per broker lie apart."""
    ids = tuple(targets)
    return {topic: gap(loads({topic: its}, ids)) for topic, its in assignment.items()}


def newcomers(request: PlanRequest, target: Assignment) -> dict[tuple[str, int], set[int]]:
    """Return for each partition the brokers that must get a copy."""
    return {
        (topic, number): set(replicas) - held_by(request, topic, number)
        for topic, partitions in target.items()
        for number, replicas in partitions.items()
    }


def reached(request: PlanRequest, plan: Plan) -> Optimum:
    """Return what the plan reaches, to be held against `oracle.fewest_moves`."""
    moves = sum(map(len, newcomers(request, plan.target).values()))
    return Optimum(imbalance(request, loads(plan.target, request.targets)), moves)


def reached_leaders(request: PlanRequest, plan: Plan) -> Optimum:
    changes = sum(
        replicas[:1] != request.assignment[topic][number][:1]
        for topic, partitions in plan.target.items()
        for number, replicas in partitions.items()
    )
    return Optimum(imbalance(request, leads(plan.target, request.targets)), changes)


def reached_topics(request: PlanRequest, plan: Plan) -> Fraction:
    """Return how uneven topics are, to be held against `oracle.most_even_topics`."""
    return sum(
        (
            imbalance(request, loads({topic: its}, request.targets))
            for topic, its in plan.target.items()
            if topic not in request.pinned
        ),
        Fraction(),
    )


def again(request: PlanRequest, start: Assignment) -> PlanRequest:
    """Ask the same of another start that nothing is moving in."""
    return PlanRequest(
        assignment=start,
        brokers=request.brokers,
        targets=request.targets,
        sizes=request.sizes,
        excluded=request.excluded,
        pinned=request.pinned,
        factors=request.factors,
    )


def violations(request: PlanRequest, target: Assignment) -> list[str]:
    """Return every way in which an assignment is no valid answer to the request."""
    names = {t: set(ps) for t, ps in request.assignment.items()}
    if {t: set(ps) for t, ps in target.items()} != names:
        return ["other topics or partitions"]
    wrong = [
        f"{topic}-{number}: pinned"
        for topic in request.pinned
        for number, replicas in request.assignment[topic].items()
        if target[topic][number] != replicas
    ]
    rack = rack_of(request)
    for topic, number, _, held, factor, _, cap in movable(request):
        replicas, name = target[topic][number], f"{topic}-{number}"
        if len(replicas) != factor or len(set(replicas)) != factor:
            wrong.append(f"{name}: replication factor")
        if not request.targets.issuperset(replicas):
            wrong.append(f"{name}: not on target brokers")
        elif max(Counter(rack[b] for b in replicas).values()) > cap:
            wrong.append(f"{name}: rack cap")
        if not request.excluded.isdisjoint(set(replicas) - held):
            wrong.append(f"{name}: given to an excluded broker")
    return wrong


class Everything:
    """The optimum by trying everything, for tiny requests."""

    def __init__(self, request: PlanRequest) -> None:
        self._request = request
        self._ids = sorted(request.targets)
        self._topics = sorted({partition.topic for partition in movable(request)})
        self._best = self._tried()

    @property
    def optimum(self) -> Optimum:
        return self._best[0]

    @property
    def topics(self) -> Fraction:
        return self._best[1]

    def _tried(self) -> tuple[Optimum, Fraction]:
        """Go through every count of replicas by topic and broker that can come about."""
        request = self._request
        ways: dict[tuple[int, ...], int] = {(0,) * (len(self._topics) * len(self._ids)): 0}
        for choices in self._choices():
            following: dict[tuple[int, ...], int] = {}
            for counts, moves in ways.items():
                for places, more in choices:
                    key = tuple(c + (i in places) for i, c in enumerate(counts))
                    following[key] = min(following.get(key, moves + more), moves + more)
            ways = following
        pinned = Counter(
            b for t in request.pinned for r in request.assignment[t].values() for b in r
        )

        def judged(counts: tuple[int, ...], moves: int) -> tuple[Optimum, Fraction]:
            width = len(self._ids)
            rows = [
                dict(zip(self._ids, counts[i : i + width], strict=True))
                for i in range(0, len(counts), width)
            ]
            total = {b: pinned[b] + sum(row[b] for row in rows) for b in self._ids}
            topics = sum((imbalance(request, row) for row in rows), Fraction())
            return Optimum(imbalance(request, total), moves), topics

        return min(judged(counts, moves) for counts, moves in ways.items())

    def _choices(self) -> Iterable[list[tuple[frozenset[int], int]]]:
        """Yield for each partition where it may go, as places in the counts, and the moves."""
        request, rack = self._request, rack_of(self._request)
        for topic, _, _, held, factor, _, _ in movable(request):
            at = self._topics.index(topic) * len(self._ids)
            allowed = [b for b in self._ids if b not in request.excluded or b in held]
            crowds = {
                chosen: max(Counter(rack[b] for b in chosen).values())
                for chosen in combinations(allowed, factor)
            }
            least = min(crowds.values())
            yield [
                (frozenset(at + self._ids.index(b) for b in chosen), len(set(chosen) - held))
                for chosen, crowd in crowds.items()
                if crowd == least
            ]


def every_leader(request: PlanRequest, target: Assignment) -> Optimum:
    """Return the optimum of preferred leaders by trying everything."""
    partitions = [
        (replicas[:1] if topic in request.pinned else replicas, request.assignment[topic][n][:1])
        for topic, its in target.items()
        for n, replicas in its.items()
        if replicas
    ]
    found: list[Optimum] = []
    for chosen in product(*(replicas for replicas, _ in partitions)):
        changes = sum(
            (leader,) != before for leader, (_, before) in zip(chosen, partitions, strict=True)
        )
        found.append(Optimum(imbalance(request, Counter(chosen)), changes))
    return min(found)
