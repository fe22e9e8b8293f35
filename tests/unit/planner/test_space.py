from __future__ import annotations

from broker_operator.core.model import Broker
from broker_operator.core.planner import Overfull, PlanRequest, make_plan, overfull


def test_what_comes_must_fit() -> None:
    rows = {n: (0, 1) if n % 2 else (1, 0) for n in range(8)}
    every = tuple(Broker(b) for b in range(3))
    plan = make_plan(PlanRequest({"t": rows}, every, frozenset({0, 1, 2})))
    assert plan.moves == 5
    sizes = {"t": dict.fromkeys(range(8), 10)}
    assert overfull(plan, sizes, {2: 50}) == []
    assert overfull(plan, sizes, {2: 49}) == [Overfull(2, 50, 49)]
    assert overfull(plan, sizes, {0: 0, 1: 0}) == [], "nothing comes to these, or it is not known"
    assert overfull(plan, {}, {2: 0}) == [], "sizes that are not known do not count"


def test_the_fullest_comes_first() -> None:
    rows = {n: (0, 3) if n % 2 else (1, 3) for n in range(8)}
    every = tuple(Broker(b) for b in range(4))
    plan = make_plan(PlanRequest({"t": rows}, every, frozenset({0, 1, 2})))
    sizes = {"t": dict.fromkeys(range(8), 10)}
    found = overfull(plan, sizes, dict.fromkeys(range(4), 5) | {1: 0})
    assert [full.broker for full in found] == sorted(
        (full.broker for full in found),
        key=lambda b: next(f.usable - f.incoming for f in found if f.broker == b),
    )
    assert len(found) > 1
