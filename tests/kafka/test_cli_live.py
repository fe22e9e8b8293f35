"""The commands on live brokers, beside Kafka's own `kafka-reassign-partitions`."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import ResourceType

from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
)
from tests.cluster.jars import kafka_libs
from tests.kafka.cluster import KafkaCluster
from tests.kafka.processes import wait_until
from tests.kafka.view import View
from tests.unit.cli.runs import assignment, entry, run, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BROKERS = (0, 1, 2, 3)
NOWHERE = "127.0.0.1:1"
SIZE = 1_500_000
SKEWED = {n: (0, 1) if n % 2 else (1, 2) for n in range(8)}


class Theirs:
    """`kafka-reassign-partitions` from Kafka's jars."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def execute(self, plan: Path, *more: str) -> str:
        return self._run(plan, "--execute", *more)

    def verify(self, plan: Path) -> dict[str, str]:
        """Return partition -> `done`, `in progress` or `elsewhere` in its own opinion."""
        found: dict[str, str] = {}
        for line in self._run(plan, "--verify", "--preserve-throttles").splitlines():
            words = line.split()
            if line.startswith("Reassignment of partition"):
                found[words[3]] = "done" if words[-1] == "completed." else "in progress"
            elif line.startswith("There is no active reassignment of partition"):
                found[words[7].rstrip(",")] = "elsewhere"
        return found

    def _run(self, plan: Path, *options: str) -> str:
        main = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
        java = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{kafka_libs()}/*", main]
        files = ["--bootstrap-server", self._bootstrap, "--reassignment-json-file", str(plan)]
        done = subprocess.run(
            [*java, *files, *options], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Four brokers of this file's own: plans here are of whole clusters.

    Kafka's own topics, which other files have made, could not leave a broker that is to be removed.
    """
    cluster = KafkaCluster(tmp_path_factory.mktemp("cli"), brokers=4, racks=("a", "b"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def theirs(kafka_cluster: KafkaCluster) -> Theirs:
    return Theirs(kafka_cluster.bootstrap)


@pytest.fixture
def skewed(kafka_cluster: KafkaCluster, topic: str) -> Iterator[str]:
    """Make a topic that leaves broker 3 empty."""
    kafka_cluster.create_topic(topic, SKEWED)
    yield topic
    kafka_cluster.delete_topic(topic)


@pytest.fixture(params=["--bootstrap", "--zookeeper"])
def source(request: pytest.FixtureRequest, kafka_cluster: KafkaCluster) -> tuple[str, str]:
    option: str = request.param
    return option, kafka_cluster.bootstrap if option == "--bootstrap" else kafka_cluster.connect


def planned(*options: object) -> dict[str, Any]:
    result = run("plan", "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def standing(plan: Path, *options: object) -> dict[str, Any]:
    result = run("verify", "--plan", plan, "--format", "json", *options)
    assert result.exit_code in {0, 1}, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["complete"] is (result.exit_code == 0)
    return found


def ours(plan: Path, *options: object) -> dict[str, str]:
    """Return partition -> state as Kafka's tool would put it, which knows no `not started`."""
    found = standing(plan, *options)
    entries = json.loads((plan / "plan.json").read_text())["partitions"]
    states = {f"{each['topic']}-{each['partition']}": "done" for each in entries}
    for each in found["unfinished"]:
        state = each["state"].replace("not started", "elsewhere")
        states[f"{each['topic']}-{each['partition']}"] = state
    return states


def test_both_sources_see_the_same_cluster(
    kafka_cluster: KafkaCluster, skewed: str, tmp_path: Path
) -> None:
    for partition in range(2):
        kafka_cluster.fill(skewed, partition, SIZE)
    seen = {}
    for option, where in (
        ("--bootstrap", kafka_cluster.bootstrap),
        ("--zookeeper", kafka_cluster.connect),
    ):
        out = tmp_path / option
        report = planned(option, where, "--out", out)
        broker = report["brokers"][3]
        assert (broker["id"], broker["rack"], broker["live"]) == (3, "b", True)
        seen[option] = (report["moves"], report["hash"], (out / "undo.json").read_text())
        assert report["sizes_known"] is (option == "--bootstrap")
        assert (report["bytes"] > 0) <= report["sizes_known"]
        if report["sizes_known"]:
            holder = next(b for b in report["brokers"] if b["id"] == 1)
            assert holder["bytes_before"] >= 2 * SIZE
    assert seen["--bootstrap"][0] == seen["--zookeeper"][0]


def test_a_plan_runs_in_kafkas_own_tool_and_both_agree_on_how_far_it_is(
    kafka_cluster: KafkaCluster,
    theirs: Theirs,
    skewed: str,
    tmp_path: Path,
    source: tuple[str, str],
) -> None:
    for partition in SKEWED:
        kafka_cluster.fill(skewed, partition, SIZE)
    others = others_than(kafka_cluster, skewed)
    pins = [word for name in others for word in ("--pin", name)]
    plan = tmp_path / "plan"
    report = planned(*source, "--out", plan, *pins)
    assert report["moves"] == report["lower_bound"] > 0
    assert report["replica_spread"] <= 1
    assert ours(plan, *source) == theirs.verify(plan / "plan.json")
    assert standing(plan, *source)["not_started"] == report["changed_partitions"]

    hold(kafka_cluster, skewed, "1")
    theirs.execute(plan / "plan.json")
    during = standing(plan, *source)
    assert during["in_progress"] >= 1
    assert not during["complete"]
    assert ours(plan, *source) == theirs.verify(plan / "plan.json")
    # In mid-flight, the plan for the same brokers is where the moves lead already.
    again = planned(*source, *pins)
    assert again["changed_partitions"] == 0

    hold(kafka_cluster, skewed, None)
    wait_until(lambda: standing(plan, *source)["complete"], "the plan is done")
    after = standing(plan, *source)
    assert after["moves_done"] == after["moves"] == report["moves"]
    assert ours(plan, *source) == theirs.verify(plan / "plan.json")
    assert planned(*source, *pins)["moves"] == 0

    theirs.execute(plan / "undo.json")
    wait_until(
        lambda: standing(plan, *source)["not_started"] == report["changed_partitions"],
        "the plan is undone",
    )


def test_a_plan_for_partitions_that_are_half_way(
    kafka_cluster: KafkaCluster,
    theirs: Theirs,
    skewed: str,
    tmp_path: Path,
    source: tuple[str, str],
) -> None:
    for partition in SKEWED:
        kafka_cluster.fill(skewed, partition, SIZE)
    pins = [word for name in others_than(kafka_cluster, skewed) for word in ("--pin", name)]
    first, second = tmp_path / "first", tmp_path / "second"
    planned(*source, "--out", first, *pins)
    hold(kafka_cluster, skewed, "1")
    theirs.execute(first / "plan.json")
    shown = run("plan", *source, "--out", second, "--exclude", "3", "--remove", "0", *pins)
    assert shown.exit_code == 0, shown.stderr
    assert "half-way through a move now" in shown.stdout
    report = json.loads((second / "report.json").read_text())
    assert report["half_way"]
    before = standing(second, *source)
    assert before["moves"] == report["moves"]
    assert before["moves_done"] == before["elsewhere"] == 0
    assert before["not_started"] == report["changed_partitions"]
    theirs.execute(second / "plan.json", "--additional")
    # A broker that has yet to hear of a move's end tells of it as it was.
    wait_until(lambda: standing(second, *source)["elsewhere"] == 0, "all is on its way")
    hold(kafka_cluster, skewed, None)
    wait_until(lambda: standing(second, *source)["complete"], "the second plan is done")
    after = standing(second, *source)
    assert after["moves_done"] == after["moves"] == report["moves"]


def test_batches_one_after_another_end_where_the_plan_does(
    kafka_cluster: KafkaCluster, theirs: Theirs, skewed: str, tmp_path: Path
) -> None:
    where = ("--bootstrap", kafka_cluster.bootstrap)
    pins = [word for name in others_than(kafka_cluster, skewed) for word in ("--pin", name)]
    plan = tmp_path / "plan"
    report = planned(*where, "--out", plan, "--max-moves-per-broker", "2", *pins)
    assert report["batches"] >= 2
    for batch in sorted((plan / "batches").iterdir()):
        theirs.execute(batch)

        def moved(batch: Path = batch) -> bool:
            return set(theirs.verify(batch).values()) == {"done"}

        wait_until(moved, f"batch {batch.name} is done")
    assert standing(plan, *where)["complete"]


def test_a_controller_that_dies_is_waited_for_known_and_emptied(
    kafka_cluster: KafkaCluster, topic: str, source: tuple[str, str]
) -> None:
    kafka_cluster.create_topic(topic, {n: (n, (n + 1) % len(BROKERS)) for n in BROKERS})
    view = View(kafka_cluster.zookeeper)
    dies = view.controller()
    assert dies is not None

    def row() -> dict[str, Any]:
        rows: list[dict[str, Any]] = planned(*source)["brokers"]
        return next(row for row in rows if row["id"] == dies)

    kafka_cluster.kill_broker(dies)
    try:
        # Until its session ends, all that is there to ask names it as the controller.
        assert view.controller() == dies
        assert row()
        wait_until(lambda: not row()["live"], "both know that it is down", 90.0)
        broker = row()
    finally:
        with suppress(TimeoutError):
            wait_until(lambda: dies not in view.brokers(), "its session's end")
        view.close()
        kafka_cluster.start_broker(dies)
    assert not broker["target"]
    assert broker["replicas_before"] >= 2
    assert broker["replicas_after"] == 0
    assert topic in kafka_cluster.topics()
    kafka_cluster.delete_topic(topic)


def test_the_state_may_also_come_from_a_file(
    kafka_cluster: KafkaCluster, skewed: str, tmp_path: Path
) -> None:
    plan = tmp_path / "plan"
    planned("--zookeeper", kafka_cluster.connect, "--out", plan)
    now = assignment(*(entry(skewed, n, list(r)) for n, r in SKEWED.items()))
    here = ours(plan, "--assignment", write(tmp_path / "a", now))
    live = ours(plan, "--bootstrap", kafka_cluster.bootstrap)
    assert {name: here[name] for name in live if name.startswith(f"{skewed}-")} == {
        name: state for name, state in live.items() if name.startswith(f"{skewed}-")
    }


@pytest.mark.parametrize(
    ("option", "where", "message"),
    [
        (
            "--bootstrap",
            NOWHERE,
            "no broker answers at 127.0.0.1:1; is it reachable and PLAIN",
        ),
        ("--bootstrap", "no-such-host.invalid:9092", "no broker answers at no-such-host.invalid:9"),
        ("--zookeeper", f"{NOWHERE}/kafka", "no ZooKeeper server answers at 127.0.0.1:1/kafka; is"),
    ],
)
def test_nobody_there(option: str, where: str, message: str) -> None:
    result = run("plan", option, where)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {option} {where}: {message}")
    assert len(result.stderr.splitlines()) == 1
    assert not result.stdout


def test_a_chroot_without_a_cluster(kafka_cluster: KafkaCluster) -> None:
    result = run("plan", "--zookeeper", f"{kafka_cluster.zookeeper}/other")
    assert result.exit_code == 2
    assert "no Kafka cluster is there; is the chroot right?" in result.stderr


def others_than(cluster: KafkaCluster, topic: str) -> list[str]:
    """Return the topics that other tests have left; pinned, they take no part."""
    return sorted(cluster.topics() - {topic})


def hold(cluster: KafkaCluster, topic: str, rate: str | None) -> None:
    """Throttle every copy of a topic to a byte per second, or let them go."""
    everything = None if rate is None else "*"
    for key in (LEADER_REPLICAS, FOLLOWER_REPLICAS):
        cluster.configure(ResourceType.TOPIC, topic, key, everything)
    for broker in BROKERS:
        for key in (LEADER_RATE, FOLLOWER_RATE):
            cluster.configure(ResourceType.BROKER, str(broker), key, rate)
    for broker in BROKERS:
        wait_until(
            lambda broker=broker: (
                cluster.configured(  # type: ignore[misc]
                    ResourceType.BROKER, str(broker), LEADER_RATE
                )
                == rate
            ),
            f"broker {broker} has the rate {rate}",
        )
