"""What is told of the rounds: the page, its figures, and the lines of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.chaos.__main__ import KEPT, PAGE
from tests.chaos.faults import swap
from tests.chaos.results import RoundResult, Run, page
from tests.chaos.runner import told
from tests.chaos.schedule import Kind, Play
from tests.chaos.truth import Truth

if TYPE_CHECKING:
    from pathlib import Path

ROUND = RoundResult(
    number=1,
    words="round 1: 3 brokers: scale",
    play=Play.SCALE.value,
    faults=[Kind.POWER_LOSS.value],
    missed=[],
    seconds=40.0,
    acked=1500,
    moves=18,
    gap_s=12.3,
    p99_ms=20.0,
)
OTHER = replace(
    ROUND,
    number=2,
    play=Play.UNDO.value,
    faults=[Kind.POWER_LOSS.value, Kind.OPERATOR_KILLED.value],
    missed=[Kind.PLAN_DELETED.value],
    seconds=61.0,
    gap_s=30.1,
)
RUN = Run(
    seed=7,
    version="1.2.3",
    commit="abc1234",
    day="2026-11-30",
    p99_before_ms=11.0,
    rounds=[ROUND, OTHER],
)


def test_the_page_adds_the_rounds_up() -> None:
    text = page(RUN)
    assert "2 rounds of seed 7" in text
    assert "| records acknowledged | 3,000 |" in text
    assert "| of these lost | 0 |" in text
    assert "| replicas moved | 36 |" in text
    assert "| faults | 3 |" in text
    assert "| longest time without an acknowledgement | 30.1 s |" in text
    assert "| slowest round | 61 s (number 2) |" in text
    assert f"| {Kind.POWER_LOSS.value} | 2 | 30.1 s |" in text
    assert f"| {Kind.BROKER_KILLED.value} | 0 |  |" in text
    assert f"not counted: {Kind.PLAN_DELETED.value} 1." in text
    assert f"| {Play.UNDO.value} | 1 | 30.1 s |" in text
    assert "failed" not in text


def test_the_page_hides_no_failure() -> None:
    text = page(replace(RUN, rounds=[ROUND, replace(OTHER, lost=4, problems=["lost"])]))
    assert "| of these lost | 4 |" in text
    assert "not as it must be | 1 |" in text
    assert "- `SEED=7 ROUNDS=2..2`: round 1: 3 brokers" in text


def test_a_run_is_kept_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rounds.json"
    RUN.save(path)
    assert Run.load(path) == RUN


def test_the_page_of_the_docs_is_what_the_kept_rounds_tell() -> None:
    assert KEPT.exists() == PAGE.exists()
    if KEPT.exists():
        assert PAGE.read_text() == page(Run.load(KEPT))


def test_a_round_is_told_with_all_its_problems() -> None:
    assert told(ROUND) == "  40 s, 1500 records, 18 moves, longest wait 12.3 s, p99 20 ms"
    lines = told(replace(OTHER, problems=["one", "two"])).splitlines()
    assert lines[0].endswith("missed: plan deleted")
    assert lines[1:] == ["  PROBLEM one", "  PROBLEM two"]


SETTLED = Truth(
    brokers=[0, 1, 2],
    replicas={"checked-00-0": [0, 1, 2], "checked-00-1": [1, 2, 0], "t-0": [2]},
    in_sync={"checked-00-0": [2, 1, 0], "checked-00-1": [1, 2, 0], "t-0": [2]},
)


def test_nothing_is_wrong_with_a_settled_cluster() -> None:
    assert SETTLED.unrest(3) == []
    assert SETTLED.spreads(3) == (1, 0)


def test_each_unrest_is_told() -> None:
    assert SETTLED.unrest(4) == ["registered are [0, 1, 2]"]
    behind = {**SETTLED.in_sync, "t-0": [1]}
    for change, words in (
        ({"in_sync": behind}, "not in sync: ['t-0']"),
        ({"headless": ["t-0"]}, "without a leader: ['t-0']"),
        ({"moving": ["t-0"]}, "moving: ['t-0']"),
        ({"pending": "{}"}, "pending: {}"),
        ({"throttles": ["broker 1 x"]}, "throttled: ['broker 1 x']"),
    ):
        assert replace(SETTLED, **change).unrest(3) == [words]
    for throttle in ("broker <default> x", "topic 3 x"):
        assert replace(SETTLED, throttles=[throttle]).unrest(3) == [f"throttled: ['{throttle}']"]


def test_a_throttle_of_a_broker_that_is_gone_holds_nothing_back() -> None:
    assert replace(SETTLED, throttles=["broker 3 x"]).unrest(3) == []


def test_a_foreign_move_keeps_every_load() -> None:
    lists = {f"checked-00-{n}": [n % 4, (n + 1) % 4, (n + 2) % 4] for n in range(8)}
    truth = Truth(brokers=[0, 1, 2, 3], replicas=lists, in_sync=lists)
    for pick in (0.0, 0.3, 0.99):
        wanted = {f"{topic}-{number}": its for (topic, number), its in swap(truth, pick).items()}
        assert len(wanted) == 2
        assert all(lists[name] != its and len(set(its)) == 3 for name, its in wanted.items())
        after = replace(truth, replicas=lists | wanted)
        assert after.spreads(4) == truth.spreads(4) == (0, 0)


def test_a_foreign_move_where_all_hold_all_reorders_followers() -> None:
    assert swap(SETTLED, 0.9) == {("checked-00", 1): [1, 0, 2]}
    still = replace(SETTLED, moving=["checked-00-0", "checked-00-1"])
    assert swap(still, 0.0) == {}


def test_kept_rounds_are_json_that_people_can_read(tmp_path: Path) -> None:
    RUN.save(tmp_path / "rounds.json")
    data = json.loads((tmp_path / "rounds.json").read_text())
    assert data["seed"] == 7
    assert data["rounds"][0]["faults"] == ["node without power"]
