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
from tests.chaos.world import KEPT_ROUNDS, World
from tests.cluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


class Keeper:
    """A world of which only what it is told to keep is seen."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def keep_output(self, kept: str) -> None:
        assert kept

    def keep(self, name: str) -> str:
        self.kept.append(name)
        return name


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
        runner = Played(Keeper(), lambda _: None, 1)  # type: ignore[arg-type]
        runner.outcomes = list(outcomes)
        results = runner.run(rounds(1, 1, len(outcomes)), budget)
        failed = [f"seed-1-round-{result.number}" for result in results if result.problems]
        assert runner.world.kept == failed  # type: ignore[attr-defined]
        return results

    return run


def test_a_budget_is_kept_but_one_round_is_played(play: Any) -> None:
    assert len(play([(60.0, False)] * 9, 420.0)) == 7
    assert len(play([(60.0, False)] * 9, 10.0)) == 1
    assert len(play([(60.0, False), (200.0, False), (60.0, False), (60.0, False)], 420.0)) == 2
    assert len(play([(60.0, False)] * 9, float("inf"))) == 9


def test_three_failures_are_enough(play: Any) -> None:
    fails = [(1.0, number in {0, 2, 3}) for number in range(9)]
    assert [bool(r.problems) for r in play(fails, float("inf"))] == [True, False, True, True]


def test_what_brokers_hold_outlives_the_cluster_for_some_failed_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_OPERATOR_CACHE", str(tmp_path))
    world = object.__new__(World)
    world.cluster = Cluster("chaos")
    data = world.cluster.layout.volumes / "pvc-1" / "data"
    (data / "t-0").mkdir(parents=True)
    for file in ("meta.properties", "t-0/00.log", "t-0/00.index"):
        (data / file).write_text(file)
    kept = [world.keep(f"seed-1-round-{number}") for number in range(KEPT_ROUNDS + 2)]
    assert [folder for folder in kept if folder.exists()] == kept[2:]
    found = {file.relative_to(kept[-1]).as_posix() for file in kept[-1].rglob("*.*")}
    assert found == {"pvc-1/data/meta.properties", "pvc-1/data/t-0/00.log"}
    assert not kept[-1].is_relative_to(world.cluster.layout.state.parent), "it is no cluster"
    assert world.keep("seed-1-round-6") == kept[-1], "a round that fails again"


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
