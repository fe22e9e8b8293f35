from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.cli import live
from broker_operator.cli.cluster import Cluster
from broker_operator.cli.standing import MadePlan, stand
from broker_operator.core.model import Broker
from broker_operator.core.planner import from_json
from tests.unit.cli.runs import assignment, entry, run, write

if TYPE_CHECKING:
    from click.testing import Result

    from tests.unit.cli.runs import Inputs


@pytest.fixture
def planned(inputs: Inputs) -> Inputs:
    assert inputs.plan("--out", inputs.out).exit_code == 0
    return inputs


def verify(inputs: Inputs, *more: object) -> Result:
    return run("verify", "--plan", inputs.out, *more)


def test_before_and_after(planned: Inputs) -> None:
    before = verify(planned, "--assignment", planned.assignment)
    assert before.exit_code == 1
    assert "0 done, 0 in progress, 6 not started, 0 elsewhere, of 6." in before.stdout
    assert "Moves: 0 done of 6." in before.stdout
    after = verify(planned, "--assignment", planned.out / "target.json")
    assert after.exit_code == 0
    assert "6 done" in after.stdout
    assert "Complete." in after.stdout
    undone = verify(planned, "--assignment", "-")
    assert undone.exit_code == 2
    assert "standard input: is empty" in undone.stderr


def test_half_way_in_json(planned: Inputs) -> None:
    now = from_json(planned.assignment.read_text())
    plan = from_json((planned.out / "plan.json").read_text())
    (topic, number), *rest = [(t, n) for t, its in plan.items() for n in its]
    now[topic][number] = plan[topic][number]
    moved, gone = rest[:2]
    now[moved[0]][moved[1]] = (4, 3, 2) if plan[moved[0]][moved[1]] != (4, 3, 2) else (3, 4, 2)
    del now[gone[0]][gone[1]]
    path = write(
        planned.folder / "now.json",
        assignment(*(entry(t, n, list(r)) for t, its in now.items() for n, r in its.items())),
    )
    found = verify(planned, "--assignment", path, "--format", "json")
    assert found.exit_code == 1
    report = json.loads(found.stdout)
    states = {(p["topic"], p["partition"]): p["state"] for p in report["unfinished"]}
    assert states == dict.fromkeys(rest, "not started") | {moved: "elsewhere", gone: "elsewhere"}
    assert (report["partitions"], report["done"], report["elsewhere"]) == (6, 1, 2)
    assert report["complete"] is False
    assert "gone" in verify(planned, "--assignment", path).stdout


def test_what_could_not_be_read_is_said_in_tables(
    planned: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = from_json(planned.assignment.read_text())
    cluster = Cluster(now, tuple(map(Broker, (1, 2, 3, 4))), notes=("broker 3 does not\nanswer",))
    monkeypatch.setattr(live, "read_kafka", lambda _bootstrap: cluster)
    monkeypatch.setattr(live, "read_zookeeper", lambda _connect: cluster)
    for option in ("--bootstrap", "--zookeeper"):
        for found in (verify(planned, option, "h:1"), run("plan", option, "h:1")):
            assert r"note: broker 3 does not\nanswer" in found.stdout


def test_an_empty_plan_is_complete(planned: Inputs) -> None:
    target = write(planned.folder / "t.json", (planned.out / "target.json").read_text())
    run("plan", "--assignment", target, "--brokers", planned.brokers, "--out", planned.out)
    found = verify(planned, "--assignment", target)
    assert found.exit_code == 0
    assert "nothing to do" in found.stdout


def test_a_long_list_is_cut(inputs: Inputs) -> None:
    many = assignment(*(entry("a-topic" * 30, n, [1, 2, 3]) for n in range(400)))
    write(inputs.assignment, many)
    inputs.plan("--out", inputs.out)
    found = verify(inputs, "--assignment", inputs.assignment)
    assert found.exit_code == 1
    assert len(found.stdout.splitlines()) < 30
    assert "more are not done; --format json has all." in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give one of --assignment"),
        (("--assignment", "a", "--bootstrap", "h:1"), "exclude each other"),
        (("--zookeeper", "h:1", "--bootstrap", "h:1"), "exclude each other"),
        (("--assignment", "missing.json"), "missing.json: cannot be read"),
    ],
)
def test_wrong_usage(planned: Inputs, options: tuple[str, ...], message: str) -> None:
    found = verify(planned, *options)
    assert found.exit_code == 2
    assert message in found.stderr


def test_the_folder_is_needed(planned: Inputs) -> None:
    found = run("verify", "--assignment", planned.assignment)
    assert found.exit_code == 2
    assert "--plan" in found.stderr


def test_folders_without_a_plan(planned: Inputs) -> None:
    ask = ("--assignment", planned.assignment)
    (planned.out / "undo.json").unlink()
    assert "undo.json: cannot be read" in verify(planned, *ask).stderr
    planned.plan("--remove", "9", "--out", planned.out)
    refused = verify(planned, *ask)
    assert refused.exit_code == 2
    assert (
        "plan.json: there is none, the plan was refused: cannot remove broker 9" in refused.stderr
    )
    for content in ("{", "[]", "{}"):
        write(planned.out / "report.json", content)
        assert "plan.json: cannot be read" in verify(planned, *ask).stderr


@pytest.mark.parametrize(
    ("plan", "undo", "message"),
    [
        ([entry()], [], "plan.json has t-0"),
        ([], [entry(partition=3)], "undo.json has t-3"),
    ],
)
def test_files_that_do_not_belong_together(
    planned: Inputs, plan: list[Any], undo: list[Any], message: str
) -> None:
    write(planned.out / "plan.json", assignment(*plan))
    write(planned.out / "undo.json", assignment(*undo))
    found = verify(planned, "--assignment", planned.assignment)
    assert found.exit_code == 2
    assert message in found.stderr


@pytest.mark.parametrize(
    ("now", "held", "state", "moved"),
    [
        ((1, 2), None, "not started", 0),
        ((1, 3), (1, 2), "in progress", 0),
        ((1, 3), (1, 3, 2), "in progress", 1),
        ((1, 3), None, "done", 1),
        ((3, 1), None, "elsewhere", 1),
        ((1, 4), (1, 2), "elsewhere", 0),
        ((1, 2), (1, 3), "not started", 1),
    ],
)
def test_states_of_a_partition(
    now: tuple[int, ...], held: tuple[int, ...] | None, state: str, moved: int
) -> None:
    """The plan takes it from 1, 2 to 1, 3; `held` are full copies while it is in flight."""
    cluster = Cluster({"t": {0: now}}, held={"t": {0: held}} if held else {})
    found = stand(cluster, MadePlan({"t": {0: (1, 3)}}, {"t": {0: (1, 2)}}))
    assert found.complete is (state == "done")
    assert [part.state for part in found.unfinished] == ([] if found.complete else [state])
    assert (found.moves, found.moves_done) == (1, moved)


@pytest.mark.parametrize(
    ("now", "state", "moved"),
    [
        ((1, 2), "not started", 0),
        ((3, 4, 1, 2), "in progress", 0),
        ((1, 2, 3, 4), "in progress", 0),
        ((3, 4, 2), "elsewhere", 2),
        ((3, 4), "done", 2),
    ],
)
def test_a_list_of_kafkas_in_mid_move(now: tuple[int, ...], state: str, moved: int) -> None:
    """The plan takes it from 1, 2 to 3, 4; the list has what is removed as well."""
    plan = MadePlan({"t": {0: (3, 4)}}, {"t": {0: (1, 2)}})
    found = stand(Cluster({"t": {0: now}}), plan, listed=True)
    assert [part.state for part in found.unfinished] == ([] if found.complete else [state])
    assert (found.moves, found.moves_done) == (2, moved)


@pytest.mark.parametrize(
    ("now", "state"),
    [
        ((2, 1, 3), "in progress"),
        ((3, 1, 2), "elsewhere"),
        ((1, 2, 3), "not started"),
        ((2, 1), "done"),
    ],
)
def test_a_list_that_only_shrinks_is_told_by_its_order(now: tuple[int, ...], state: str) -> None:
    plan = MadePlan({"t": {0: (2, 1)}}, {"t": {0: (1, 2, 3)}})
    found = stand(Cluster({"t": {0: now}}), plan, listed=True)
    assert [part.state for part in found.unfinished] == ([] if found.complete else [state])
    assert found.moves == found.moves_done == 0


@pytest.mark.parametrize(
    ("now", "state", "moved"),
    [
        ((3, 2, 1), "not started", 0),
        ((3, 2), "not started", 1),
        ((3, 4, 1, 2), "in progress", 0),
        ((3, 4), "done", 2),
    ],
)
def test_a_list_of_a_partition_that_was_half_way(
    now: tuple[int, ...], state: str, moved: int
) -> None:
    """It was on its way from 1, 2 to 3, 2 when the plan was made, which takes it to 3, 4."""
    plan = MadePlan({"t": {0: (3, 4)}}, {"t": {0: (3, 2)}}, {"t": {0: (1, 2)}})
    found = stand(Cluster({"t": {0: now}}), plan, listed=True)
    assert [part.state for part in found.unfinished] == ([] if found.complete else [state])
    assert (found.moves, found.moves_done) == (2, moved)


def test_a_file_in_mid_move(planned: Inputs) -> None:
    now = from_json(planned.assignment.read_text())
    plan = from_json((planned.out / "plan.json").read_text())
    for topic, its in plan.items():
        for number, target in its.items():
            now[topic][number] = tuple(dict.fromkeys((*target, *now[topic][number])))
    path = write(
        planned.folder / "now.json",
        assignment(*(entry(t, n, list(r)) for t, its in now.items() for n, r in its.items())),
    )
    found = verify(planned, "--assignment", path)
    assert found.exit_code == 1
    assert "0 done, 6 in progress, 0 not started, 0 elsewhere, of 6." in found.stdout
    assert "Moves: 0 done of 6." in found.stdout


def test_names_as_long_as_they_get(inputs: Inputs) -> None:
    many = assignment(*(entry("long-topic" * 24 + "-the-end", n, [1, 2, 3]) for n in range(6)))
    write(inputs.assignment, many)
    inputs.plan("--out", inputs.out)
    shown = verify(inputs, "--assignment", inputs.assignment).stdout
    rows = [line for line in shown.splitlines() if line.startswith("long-topic")]
    assert rows
    assert all("~" in row and "the-end-" in row and " not started 1,2,3 " in row for row in rows)
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", "[" * 100_000])
def test_a_folder_without_a_report(planned: Inputs, content: str | None) -> None:
    (planned.out / "report.json").unlink()
    if content is not None:
        write(planned.out / "report.json", content)
    found = verify(planned, "--assignment", planned.assignment)
    assert found.exit_code == 1
    words = "report.json is no report of a plan: files of the plan may be missing"
    assert words in " ".join(found.stdout.split())
    found = verify(planned, "--assignment", planned.assignment, "--format", "json")
    assert words in found.stderr
    assert json.loads(found.stdout)["moves"] == 6


@pytest.mark.parametrize("half_way", [7, [7], [{}], [{"topic": "t", "partition": "x"}]])
def test_a_report_that_somebody_has_edited(planned: Inputs, half_way: Any) -> None:
    write(planned.out / "report.json", {"refused": None, "half_way": half_way})
    found = verify(planned, "--assignment", planned.assignment)
    assert found.exit_code == 2
    assert "report.json: half_way is not as a plan has written it" in found.stderr
