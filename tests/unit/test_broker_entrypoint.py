"""The entrypoint of the broker image, with a `java` that records what it was given."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[2] / "broker_image"
DEADLINE = 20

Changes = Mapping[str, str | None]

FAKE_JAVA = """#!/bin/bash
printf '%s\\n' "$@" >"$RECORD/arguments"
cp "${@: -1}" "$RECORD/properties"
echo start >>"$RECORD/starts"
case $FAKE in
  registered:*) # is registered by its former process for so many starts
    (($(wc -l <"$RECORD/starts") > ${FAKE#*:})) && exit 0
    echo "Error while creating ephemeral at /brokers/ids/2, node already exists and owner '0x1'" \\
      "does not match current session '0x2'" >"$TMPDIR/registration.log"
    exit 1 ;;
  serve) trap 'exit 143' TERM; touch "$RECORD/serving"; while :; do sleep 0.05; done ;;
  *) exit "$FAKE" ;;
esac
"""

ENVIRONMENT = {
    "POD_NAME": "demo-broker-2",
    "POD_NAMESPACE": "shop",
    "SERVICE_NAME": "demo-broker-headless",
    "ZOOKEEPER_CONNECT": "zk:2181/demo",
}


@dataclass(frozen=True)
class Image:
    """A folder laid out like the image, with the directories that Kubernetes would mount."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config-map"

    @property
    def data(self) -> Path:
        return self.root / "volume" / "data"

    @property
    def record(self) -> Path:
        return self.root / "record"

    def start(
        self, command: str, fake: str = "0", changes: Changes | None = None
    ) -> subprocess.Popen[str]:
        given: dict[str, str | None] = {
            **ENVIRONMENT,
            "PATH": f"{self.root / 'fake'}:{os.environ['PATH']}",
            "KAFKA_CONFIG_DIR": str(self.config),
            "KAFKA_DATA_DIR": str(self.data),
            "ZOOKEEPER_DATA_DIR": str(self.root / "zookeeper"),
            "TMPDIR": str(self.root / "scratch"),
            "RECORD": str(self.record),
            "FAKE": fake,
            **(changes or {}),
        }
        return subprocess.Popen(
            [self.root / "kafka" / "bin" / "entrypoint", command],
            env={name: value for name, value in given.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, fake: str = "0", changes: Changes | None = None) -> tuple[int, str]:
        process = self.start(command, fake=fake, changes=changes)
        _, complaint = process.communicate(timeout=DEADLINE)
        return process.returncode, complaint

    def java_arguments(self) -> list[str]:
        return (self.record / "arguments").read_text().splitlines()

    def properties(self) -> dict[str, str]:
        """Return what Java would read: the last value of a key wins."""
        lines = (self.record / "properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    home = tmp_path / "kafka"
    for part in ("bin", "config"):
        shutil.copytree(IMAGE / part, home / part)
    (home / "libs").mkdir()
    for jar in ("b.jar", "a.jar", "jmx_prometheus_javaagent-1.0.1.jar"):
        (home / "libs" / jar).touch()
    java = tmp_path / "fake" / "java"
    java.parent.mkdir()
    java.write_text(FAKE_JAVA)
    java.chmod(0o755)
    made = Image(tmp_path)
    for folder in (made.config, made.record, tmp_path / "scratch"):
        folder.mkdir()
    (made.config / "broker.properties").write_text("min.insync.replicas=2\n")
    return made


def test_a_broker_gets_its_identity_after_the_users_properties(image: Image) -> None:
    (image.config / "broker.properties").write_text("broker.id=7\nnum.io.threads=4")
    assert image.run("broker", changes={"BROKER_RACK": "a"}) == (0, "")
    assert image.properties() == {
        "num.io.threads": "4",
        "broker.id": "2",
        "broker.rack": "a",
        "zookeeper.connect": "zk:2181/demo",
        "listeners": "PLAINTEXT://:9092",
        "advertised.listeners": "PLAINTEXT://demo-broker-2.demo-broker-headless.shop.svc.cluster.local:9092",
        "log.dirs": str(image.data),
        "broker.id.generation.enable": "false",
    }
    assert image.data.is_dir()


def test_no_rack_writes_no_rack_and_the_domain_is_the_clusters(image: Image) -> None:
    assert image.run("broker", changes={"BROKER_RACK": "", "CLUSTER_DOMAIN": "k8s.corp"})[0] == 0
    properties = image.properties()
    assert "broker.rack" not in properties
    assert properties["advertised.listeners"].endswith(".shop.svc.k8s.corp:9092")


def test_an_open_last_line_does_not_swallow_the_identity(image: Image) -> None:
    (image.config / "broker.properties").write_text("num.io.threads=4\\")
    assert image.run("broker")[0] == 0
    text = (image.record / "properties").read_text()
    assert "num.io.threads=4\\\n\nbroker.id=2\n" in text


def test_only_the_broker_reads_its_properties(image: Image) -> None:
    assert image.run("broker")[0] == 0
    assert (image.root / "scratch" / "broker.properties").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("heap", "chosen"),
    [
        ("256m", ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]),
        ("524288k", ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]),
        ("513m", ["-XX:+UseSerialGC"]),
        ("1g", ["-XX:+UseSerialGC"]),
        ("1073741824", ["-XX:+UseSerialGC"]),
        ("1048576k", ["-XX:+UseSerialGC"]),
        ("1025M", ["-XX:+UseG1GC"]),
        ("6G", ["-XX:+UseG1GC"]),
    ],
)
def test_the_heap_chooses_the_collector_and_the_compiler(
    image: Image, heap: str, chosen: list[str]
) -> None:
    assert image.run("broker", changes={"KAFKA_HEAP": heap})[0] == 0
    arguments = image.java_arguments()
    assert [word for word in arguments if word.endswith("GC") or "Tiered" in word] == chosen
    assert {f"-Xms{heap}", f"-Xmx{heap}", "-XX:+ExitOnOutOfMemoryError"} <= set(arguments)


def test_java_gets_sorted_jars_the_agent_and_the_extra_flags_in_order(image: Image) -> None:
    assert image.run("broker", changes={"KAFKA_JVM_OPTS": "-Da=1  -Db=2"})[0] == 0
    arguments = image.java_arguments()
    libs, config = image.root / "kafka" / "libs", image.root / "kafka" / "config"
    agent = libs / "jmx_prometheus_javaagent-1.0.1.jar"
    jars = ":".join(str(libs / jar) for jar in ("a.jar", "b.jar", agent.name))
    assert arguments[:2] == ["-cp", jars]
    assert f"-javaagent:{agent}=9404:{config / 'jmx.yml'}" in arguments
    assert arguments[-4:-1] == ["-Da=1", "-Db=2", "kafka.Kafka"]


def test_zookeeper_allows_sessions_from_four_seconds_to_a_minute(image: Image) -> None:
    assert image.run("zookeeper") == (0, "")
    properties = image.properties()
    assert properties["dataDir"] == str(image.root / "zookeeper")
    assert (properties["minSessionTimeout"], properties["maxSessionTimeout"]) == ("4000", "60000")
    assert properties["4lw.commands.whitelist"] == "ruok,srvr,mntr"
    assert "-Xmx128m" in image.java_arguments()


BLANK: list[tuple[str, Changes, list[str]]] = [
    ("broker", {name: value}, [name, "not set"]) for name in ENVIRONMENT for value in (None, "")
]
REFUSALS: list[tuple[str, Changes, list[str]]] = [
    ("", {}, ["''", "broker or zookeeper"]),
    ("start", {}, ["'start'", "broker or zookeeper"]),
    *BLANK,
    ("broker", {"POD_NAME": "demo"}, ["POD_NAME='demo'", "StatefulSet"]),
    ("broker", {"POD_NAME": "demo-"}, ["POD_NAME='demo-'", "StatefulSet"]),
    ("broker", {"POD_NAME": "demo-01"}, ["POD_NAME='demo-01'", "StatefulSet"]),
    ("broker", {"ZOOKEEPER_CONNECT": "zk:2181 x"}, ["ZOOKEEPER_CONNECT='zk:2181 x'", "blank"]),
    ("broker", {"BROKER_RACK": "a\tb"}, ["BROKER_RACK='a\tb'", "control character"]),
    ("broker", {"BROKER_RACK": "a\nbroker.id=9"}, ["BROKER_RACK", "control character"]),
    ("broker", {"BROKER_RACK": "a\\"}, ["BROKER_RACK='a\\'", "backslash"]),
    ("broker", {"CLUSTER_DOMAIN": "a b"}, ["CLUSTER_DOMAIN='a b'", "blank"]),
    ("broker", {"KAFKA_HEAP": "1.5g"}, ["KAFKA_HEAP='1.5g'", "512m or 4g"]),
    ("broker", {"KAFKA_HEAP": "1Gi"}, ["KAFKA_HEAP='1Gi'", "512m or 4g"]),
    ("broker", {"KAFKA_HEAP": "0m"}, ["KAFKA_HEAP='0m'", "512m or 4g"]),
    ("broker", {"KAFKA_HEAP": "512"}, ["KAFKA_HEAP='512'", "too small"]),
    ("broker", {"REGISTRATION_SECONDS": "1m"}, ["REGISTRATION_SECONDS='1m'", "no number"]),
    ("zookeeper", {"ZOOKEEPER_HEAP": "lots"}, ["ZOOKEEPER_HEAP='lots'", "512m or 4g"]),
]


@pytest.mark.parametrize(("command", "changes", "words"), REFUSALS)
def test_a_bad_environment_is_refused_before_java_starts(
    image: Image, command: str, changes: Changes, words: list[str]
) -> None:
    code, complaint = image.run(command, changes=changes)
    assert code == 1
    assert complaint.startswith("entrypoint: ")
    assert all(word in complaint for word in words), complaint
    assert not (image.record / "arguments").exists()


def test_a_missing_config_map_is_named(image: Image) -> None:
    (image.config / "broker.properties").unlink()
    code, complaint = image.run("broker")
    assert code == 1
    assert f"cannot read {image.config}/broker.properties; mount" in complaint


@pytest.mark.parametrize("command", ["broker", "zookeeper"])
def test_a_volume_that_cannot_be_written_is_named(image: Image, command: str) -> None:
    obstacle = image.root / "file"
    obstacle.touch()
    at = str(obstacle / "data")
    code, complaint = image.run(command, changes={"KAFKA_DATA_DIR": at, "ZOOKEEPER_DATA_DIR": at})
    assert code == 1
    assert f"cannot write {at}; set fsGroup" in complaint


META = "#\n#Tue Nov 24 04:13:35 UTC 2026\ncluster.id={cluster}\nversion=0\nbroker.id={broker}\n"


def write_meta(image: Image, broker: int, cluster: str) -> None:
    image.data.mkdir(parents=True)
    (image.data / "meta.properties").write_text(META.format(broker=broker, cluster=cluster))


def test_a_data_directory_of_the_same_broker_and_cluster_is_taken(image: Image) -> None:
    write_meta(image, 2, "sWzLSrcLTeGNIJCJkvT95Q")
    (image.data / "lost+found").mkdir()
    (image.config / "cluster-id").write_text("sWzLSrcLTeGNIJCJkvT95Q\n")
    assert image.run("broker") == (0, "")


@pytest.mark.parametrize("cluster_id", [None, ""])
def test_before_the_cluster_id_is_known_any_cluster_is_taken(
    image: Image, cluster_id: str | None
) -> None:
    write_meta(image, 2, "sWzLSrcLTeGNIJCJkvT95Q")
    if cluster_id is not None:
        (image.config / "cluster-id").write_text(cluster_id)
    assert image.run("broker") == (0, "")


def test_an_empty_volume_is_taken_by_a_known_cluster(image: Image) -> None:
    (image.config / "cluster-id").write_text("sWzLSrcLTeGNIJCJkvT95Q")
    (image.data.parent / "lost+found").mkdir(parents=True)
    assert image.run("broker") == (0, "")


@pytest.mark.parametrize(
    ("broker", "cluster", "words"),
    [
        (12, "mine", ["belongs to broker 12", "demo-broker-2 is broker 2", "an empty one"]),
        (2, "other", ["belongs to cluster other", "to cluster mine", "an empty one"]),
    ],
)
def test_the_data_of_another_is_refused_and_left_alone(
    image: Image, broker: int, cluster: str, words: list[str]
) -> None:
    write_meta(image, broker, cluster)
    (image.config / "cluster-id").write_text("mine")
    before = (image.data / "meta.properties").read_text()
    code, complaint = image.run("broker")
    assert code == 78
    assert all(word in complaint for word in (*words, str(image.data))), complaint
    assert (image.data / "meta.properties").read_text() == before
    assert not (image.record / "arguments").exists()


@pytest.mark.parametrize("code", ["1", "3", "137"])
def test_a_failing_jvm_passes_its_exit_code_on(image: Image, code: str) -> None:
    assert image.run("broker", fake=code)[0] == int(code)


def starts(image: Image) -> int:
    return (image.record / "starts").read_text().count("start")


def test_a_broker_that_is_still_registered_is_started_again(image: Image) -> None:
    code, complaint = image.run("broker", fake="registered:2")
    assert code == 0
    assert starts(image) == 3
    assert complaint.count("broker 2 is registered until the session of its former process") == 2


def test_who_is_registered_for_too_long_fails(image: Image) -> None:
    code, _ = image.run("broker", fake="registered:99", changes={"REGISTRATION_SECONDS": "2"})
    assert code == 1
    assert 2 <= starts(image) <= 3


def test_another_failure_after_a_registration_is_no_registration(image: Image) -> None:
    scratch = image.root / "scratch"
    (scratch / "registration.log").write_text("at /brokers/ids/2, node already exists and owner")
    assert image.run("broker", fake="1")[0] == 1
    assert starts(image) == 1


def test_the_id_of_another_broker_is_not_this_ones(image: Image) -> None:
    changes = {"POD_NAME": "demo-broker-12"}
    assert image.run("broker", fake="registered:99", changes=changes)[0] == 1
    assert starts(image) == 1


@pytest.mark.parametrize("command", ["broker", "zookeeper"])
def test_sigterm_reaches_the_jvm_and_its_143_becomes_0(image: Image, command: str) -> None:
    process = image.start(command, fake="serve")
    deadline = time.monotonic() + DEADLINE
    while not (image.record / "serving").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
