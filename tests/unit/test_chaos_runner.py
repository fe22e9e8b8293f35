"""How rounds follow each other, and that no fault outlasts its round."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos import faults
from tests.chaos.results import RoundResult
from tests.chaos.runner import Attempt, Runner
from tests.chaos.schedule import Fault, Kind, Moment, Play, Round, rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.world import World

WORLD: World = None  # type: ignore[assignment]  # nothing here asks anything of it
FREEZE = Fault(Kind.BROKER_FROZEN, at=0.0, seconds=0.02, pick=0.0)
KILL = Fault(Kind.OPERATOR_KILLED, at=0.01, seconds=0.0, pick=0.0)
ROUND = Round(
    number=1,
    before=3,
    brokers=3,
    play=Play.SCALE_BACK,
    target=4,
    moment=Moment.MOVING,
    turn=0.015,
    faults=(FREEZE, KILL),
)


class Played(Runner):
    """Plays no round, but takes so long and fails as told."""

    outcomes: list[tuple[float, bool]]
    now = 0.0

    def _play(self, plan: Round) -> RoundResult:
        seconds, fails = self.outcomes.pop(0)
        Played.now += seconds
        problems = ["wrong"] if fails else []
        return RoundResult(plan.number, plan.words, plan.play, [], [], seconds, problems=problems)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[RoundResult]]:
    monkeypatch.setattr("tests.chaos.runner.time.monotonic", lambda: Played.now)

    def run(outcomes: list[tuple[float, bool]], budget: float) -> list[RoundResult]:
        runner = Played(WORLD, lambda _: None)
        runner.outcomes = list(outcomes)
        return runner.run(rounds(1, 1, len(outcomes)), budget)

    return run


def test_a_budget_is_kept_but_three_rounds_are_played(play: Any) -> None:
    assert len(play([(60.0, False)] * 9, 420.0)) == 7
    assert len(play([(60.0, False)] * 9, 10.0)) == 3
    assert len(play([(60.0, False), (200.0, False), (60.0, False), (60.0, False)], 420.0)) == 3
    assert len(play([(60.0, False)] * 9, float("inf"))) == 9


def test_three_failures_are_enough(play: Any) -> None:
    fails = [(1.0, number in {0, 2, 3}) for number in range(9)]
    assert [bool(r.problems) for r in play(fails, float("inf"))] == [True, False, True, True]


class Stage:
    """Takes the place of the faults and of the play, and notes what is done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def begin(self, _: object, fault: Fault) -> ExitStack:
        if fault.kind is Kind.PLAN_DELETED:
            raise faults.MissedError("a plan")
        self.done.append(fault.kind.value)
        stack = ExitStack()
        if fault.seconds:
            stack.callback(self.done.append, f"end of {fault.kind.value}")
        return stack

    def turn(self) -> None:
        self.done.append("turn")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(faults, "begin", made.begin)
    return made


def test_a_round_follows_its_timeline(stage: Stage) -> None:
    attempt = Attempt(WORLD, ROUND)
    attempt._follow(stage)  # type: ignore[arg-type]
    assert stage.done == [
        "broker frozen",
        "operator process killed",
        "turn",
        "end of broker frozen",
    ]
    assert attempt.hit == [Kind.BROKER_FROZEN, Kind.OPERATOR_KILLED]


def test_what_finds_nothing_to_hit_is_not_counted(stage: Stage) -> None:
    late = Fault(Kind.PLAN_DELETED, at=0.0, seconds=0.0, pick=0.0)
    attempt = Attempt(WORLD, replace(ROUND, faults=(late, KILL)))
    attempt._follow(stage)  # type: ignore[arg-type]
    assert (attempt.hit, attempt.missed) == ([Kind.OPERATOR_KILLED], [Kind.PLAN_DELETED])


def test_every_fault_ends_even_if_the_round_breaks_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise AssertionError("kubectl failed")

    monkeypatch.setattr(stage, "turn", broken)
    with pytest.raises(AssertionError, match="kubectl failed"):
        Attempt(WORLD, ROUND)._follow(stage)  # type: ignore[arg-type]
    assert stage.done[-1] == "end of broker frozen"
