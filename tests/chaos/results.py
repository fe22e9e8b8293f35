"""What came of the rounds: kept as JSON, and told on docs/reliability.md."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.chaos.schedule import KILLS_BROKERS, LARGEST, SECONDS, SMALLEST, Kind, Play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@dataclass(frozen=True)
class RoundResult:
    """What came of one round.

    Attributes:
        number: Of the round.
        words: The round in one line.
        play: What was asked for.
        faults: Kinds that came upon it.
        missed: Kinds that found nothing to hit.
        seconds: From the request until all was settled and checked.
        acked: Records acknowledged in it.
        lost, reordered, duplicated, corrupt: Records, by the whole log up to its end.
        moves: Replicas moved, by the Reassignments' own account.
        gap_s: Longest time in which a producer got no answer.
        p99_ms: 99th percentile of the time to an ack, within a second: median over its seconds.
        problems: All that is not as it must be, in sentences.
    """

    number: int
    words: str
    play: str
    faults: list[str]
    missed: list[str]
    seconds: float
    acked: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0
    corrupt: int = 0
    moves: int = 0
    gap_s: float = 0.0
    p99_ms: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A run of many rounds.

    Attributes:
        seed: Of the run.
        version: Of the operator.
        commit: What was checked out, abbreviated; with `+` if it was changed. Empty if not known.
        day: On which it ended, as 2026-11-30.
        p99_before_ms: As `RoundResult.p99_ms`, before the first round.
        rounds: In their order.
    """

    seed: int
    version: str
    commit: str
    day: str
    p99_before_ms: float
    rounds: list[RoundResult]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read what `save` wrote."""
        data: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**data, "rounds": [RoundResult(**entry) for entry in data["rounds"]]})


def page(run: Run) -> str:
    """Return docs/reliability.md."""
    done, slowest = run.rounds, max(run.rounds, key=lambda r: r.seconds)
    failed = [r for r in done if r.problems]
    numbers = [
        ("rounds", f"{len(done)}"),
        ("rounds after which anything was not as it must be", f"{len(failed)}"),
        ("records acknowledged", f"{_sum(done, 'acked'):,}"),
        ("of these lost", f"{_sum(done, 'lost'):,}"),
        ("reordered", f"{_sum(done, 'reordered'):,}"),
        ("duplicated", f"{_sum(done, 'duplicated'):,}"),
        ("damaged", f"{_sum(done, 'corrupt'):,}"),
        ("replicas moved", f"{_sum(done, 'moves'):,}"),
        ("faults", f"{sum(len(r.faults) for r in done)}"),
        ("longest time without an acknowledgement", f"{max(r.gap_s for r in done):.1f} s"),
        ("p99 of acknowledgements before the first round", f"{run.p99_before_ms:.0f} ms"),
        ("in the rounds", f"{median(r.p99_ms for r in done):.0f} ms"),
        ("median round", f"{median(r.seconds for r in done):.0f} s"),
        ("slowest round", f"{slowest.seconds:.0f} s (number {slowest.number})"),
    ]
    sections = [
        _HEAD.format(
            seed=run.seed, version=run.version, commit=run.commit, day=run.day, count=len(done)
        ),
        _table(("what", "figure"), numbers),
        *_failures(run.seed, failed),
        "## Faults\n",
        _table(
            ("fault", "times", "longest time without an acknowledgement in its rounds"),
            _count(done, [kind.value for kind in Kind], lambda r: r.faults),
        ),
        _missed(done),
        "## Requests\n",
        _table(
            ("request", "times", "longest time without an acknowledgement in its rounds"),
            _count(done, [play.value for play in Play], lambda r: [r.play]),
        ),
        _LIMITS.format(
            smallest=SMALLEST,
            largest=LARGEST,
            killers=", ".join(sorted(kind.value for kind in KILLS_BROKERS)),
            lasting=", ".join(f"{k.value}: {a:g} to {b:g} s" for k, (a, b) in SECONDS.items()),
            seed=run.seed,
        ),
    ]
    return "\n".join(sections)


_HEAD = """# Reliability

Written by `make chaos`, which leaves the cluster to chance: {count} rounds of seed {seed}, with
version {version} at commit {commit}, on {day}. In each round people ask for something, such as
another number of brokers, and one or two things go wrong meanwhile. An idempotent and a
transactional producer write all the time, a consumer reads what is committed, and after each round

- the whole log is read and compared with every record that was ever acknowledged: none lost, none
  out of order, none twice, no record of an aborted transaction;
- ZooKeeper has no throttle and no reassignment, every replica is in sync, exactly the wanted
  brokers are registered, and the operator says that all is done (the rate of a broker that left
  while it was away is taken off when its id is used again, for only it can be told);
- the loads of the brokers are within one replica and one preferred leader of each other, or, after
  an undo, every list is what it was;
- no volume claim that was ever there is gone.
"""

_LIMITS = """## What is and is not tried

- Real Kubernetes, Kafka and ZooKeeper on one machine; {smallest} to {largest} brokers on three
  nodes, one ZooKeeper server, 24 partitions with few bytes, moved so slowly that faults find them
  on their way.
- Topics have replication factor 3 and `min.insync.replicas` 2, producers wait for all replicas, no
  unclean election: that is what Kafka itself promises anything for. So a round never has two of
  these: {killers}. (A node without power takes all that
  runs on it, of four or five brokers perhaps two.)
- What destroys the record of a Reassignment (its plan, its status, the object) does not meet an
  undo, which needs that record. A request that is deleted is withdrawn, so evacuations keep theirs.
  While the API server is silent nothing else happens.
- How long they last: {lasting}.
- Not in these rounds, but each in a test of its own ([failure modes](failure-modes.md)): two
  operators at once, conflicts and clocks, full and lost disks, topics that users change, deleted
  claims, and a ZooKeeper ensemble without a quorum.
- The p99 is that of one second, and the median of all seconds, so it speaks of the usual second;
  outages are in the longest time without an acknowledgement.

## Again

`make chaos SEED={seed}` repeats the run, `make chaos SEED={seed} ROUNDS=7..7` round 7 alone, from
a fresh cluster with as many brokers as it began with. `make test` plays a few rounds of a new seed,
which it prints.
"""


def _sum(rounds: Iterable[RoundResult], name: str) -> int:
    return sum(getattr(r, name) for r in rounds)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _count(
    rounds: list[RoundResult], values: list[str], of: Callable[[RoundResult], list[str]]
) -> list[tuple[str, ...]]:
    times = Counter(value for r in rounds for value in of(r))
    gaps = {v: max((r.gap_s for r in rounds if v in of(r)), default=0.0) for v in values}
    return [(v, str(times[v]), f"{gaps[v]:.1f} s" if times[v] else "") for v in values]


def _failures(seed: int, failed: list[RoundResult]) -> list[str]:
    rows = [f"- `SEED={seed} ROUNDS={r.number}..{r.number}`: {r.words}\n" for r in failed]
    return ["## Rounds that failed\n", "".join(rows)] if rows else []


def _missed(rounds: list[RoundResult]) -> str:
    missed = Counter(kind for r in rounds for kind in r.missed)
    if not missed:
        return ""
    listed = ", ".join(f"{kind} {times}" for kind, times in sorted(missed.items()))
    return f"Came too late, or found nothing to hit, and are not counted: {listed}.\n"
