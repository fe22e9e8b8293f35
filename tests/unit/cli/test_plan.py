from __future__ import annotations

import errno
import gc
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker_operator.cli import live
from broker_operator.cli.cluster import Cluster
from broker_operator.core.model import Broker
from broker_operator.core.planner import from_json
from tests.unit.cli.runs import assignment, brokers, entry, run, skewed, write

if TYPE_CHECKING:
    from tests.unit.cli.runs import Inputs


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.json")}


def test_what_is_written(inputs: Inputs) -> None:
    report = inputs.report("--out", inputs.out, "--throttle", "1Mi", "--max-moves-per-broker", "2")
    batches = [f"batches/{n:04}.json" for n in range(1, report["batches"] + 1)]
    assert len(batches) > 1
    assert names(inputs.out) == sorted(
        ["batches", "plan.json", "report.json", "target.json", "undo.json", *batches]
    )
    before = from_json(inputs.assignment.read_text())
    plan = from_json((inputs.out / "plan.json").read_text())
    undo = from_json((inputs.out / "undo.json").read_text())
    target = from_json((inputs.out / "target.json").read_text())
    assert {t: set(its) for t, its in plan.items()} == {t: set(its) for t, its in undo.items()}
    for topic, its in before.items():
        for number, replicas in its.items():
            wanted = plan.get(topic, {}).get(number, replicas)
            assert target[topic][number] == wanted
            assert (replicas != target[topic][number]) == (number in plan.get(topic, {}))
            assert undo.get(topic, {}).get(number, replicas) == replicas
    together: dict[str, dict[int, tuple[int, ...]]] = {}
    for name in batches:
        for topic, its in from_json((inputs.out / name).read_text()).items():
            for number, replicas in its.items():
                assert number not in together.setdefault(topic, {})
                together[topic][number] = replicas
    assert together == plan
    assert inputs.written("report.json") == report
    assert stat.S_IMODE((inputs.out / "plan.json").stat().st_mode) & 0o444


def test_the_report_has_the_keys_that_are_promised(inputs: Inputs) -> None:
    sizes = {t: {str(n): 1000 for n in range(6)} for t in "tu"}
    path = write(inputs.folder / "s.json", sizes)
    report = inputs.report("--sizes", path, "--throttle", "1k")
    assert report["moves"] == report["lower_bound"] == 6
    assert report["optimal"] is True
    assert report["bytes"] == 6000
    assert report["replica_spread"] <= report["replica_spread_before"]
    assert report["rack_violations"] == report["rack_violations_before"] == 0
    assert report["leader_spread"] <= 1
    assert report["predicted_seconds"] >= report["ideal_seconds"] >= 6
    assert report["refused"] is None
    assert report["seconds"] >= 0
    assert isinstance(report["leader_changes"], int)
    assert report["brokers"][3]["replicas_after"] == 6


def test_nothing_to_do(inputs: Inputs) -> None:
    assert inputs.plan("--out", inputs.out).exit_code == 0
    again = write(inputs.folder / "again.json", (inputs.out / "target.json").read_text())
    result = run("plan", "--assignment", again, "--brokers", inputs.brokers, "--out", inputs.out)
    assert result.exit_code == 0
    assert "nothing to do" in result.stdout
    assert inputs.written("plan.json") == inputs.written("undo.json") == assignment()
    assert names(inputs.out) == ["plan.json", "report.json", "target.json", "undo.json"]


def test_no_partitions_at_all(inputs: Inputs) -> None:
    write(inputs.assignment, assignment())
    assert inputs.report()["moves"] == 0
    assert inputs.plan().exit_code == 0


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        (("--remove", "9,1"), "UnknownBroker", "cannot remove broker 9"),
        (("--exclude", "9"), "UnknownBroker", "cannot exclude broker 9"),
        (("--remove", "1,2,3,4"), "NoTargetBrokers", "no broker would remain"),
        (("--remove", "1,2"), "ReplicationFactorTooHigh", "only 2 brokers would remain"),
        (("--pin", "x"), "UnknownTopic", "cannot pin topic x"),
        (("--replication-factor", "x=2"), "UnknownTopic", "topic x"),
        (("--replication-factor", "t=5"), "ReplicationFactorTooHigh", "4 brokers"),
        (("--pin", "t", "--remove", "1"), "PinnedTopicOnLeavingBroker", "topic t"),
    ],
)
def test_refusals(inputs: Inputs, options: tuple[str, ...], reason: str, words: str) -> None:
    assert inputs.plan("--out", inputs.out).exit_code == 0
    earlier = content(inputs.out)
    result = inputs.plan(*options, "--out", inputs.out)
    assert result.exit_code == 3
    assert words in result.stderr
    assert not result.stdout
    report = inputs.written("report.json")
    assert report["reason"] == reason
    assert report["refused"] in result.stderr
    assert sorted(path.name for path in inputs.out.iterdir()) == ["previous", "report.json"]
    assert content(inputs.out / "previous") == earlier
    assert f"The earlier plan is now in {inputs.out}/previous\n" in result.stderr
    shown = inputs.plan(*options, "--format", "json")
    assert shown.exit_code == 3
    assert json.loads(shown.stdout) == report


@pytest.mark.parametrize("removed", [[], [1]])
def test_a_dead_broker_loses_its_replicas_and_can_be_removed(
    inputs: Inputs, removed: list[int]
) -> None:
    write(inputs.brokers, brokers(1, 2, 3, 4, dead=(1,)))
    report = inputs.report(*(("--remove", "1") if removed else ()))
    assert [broker["replicas_after"] for broker in report["brokers"]] == [0, 12, 12, 12]
    assert [broker["live"] for broker in report["brokers"]] == [False, True, True, True]
    assert report["removed"] == removed


def test_exclude_pin_weights_and_replication_factor(inputs: Inputs) -> None:
    excluded = inputs.report("--exclude", "4")
    assert (excluded["moves"], excluded["excluded"]) == (0, [4])
    pinned = inputs.report("--pin", "t", "--out", inputs.out)
    assert pinned["pinned"] == ["t"]
    assert {found["topic"] for found in inputs.written("plan.json")["partitions"]} == {"u"}
    weights = write(inputs.folder / "w.json", {"4": 0.5})
    weighted = inputs.report("--weights", weights)
    assert [broker["weight"] for broker in weighted["brokers"]] == [1, 1, 1, 0.5]
    assert weighted["brokers"][3]["replicas_after"] < 6
    fewer = inputs.report("--replication-factor", "t=2", "--replication-factor", "u=2")
    assert sum(broker["replicas_after"] for broker in fewer["brokers"]) == 24


def test_bytes_per_broker_make_more_batches(inputs: Inputs) -> None:
    path = write(inputs.folder / "s.json", {t: {str(n): 1000 for n in range(6)} for t in "tu"})
    few = inputs.report("--sizes", path)
    many = inputs.report("--sizes", path, "--max-bytes-per-broker", "1000")
    assert many["batches"] == 6 > few["batches"]


def test_the_same_files_whatever_the_order(inputs: Inputs) -> None:
    outputs: list[dict[str, bytes]] = []
    for turn in range(2):
        folder = inputs.folder / f"out-{turn}"
        assert inputs.plan("--out", folder).exit_code == 0
        outputs.append(
            {p.name: p.read_bytes() for p in folder.rglob("*.json") if p.name != "report.json"}
        )
        reverse = skewed()
        reverse["partitions"].reverse()
        write(inputs.assignment, reverse)
        write(inputs.brokers, brokers(4, 3, 2, 1) if turn else brokers(1, 2, 3, 4))
    assert outputs[0] == outputs[1]


def test_fewer_batches_leave_none_of_before(inputs: Inputs) -> None:
    inputs.plan("--out", inputs.out, "--max-moves-per-broker", "1")
    before = len(list((inputs.out / "batches").iterdir()))
    report = inputs.report("--out", inputs.out, "--max-moves-per-broker", "100")
    assert before > report["batches"] == len(list((inputs.out / "batches").iterdir()))


def test_a_write_that_fails_half_way_leaves_the_old_plan_whole(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs.plan("--out", inputs.out)
    before = {path: path.read_bytes() for path in inputs.out.rglob("*.json")}

    write_text = Path.write_text

    def full(path: Path, text: str, **how: str) -> int:
        if path.name == "0002.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, text, **how)

    monkeypatch.setattr(Path, "write_text", full)
    result = inputs.plan("--out", inputs.out, "--max-moves-per-broker", "1")
    assert result.exit_code == 2
    assert "cannot be written: No space left on device" in result.stderr
    assert {path: path.read_bytes() for path in inputs.out.rglob("*.json")} == before
    assert not list(inputs.out.glob(".*"))


@pytest.mark.parametrize("refused", [False, True])
def test_an_exchange_that_fails_half_way_is_taken_back(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    inputs.plan("--out", inputs.out)
    before = content(inputs.out)
    rename = Path.rename

    for last in range(1, 8 if refused else 11):
        left = last

        def broken(path: Path, to: Path) -> Path:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return rename(path, to)

        monkeypatch.setattr(Path, "rename", broken)
        result = inputs.plan("--out", inputs.out, *(("--remove", "9") if refused else ()))
        monkeypatch.setattr(Path, "rename", rename)
        assert result.exit_code == 2, last
        assert "cannot be written: Input/output error" in result.stderr
        assert content(inputs.out) == before
        assert sorted(names(inputs.out)) == sorted({*before, "batches"})


def test_no_plan_is_lost_however_often_one_is_refused(inputs: Inputs) -> None:
    undo = []
    for limit in ("1", "2", "3"):
        inputs.plan("--out", inputs.out, "--max-moves-per-broker", limit)
        undo.append(content(inputs.out)["report.json"])
        for _ in range(2):
            assert inputs.plan("--out", inputs.out, "--remove", "9").exit_code == 3
    kept = content(inputs.out)
    assert [
        kept["previous/report.json"],
        kept["previous-2/report.json"],
        kept["previous-3/report.json"],
    ] == undo
    assert "previous-4/report.json" not in kept


def test_what_killed_runs_have_left_is_cleaned_up(inputs: Inputs) -> None:
    fresh, stale, moved = (inputs.out / f".broker-operator-{n}" for n in ("fresh", "x", "y"))
    for folder in (fresh, stale / "old", stale / "new", moved / "old"):
        folder.mkdir(parents=True)
    write(moved / "old" / "undo.json", "mine")
    for folder in (stale, moved):
        os.utime(folder, (0, 0))
    assert inputs.plan("--out", inputs.out).exit_code == 0
    assert list(inputs.out.glob(".*")) == [fresh]
    assert content(inputs.out)["previous/undo.json"] == b"mine"


def test_what_a_failed_exchange_cannot_put_back_is_kept(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs.plan("--out", inputs.out)
    before = content(inputs.out)
    rename = Path.rename

    def broken(path: Path, to: Path) -> Path:
        if path.name == "plan.json" or to == inputs.out / "report.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", broken)
    assert inputs.plan("--out", inputs.out).exit_code == 2
    (kept,) = inputs.out.glob(".broker-operator-*/old/report.json")
    assert kept.read_bytes() == before["report.json"]


def half_way() -> Cluster:
    """Return a cluster of which two partitions are on their way, with no copy made."""
    now = from_json(json.dumps(skewed()))
    now["t"][0], now["u"][0] = (4, 2, 3), (1, 3, 2)
    held = {"t": {0: (1, 2, 3)}, "u": {0: (1, 2, 3)}}
    return Cluster(now, tuple(Broker(b, "abc"[(b - 1) % 3]) for b in (1, 2, 3, 4)), held)


@pytest.mark.parametrize("form", ["table", "json"])
def test_partitions_that_are_half_way(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(live, "read_kafka", lambda _bootstrap: half_way())
    plan = ("plan", "--bootstrap", "h:1", "--out", inputs.out)
    result = run(*plan, "--format", form)
    assert result.exit_code == 0
    shown = result.stdout if form == "table" else result.stderr
    assert "note: 2 partitions are half-way through a move now, " in " ".join(shown.split())
    assert "--execute needs --additional while moves run" in " ".join(shown.split())
    report = inputs.written("report.json")
    assert [entry["held"] for entry in report["half_way"]] == [[1, 2, 3], [1, 2, 3]]
    found = run("verify", "--plan", inputs.out, "--bootstrap", "h:1", "--format", "json")
    standing = json.loads(found.stdout)
    assert standing["moves"] == report["moves"]
    assert standing["moves_done"] == standing["elsewhere"] == standing["done"] == 0
    target = from_json((inputs.out / "target.json").read_text())
    finished = replace(half_way(), assignment=target, held={})
    monkeypatch.setattr(live, "read_kafka", lambda _bootstrap: finished)
    found = run("verify", "--plan", inputs.out, "--bootstrap", "h:1", "--format", "json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["moves_done"] == report["moves"]
    # Copies on their way to pinned topics are none of the plan's moves.
    monkeypatch.setattr(live, "read_kafka", lambda _bootstrap: half_way())
    run(*plan, "--pin", "t")
    found = run("verify", "--plan", inputs.out, "--bootstrap", "h:1", "--format", "json")
    assert json.loads(found.stdout)["moves"] == inputs.written("report.json")["moves"]


def test_limits_that_are_none(inputs: Inputs) -> None:
    result = inputs.plan("--max-bytes-per-broker", "1")
    assert "note: --max-bytes-per-broker has no effect: no size is known" in result.stdout
    path = write(inputs.folder / "s.json", {t: {str(n): 1000 for n in range(6)} for t in "tu"})
    result = inputs.plan("--max-bytes-per-broker", "1", "--sizes", path)
    assert "note:" not in result.stdout
    assert (
        inputs.report("--sizes", path, "--max-bytes-per-broker", "0")["batches"]
        == inputs.report("--sizes", path)["batches"]
    )


def test_the_largest_numbers_there_can_be(inputs: Inputs) -> None:
    most = 2**63 - 1
    path = write(inputs.folder / "s.json", {t: {str(n): most for n in range(6)} for t in "tu"})
    for throttle in ("1", str(most)):
        result = inputs.plan("--sizes", path, "--throttle", throttle, "--out", inputs.out)
        assert result.exit_code == 0


@pytest.mark.parametrize(
    "end", ["\n\nProposed partition reassignment configuration\n{}\n", "\n", ""]
)
def test_what_generate_prints(inputs: Inputs, end: str) -> None:
    wanted = inputs.report()
    text = "Warning: x\nCurrent partition replica assignment\n"
    write(inputs.assignment, f"{text}{json.dumps(skewed())}{end}")
    assert inputs.report("--out", inputs.out)["hash"] == wanted["hash"]
    verified = run("verify", "--plan", inputs.out, "--assignment", inputs.assignment)
    assert "6 not started" in verified.stdout
    write(inputs.assignment, f'{text}{{"version":2}}{end}')
    assert f"{inputs.assignment}:3: version must be 1, not 2" in inputs.plan().stderr


def test_nobody_is_left(inputs: Inputs) -> None:
    result = inputs.plan("--remove", "1,2,3,4")
    assert "all 4 live brokers are removed of the 4 known" in result.stderr
    write(inputs.brokers, brokers(1, 2, 3, 4, dead=(1, 2, 3, 4)))
    assert "no broker lives of the 4 known" in inputs.plan().stderr


def test_other_files_in_the_folder_stay(inputs: Inputs) -> None:
    inputs.out.mkdir()
    mine = write(inputs.out / "notes.txt", "mine")
    inputs.plan("--out", inputs.out)
    inputs.plan("--out", inputs.out, "--remove", "9")
    assert mine.read_text() == "mine"


def test_keys_that_are_not_known_are_ignored(inputs: Inputs) -> None:
    found = skewed()
    found["partitions"][0]["log_dirs"] = ["any", "any", "any"]
    write(inputs.assignment, found | {"note": 1})
    write(inputs.brokers, [broker | {"host": "h"} for broker in brokers(1, 2, 3, 4)])
    write(inputs.folder / "s.json", {"gone": {"0": 7}, "t": {"999": 1}})
    assert inputs.report("--sizes", inputs.folder / "s.json")["moves"] == 6


def test_racks_may_be_left_out_or_empty(inputs: Inputs) -> None:
    write(inputs.brokers, [{"id": 1}, {"id": 2, "rack": None}, {"id": 3, "rack": ""}, {"id": 4}])
    assert {broker["rack"] for broker in inputs.report()["brokers"]} == {None}


def test_garbage_collection_is_on_again_afterwards(inputs: Inputs) -> None:
    inputs.plan()
    assert gc.isenabled()
    inputs.plan("--remove", "9")
    assert gc.isenabled()


def test_partitions_without_a_live_replica_are_refused(inputs: Inputs) -> None:
    write(inputs.assignment, assignment(entry(replicas=[1])))
    write(inputs.brokers, brokers(1, 2, dead=(1,)))
    result = inputs.plan()
    assert result.exit_code == 3
    assert "no live replica to copy from: t-0" in result.stderr
