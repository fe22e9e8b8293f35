"""The traffic tool against live brokers: clean traffic is called clean, each fault is found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.traffic.client import admin_client, end_offsets
from tests.traffic.record import Record, encode
from tests.traffic.verify import read_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.cluster import KafkaCluster

pytestmark = pytest.mark.kafka

DEADLINE = 60.0
FILL = ["--topics", "2", "--partitions", "3", "--replication", "1", "--size", "1000"]
ONE_REPLICA = ["--config", "min.insync.replicas=1"]

Line = dict[str, Any]


class Tool:
    """Runs the tool's commands as processes, on topics of its own."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"traffic-{uuid4().hex[:8]}-"
        self._folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def _argv(self, command: str, *args: str) -> list[str]:
        topics = [] if command == "describe" else ["--prefix", self.prefix]
        module = [sys.executable, "-m", "tests.traffic", command]
        return [*module, "--bootstrap", self.bootstrap, *topics, *args]

    def run(self, command: str, *args: str) -> tuple[int, Line]:
        """Run to the end; return the exit status and the last line."""
        argv = self._argv(command, *args)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
        lines = done.stdout.splitlines()
        assert lines, done.stderr
        return done.returncode, json.loads(lines[-1])

    def start(self, command: str, *args: str) -> subprocess.Popen[str]:
        """Start one that runs until it is stopped."""
        process = subprocess.Popen(
            self._argv(command, *args),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._running.append(process)
        return process

    def stop_all(self) -> None:
        """Kill what is left running."""
        for process in self._running:
            process.kill()
            process.communicate(timeout=DEADLINE)

    def verify(self, *ledgers: Line) -> tuple[int, Line]:
        """Compare the log with these ledgers."""
        path = self._folder / "ledgers.json"
        path.write_text(json.dumps(ledgers))
        return self.run("verify", "--ledgers", str(path), "--timeout", "30")

    def fill(self, megabytes: float = 0.6) -> Line:
        """Make two topics of three partitions with some records each."""
        status, line = self.run("fill", *FILL, *ONE_REPLICA, "--megabytes", str(megabytes))
        assert status == 0
        return line


@pytest.fixture
def tool(kafka_cluster: KafkaCluster, tmp_path: Path) -> Iterator[Tool]:
    tool = Tool(kafka_cluster.bootstrap, tmp_path)
    yield tool
    tool.stop_all()
    admin = AdminClient({"bootstrap.servers": tool.bootstrap})
    mine = [name for name in admin.list_topics(timeout=10).topics if name.startswith(tool.prefix)]
    for future in admin.delete_topics(mine).values() if mine else ():
        future.result(10)


def lines_until(
    process: subprocess.Popen[str], field: str, least: int, kind: str | None = None
) -> Line:
    """Read lines, of one kind if named, until a count has reached a value."""
    assert process.stdout is not None
    deadline = time.monotonic() + DEADLINE
    for text in process.stdout:  # one each second
        line: Line = json.loads(text)
        if (kind in {None, line["kind"]}) and line.get(field, 0) >= least:
            return line
        assert time.monotonic() < deadline, line
    raise AssertionError(f"it ended before {field} was {least}")


def final(process: subprocess.Popen[str]) -> Line:
    """Ask a process to stop; return its last line."""
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=DEADLINE)
    line: Line = json.loads(out.splitlines()[-1])
    return line


def produce(tool: Tool, records: list[tuple[int, bytes]]) -> None:
    """Write (partition, value) pairs to the first topic, in order."""
    client = Producer({"bootstrap.servers": tool.bootstrap, "enable.idempotence": True})
    for partition, value in records:
        client.produce(f"{tool.prefix}00", value, partition=partition)
    assert client.flush(DEADLINE) == 0


def record(tool: Tool, sequence: int, partition: int = 0) -> bytes:
    return encode(Record("by-hand", f"{tool.prefix}00", partition, sequence, time.time_ns()))


def test_traffic_that_nobody_disturbs_is_clean(tool: Tool) -> None:
    filled = tool.fill()
    assert filled["total"] == 600
    assert sum(len(partitions) for partitions in filled["acked"].values()) == 6
    producer, consumer = tool.start("produce", "--rate", "300"), tool.start("consume")
    acked = lines_until(producer, "acked", 600)
    assert 200 < acked["rate"] < 400
    assert acked["p50_ms"] <= acked["p99_ms"] <= acked["max_ms"]
    produced = final(producer)
    assert (produced["failed"], produced["unresolved"]) == (0, 0)
    assert produced["sent"] == produced["total"]
    lines_until(consumer, "consumed", 600 + produced["total"])
    consumed = final(consumer)
    assert consumed["consumed"] == 600 + produced["total"]
    assert consumed["missing"] == consumed["reordered"] == consumed["duplicated"] == 0
    status, verdict = tool.verify(filled, produced)
    assert status == 0
    assert verdict["clean"] is True
    assert verdict["acked"] == verdict["found"] == 600 + produced["total"]
    assert verdict["unacked"] == 0


def test_transactions_are_read_once_and_those_aborted_never(tool: Tool) -> None:
    filled = tool.fill(megabytes=0)
    plain, producer = tool.start("produce", "--rate", "100"), tool.start("transact", "--rate", "60")
    consumer = tool.start("consume")
    half = lines_until(producer, "aborted", 2)
    producer.send_signal(signal.SIGUSR1)
    so_far = lines_until(producer, "time", 1, kind="ledger")
    acked = sum(last + 1 for its in so_far["acked"].values() for [[_, last]] in its.values())
    assert acked >= half["acked"]
    assert tool.verify(filled, so_far)[0] == 0, "while the traffic goes on"
    produced, transacted = final(plain), final(producer)
    assert (transacted["failure"], transacted["unresolved"]) == ("", 0)
    assert transacted["total"] >= acked
    total = produced["total"] + transacted["total"]
    line = lines_until(consumer, "consumed", total)
    while line["lag"]:
        line = lines_until(consumer, "consumed", total)
    consumed = final(consumer)
    assert consumed["consumed"] == total
    assert consumed["missing"] == consumed["reordered"] == consumed["duplicated"] == 0
    status, verdict = tool.verify(produced, transacted)
    assert (status, verdict["found"], verdict["unacked"]) == (0, total, 0)
    # Somebody who reads what was aborted sees the same numbers again, and would be found out.
    first = [(f"{tool.prefix}00", number) for number in range(3)]
    ends = end_offsets(admin_client(tool.bootstrap), first, DEADLINE)
    log = read_log(tool.bootstrap, ends, time.monotonic() + DEADLINE, "read_uncommitted")
    assert log.totals()["duplicated"] > 0


def test_records_that_vanish_from_the_log_are_counted_exactly(tool: Tool) -> None:
    filled = tool.fill()
    admin = AdminClient({"bootstrap.servers": tool.bootstrap})
    topic = f"{tool.prefix}00"
    for future in admin.delete_records([TopicPartition(topic, 1, 30)]).values():
        future.result(DEADLINE)
    status, verdict = tool.verify(filled)
    assert status == 1
    assert verdict["missing"] == 30
    [producer] = {filled["producer"]}
    assert verdict["examples"] == [f"{topic}-1 {producer} 0..29"]


def test_an_acked_tail_that_is_not_there_is_lost(tool: Tool) -> None:
    filled = tool.fill()
    promised = json.loads(json.dumps(filled))
    promised["acked"][f"{tool.prefix}01"]["2"] = [[0, 104]]
    status, verdict = tool.verify(promised)
    assert (status, verdict["missing"], verdict["found"]) == (1, 5, 600)


def test_faults_in_the_log_are_told_apart(tool: Tool) -> None:
    tool.fill(megabytes=0)
    order = [(0, 0), (0, 2), (0, 1), (0, 1), (1, 0), (1, 3)]
    values = [(partition, record(tool, number, partition)) for partition, number in order]
    produce(tool, [*values, (2, b"not a checked record")])
    status, consumed = tool.run("consume", "--group", tool.prefix, "--until-caught-up")
    assert status == 1
    faults = {key: consumed[key] for key in ("reordered", "duplicated", "missing", "corrupt")}
    assert faults == {"reordered": 1, "duplicated": 1, "missing": 2, "corrupt": 1}
    status, verdict = tool.verify()
    assert status == 1
    assert (verdict["reordered"], verdict["duplicated"], verdict["corrupt"]) == (1, 1, 1)


def test_a_group_goes_on_where_it_committed(tool: Tool) -> None:
    filled = tool.fill()
    group = ["--group", tool.prefix, "--until-caught-up"]
    assert tool.run("consume", *group)[1]["consumed"] == filled["total"]
    again = tool.fill(megabytes=0.3)
    process = tool.start("consume", "--group", tool.prefix)
    lines_until(process, "consumed", again["total"])
    consumed = final(process)
    assert (consumed["consumed"], consumed["missing"]) == (again["total"], 0)


def test_describe_counts_what_each_broker_holds(tool: Tool) -> None:
    before = tool.run("describe")[1]
    tool.fill(megabytes=0)
    status, line = tool.run("describe", "--assignment")
    assert status == 0
    held = [
        sum(broker["replicas"] for broker in each["brokers"].values()) for each in (before, line)
    ]
    assert held[1] - held[0] == 6
    assert (line["offline"], line["under_replicated"]) == (0, 0)
    assert all(broker["live"] for broker in line["brokers"].values())
    lists = line["assignment"][f"{tool.prefix}00"]
    assert sorted(lists) == ["0", "1", "2"]
    assert all(len(replicas) == 1 for replicas in lists.values())


def test_topics_that_do_not_exist_are_an_error_in_words(tool: Tool) -> None:
    argv = tool._argv("verify", "--ledgers", "/dev/null")
    argv[argv.index("/dev/null")] = str(tool._folder / "none.json")
    (tool._folder / "none.json").write_text("[]")
    done = subprocess.run(
        [*argv, "--timeout", "1"], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 2
    assert f"there is no topic that begins with '{tool.prefix}'" in done.stderr
