"""Plays rounds in a world, one after the other, and checks after each."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from tests.chaos import faults
from tests.chaos.plays import Performance
from tests.chaos.results import RoundResult
from tests.chaos.schedule import Fault, Kind, Round, Step
from tests.chaos.world import MEGABYTES, RECORD_BYTES
from tests.cluster.errors import ClusterError
from tests.traffic.pods import CONSUMER_FAULTS, TrafficPodError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.world import World
    from tests.traffic.checker import Verdict

TROUBLES = (AssertionError, ClusterError, TrafficPodError)
"""What a round may end with if something does not come to be."""
MOST_FAILURES = 3


@dataclass
class Runner:
    """Plays rounds.

    Attributes:
        world: Where.
        say: Takes a line for people.
        seed: Of the rounds.
        p99_before_ms: See `results.Run`.
        acked: Records acknowledged when the last round had ended.
    """

    world: World
    say: Callable[[str], None]
    seed: int
    p99_before_ms: float = 0.0
    acked: int = 0
    _made: bool = False

    def run(self, rounds: list[Round], budget: float) -> list[RoundResult]:
        """Play them; return what came of them.

        After a round that failed the next one gets a new cluster. Ends after so many failures, or
        when the next round would probably not end within `budget` seconds (inf = no limit).
        """
        results: list[RoundResult] = []
        started = time.monotonic()
        for plan in rounds:
            passed = time.monotonic() - started
            slowest = max((result.seconds for result in results), default=0.0)
            if results and passed + slowest > budget:
                break
            self.say(plan.words)
            result = self._play(plan)
            results.append(result)
            self.say(told(result))
            if result.problems:
                kept = self.world.keep(f"seed-{self.seed}-round-{plan.number}")
                with suppress(*TROUBLES):  # the API server may be one of them
                    self.world.keep_output(kept)
                self.say(f"  what the brokers hold, and have printed, is in {kept}")
            self._made = not result.problems
            if sum(bool(result.problems) for result in results) >= MOST_FAILURES:
                break
        return results

    def _play(self, plan: Round) -> RoundResult:
        started, attempt = time.monotonic(), Attempt(self.world, plan)
        verdict = None
        try:
            if not self._made:
                lines = self.world.make(plan.before)
                self.p99_before_ms = self.p99_before_ms or median(lines)
                self.acked = 0
            started = time.monotonic()
            verdict = attempt.play()
        except TROUBLES as error:
            attempt.problems.append(f"{type(error).__name__}: {error}")
        p99_ms, gap_s = self.world.heard.take()
        acked, self.acked = self.acked, verdict.acked if verdict else self.acked
        return RoundResult(
            number=plan.number,
            words=plan.words,
            play=plan.play.value,
            faults=[kind.value for kind in attempt.hit],
            missed=[kind.value for kind in attempt.missed],
            seconds=round(time.monotonic() - started, 1),
            acked=self.acked - acked,
            lost=verdict.missing if verdict else 0,
            reordered=verdict.reordered if verdict else 0,
            duplicated=verdict.duplicated if verdict else 0,
            corrupt=verdict.corrupt if verdict else 0,
            moves=attempt.moves,
            gap_s=round(gap_s, 1),
            p99_ms=round(median(p99_ms), 1) if p99_ms else 0.0,
            problems=attempt.problems,
        )


@dataclass
class Attempt:
    """One round as it goes.

    Attributes:
        hit: Kinds of the faults that came to be.
        missed: Kinds of those that found nothing to hit.
        moves: Replicas that were moved.
        problems: What is not as it must be.
    """

    world: World
    plan: Round
    hit: list[Kind] = field(default_factory=list)
    missed: list[Kind] = field(default_factory=list)
    moves: int = 0
    problems: list[str] = field(default_factory=list)

    def play(self) -> Verdict:
        """Play it and check; what is wrong is in `problems` then.

        Raises:
            AssertionError, ClusterError, TrafficPodError: Something did not come to be in time.
        """
        performance = Performance(self.world, self.plan)
        performance.prepare()
        self.world.lost_claims()  # to know those that are there
        performance.begin()
        self._follow(performance)
        performance.finish()
        self.moves = performance.moves()
        self.problems += performance.imbalance()
        verdict, consumed = self.world.traffic.check()
        self.world.log_bytes = MEGABYTES * 1_000_000 + verdict.acked * RECORD_BYTES
        if not verdict.clean:
            self.problems.append(f"the log is not what was acknowledged: {verdict}")
        for kind in CONSUMER_FAULTS:
            if consumed.get(kind):
                self.problems.append(f"the consumer saw {consumed[kind]} records {kind}")
        if consumed.get("consumed", 0) < verdict.acked:
            self.problems.append(f"the consumer read {consumed} of {verdict.acked} records")
        # Still so, after a while: what was seen first was no passing moment.
        self.problems += performance.unrest()
        if not self.world.brokers.is_settled(self.plan.after):
            self.problems.append(f"not settled any more: {self.world.brokers.status()}")
        if lost := self.world.lost_claims():
            self.problems.append(f"volume claims are gone: {lost}")
        return verdict

    def _follow(self, performance: Performance) -> None:
        """Do what the timeline says; in the end, whatever happens, every fault is over."""
        moment = time.monotonic()
        lasting: dict[Fault, ExitStack] = {}
        with ExitStack() as everything:
            for at, step, fault in self.plan.timeline():
                time.sleep(max(0.0, moment + at - time.monotonic()))
                if fault is None:
                    performance.turn()
                elif step is Step.END:
                    lasting.pop(fault, ExitStack()).close()
                else:
                    stack = self._begin(fault)
                    lasting[fault] = stack
                    everything.push(stack)

    def _begin(self, fault: Fault) -> ExitStack:
        try:
            stack = faults.begin(self.world, fault)
        except faults.MissedError:
            self.missed.append(fault.kind)
            return ExitStack()
        self.hit.append(fault.kind)
        return stack


def told(result: RoundResult) -> str:
    """Return what came of a round, in a line, or with all that is wrong."""
    missed = f", missed: {'; '.join(result.missed)}" if result.missed else ""
    line = (
        f"  {result.seconds:.0f} s, {result.acked} records, {result.moves} moves, "
        f"longest wait {result.gap_s:.1f} s, p99 {result.p99_ms:.0f} ms{missed}"
    )
    return "\n".join([line, *(f"  PROBLEM {problem}" for problem in result.problems)])
