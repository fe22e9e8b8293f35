"""The bench's own arithmetic: what it compares must not be wrong."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.bench.planner.judge import Verdict, judge, least_spread
from tests.bench.planner.measure import measure
from tests.bench.planner.report import Case, table
from tests.bench.planner.shapes import CHANGES, Shape, shape, used

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("change", CHANGES)
def test_a_shape_is_whole_and_the_same_each_time(change: str) -> None:
    made = shape(change, 1_000)

    lists = [replicas for topic in made.topics.values() for replicas in topic]
    assert len(lists) == 1_000
    assert all(len(set(replicas)) == 3 for replicas in lists)
    assert made == shape(change, 1_000)


@pytest.mark.parametrize(("partitions", "brokers", "racks"), [(1_000, 30, 3), (3_333, 300, 30)])
def test_the_start_of_a_scaling_is_level(partitions: int, brokers: int, racks: int) -> None:
    start = shape("add", partitions, brokers, racks)
    settled = Shape("add", partitions, start.topics, start.racks, tuple(range(brokers)))

    verdict = judge(settled, start.topics)

    assert verdict.replica_spread <= 3
    assert verdict.leader_spread <= 1
    assert verdict.rack_violations == 0


def test_the_other_starts_are_as_bad_as_they_say() -> None:
    skewed, rackless = shape("skewed", 1_000), shape("rackless", 1_000)

    loads = Counter(b for topic in skewed.topics.values() for r in topic for b in r)
    assert loads[27] > 5 * loads[0]
    assert judge(skewed, skewed.topics).rack_violations == 0
    assert judge(rackless, rackless.topics).rack_violations > 500


def test_a_judge_counts() -> None:
    racks = {1: "a", 2: "a", 3: "b", 4: "b"}
    asked = Shape("add", 2, {"t": [[1, 3], [3, 1]]}, racks, (1, 2, 3, 4))

    assert judge(asked, {"t": [[1, 3], [4, 3]]}) == Verdict(
        valid=True,
        moves=1,
        replica_spread=2,
        leader_spread=1,
        topic_spread=2,
        rack_violations=1,
        leader_changes=1,
    )


@pytest.mark.parametrize(
    ("reason", "planned"),
    [
        ("a partition is missing", {"t": [[1, 2]]}),
        ("a replica is missing", {"t": [[1, 2], [2]]}),
        ("a broker holds a partition twice", {"t": [[1, 2], [2, 2]]}),
        ("a broker is to be empty", {"t": [[1, 2], [2, 3]]}),
        ("a topic has another name", {"u": [[1, 2], [2, 1]]}),
    ],
)
def test_an_invalid_plan_is_called_so(reason: str, planned: dict[str, list[list[int]]]) -> None:
    asked = Shape("remove", 2, {"t": [[1, 2], [2, 1]]}, dict.fromkeys((1, 2, 3), "a"), (1, 2))

    assert not judge(asked, planned).valid, reason


def test_the_least_spread_is_that_of_the_best_of_all_assignments() -> None:
    for sizes in ((1, 1), (1, 2), (2, 1, 1), (1, 3), (2, 2)):
        brokers = list(range(sum(sizes)))
        racks = dict(
            zip(brokers, (str(r) for r, n in enumerate(sizes) for _ in range(n)), strict=True)
        )
        for partitions in (1, 2, 3):
            start = {"t": [brokers[:2]] * partitions}
            asked = Shape("add", partitions, start, racks, tuple(brokers))
            pairs = itertools.combinations(brokers, 2)
            every = itertools.product(pairs, repeat=partitions)
            plans = [judge(asked, {"t": [list(pair) for pair in plan]}) for plan in every]
            fair = [plan.replica_spread for plan in plans if plan.rack_violations == 0]
            assert least_spread(asked) == min(fair), (sizes, partitions)


def test_the_brokers_in_use_are_those_with_replicas() -> None:
    assert used({"t": [[1, 2]], "u": [[5]]}) == {1, 2, 5}


PLANS_NOTHING = (
    "import json,sys;q=json.load(open(sys.argv[1]));"
    "json.dump({'topics':q['topics'],'seconds':[2,1],'peak_kib':2048},open(sys.argv[2],'w'))"
)


def test_a_driver_is_measured_and_its_plan_judged(tmp_path: Path) -> None:
    asked = shape("skewed", 100)

    result = measure([sys.executable, "-c", PLANS_NOTHING], asked, tmp_path, limit=30)

    assert (result.outcome, result.seconds, result.peak) == ("", 1, 2)
    assert result.verdict == judge(asked, asked.topics)
    assert json.loads((tmp_path / "input.json").read_text())["targets"] == list(range(30))


@pytest.mark.parametrize(
    ("program", "outcome", "reason"),
    [
        ("import time; time.sleep(60)", "over 0.5 s", ""),
        ("raise SystemExit('cannot do it')", "failed", "cannot do it"),
    ],
)
def test_a_driver_without_a_plan_is_no_plan(
    program: str, outcome: str, reason: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", program]

    result = measure(command, shape("add", 100), tmp_path, limit=0.5 if "time" in program else 30)

    assert (result.outcome, result.reason, result.verdict) == (outcome, reason, None)
    assert table(Case.of(shape("add", 100), {"ours": result})).row_count == 1
