"""The broker image itself, in containers as restricted as the pods that it is made for."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker_operator.adapters.meters import PATH, parse
from broker_operator.core.health import Reading
from tests.cluster import images
from tests.cluster.images.sandbox import Container, Root, start, unpacked

pytestmark = pytest.mark.kafka

HEALTH = "/opt/kafka/bin/health"
START_DEADLINE = 90
SCRAPE = r"exec 3<>/dev/tcp/127.0.0.1/9404; printf 'GET %s HTTP/1.0\r\n\r\n' '{}' >&3; cat <&3"
SHELL = ("/opt/kafka/bin/zookeeper-shell", "-server", "127.0.0.1:2181")
SERVICE = "demo-broker-headless.shop.svc.cluster.local"
PROPERTIES = """
zookeeper.session.timeout.ms=6000
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.index.size.max.bytes=65536
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
"""


def wait_until(what: str, holds: Callable[[], bool], seconds: float = START_DEADLINE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Pods:
    """Starts pods of the image that share one network, as long as its ZooKeeper runs."""

    root: Root
    work: Path
    zookeeper: Container

    @contextmanager
    def broker(
        self, ordinal: int, volume: Path, cluster_id: str = "", properties: str = PROPERTIES
    ) -> Iterator[Container]:
        pod = f"demo-broker-{ordinal}"
        config = self.work / "config"
        config.mkdir(exist_ok=True)
        (config / "broker.properties").write_text(properties)
        (config / "cluster-id").write_text(cluster_id)
        hosts = self.work / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {pod} {pod}.{SERVICE}\n")
        container = start(
            self.root,
            f"{pod}-{os.getpid()}",
            ["broker"],
            work=self.work,
            environment={
                "POD_NAME": pod,
                "POD_NAMESPACE": "shop",
                "SERVICE_NAME": "demo-broker-headless",
                "ZOOKEEPER_CONNECT": f"127.0.0.1:2181{chroot_of(volume)}",
                "KAFKA_HEAP": "256m",
            },
            mounts={volume: "/var/lib/kafka", config: "/etc/kafka/config", hosts: "/etc/hosts"},
            network_of=self.zookeeper,
        )
        try:
            yield container
        finally:
            container.remove()

    def registered(self, volume: Path) -> str:
        return self.zookeeper.execute(*SHELL, "ls", f"{chroot_of(volume)}/brokers/ids").stdout


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    work = tmp_path_factory.mktemp("pods")
    with unpacked(images.build("kafka")) as root:
        zookeeper = start(
            root,
            f"zookeeper-{os.getpid()}",
            ["zookeeper"],
            work=work,
            environment={},
            mounts={volume_of(work, "zookeeper"): "/var/lib/zookeeper"},
        )
        try:
            wait_until("ZooKeeper ready", lambda: ready(zookeeper, "zookeeper"))
            yield Pods(root, work, zookeeper)
            zookeeper.kill("TERM")
            assert zookeeper.wait() == 0
        finally:
            zookeeper.remove()


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return volume_of(tmp_path, "volume")


def chroot_of(volume: Path) -> str:
    """Give every test a Kafka cluster of its own."""
    return f"/{volume.parent.name}"


def volume_of(folder: Path, name: str) -> Path:
    """Make a volume of uid 1001 with what a freshly made ext4 holds."""
    made = folder / name
    (made / "lost+found").mkdir(parents=True)
    os.chown(made, 1001, 1001)
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    return made


def ready(container: Container, kind: str) -> bool:
    running = container.process.poll() is None
    return running and container.execute(HEALTH, kind, "ready").returncode == 0


def wait_ready(broker: Container) -> None:
    def holds() -> bool:
        assert broker.process.poll() is None, broker.log.read_text()[-2000:]
        return ready(broker, "broker")

    wait_until("the broker ready", holds)


def cluster_id_in(volume: Path) -> str:
    lines = (volume / "data" / "meta.properties").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))


def test_a_broker_registers_is_observable_and_stops_in_good_order(pods: Pods, volume: Path) -> None:
    with pods.broker(0, volume) as broker:
        assert broker.execute(HEALTH, "broker", "ready").returncode == 1
        wait_ready(broker)
        assert "[0]" in pods.registered(volume)
        assert broker.execute(HEALTH, "broker", "live").returncode == 0

        times = []
        for _ in range(5):
            started = time.monotonic()
            assert ready(broker, "broker")
            times.append(time.monotonic() - started)
        assert min(times) < 0.5

        metrics = broker.execute("bash", "-c", SCRAPE.format("/metrics")).stdout
        for line in (
            "kafka_server_broker_state 3.0",
            "kafka_server_under_replicated_partitions 0.0",
            "kafka_server_under_min_isr_partitions 0.0",
            "kafka_server_offline_replicas 0.0",
            "kafka_server_reassigning_partitions 0.0",
            "kafka_controller_active 1.0",
            "kafka_controller_offline_partitions 0.0",
            "kafka_server_client_bytes_in_total 0.0",
            'kafka_network_request_seconds{quantile="0.99",request="Produce"} 0.0',
            "kafka_server_request_handler_idle_ratio ",
        ):
            assert f"\n{line}" in metrics, metrics[-8000:]

        broker.kill("TERM")
        assert broker.wait() == 0
        log = broker.log.read_text()
        assert "Controlled shutdown request returned successfully" in log
        assert "shut down completed" in log
        assert "[0]" not in pods.registered(volume)


def test_its_metrics_are_those_that_the_adaptive_throttle_reads(pods: Pods, volume: Path) -> None:
    def scraped() -> tuple[float, Reading]:
        return time.monotonic(), parse(broker.execute("bash", "-c", SCRAPE.format(PATH)).stdout)

    with pods.broker(0, volume) as broker:
        wait_ready(broker)
        began, before = scraped()
        assert None not in dataclasses.astuple(before), before
        assert 0 <= (before.handlers_idle or 0) <= 1.1
        idle = before.handlers_idle_seconds or 0
        wait_until(
            "three seconds of idle handlers",
            lambda: (scraped()[1].handlers_idle_seconds or 0) >= idle + 3,
        )
        ended, after = scraped()
        # Of all handlers on average, in seconds: never more than went by.
        assert (after.handlers_idle_seconds or 0) - idle <= 1.1 * (ended - began) + 0.5


def test_the_process_has_no_rights_and_maps_the_class_archive(pods: Pods, volume: Path) -> None:
    with pods.broker(0, volume) as broker:
        wait_ready(broker)
        assert broker.execute("id", "-u").stdout == "1001\n"
        assert broker.execute("touch", "/opt/kafka/x").returncode != 0
        maps = broker.execute("bash", "-c", "cat /proc/[0-9]*/maps").stdout
        assert "/opt/kafka/kafka.jsa" in maps
        assert "[warning]" not in broker.log.read_text()


def test_kafkas_tools_run_inside_the_pod(pods: Pods, volume: Path) -> None:
    server = ("--bootstrap-server", "127.0.0.1:9092")
    with pods.broker(0, volume) as broker:
        wait_ready(broker)

        def tool(name: str, *arguments: str) -> str:
            done = broker.execute(f"/opt/kafka/bin/{name}", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        tool("kafka-topics", *server, "--create", "--topic", "t", "--partitions", "2")
        assert "PartitionCount: 2" in tool("kafka-topics", *server, "--describe", "--topic", "t")
        load = ("--num-records", "500", "--record-size", "100", "--throughput", "-1")
        props = ("--producer-props", f"bootstrap.servers={server[1]}", "compression.type=zstd")
        assert "500 records sent" in tool("kafka-producer-perf-test", "--topic", "t", *load, *props)
        assert "t:0:" in tool("kafka-get-offsets", *server, "--topic", "t")
        reading = ("--topic", "t", "--from-beginning", "--max-messages", "500")
        assert tool("kafka-console-consumer", *server, *reading).count("\n") == 500
        assert "No partition reassignments found" in tool(
            "kafka-reassign-partitions", *server, "--list"
        )
        names = ("--entity-type", "topics", "--entity-name", "t")
        assert "Dynamic configs for topic t" in tool("kafka-configs", *server, "--describe", *names)


def test_a_killed_broker_comes_back_once_its_session_is_over(pods: Pods, volume: Path) -> None:
    # A busy machine starts a JVM in more than the six seconds of the other tests.
    outlives = f"{PROPERTIES}zookeeper.session.timeout.ms=25000\n"
    with pods.broker(0, volume, properties=outlives) as broker:
        wait_ready(broker)
        broker.kill("KILL")
        assert broker.wait() == 137
    with pods.broker(0, volume, cluster_id_in(volume)) as broker:
        wait_ready(broker)
        log = broker.log.read_text()
        assert "NodeExists" in log
        assert "broker 0 is registered until the session of its former process ends" in log


def test_the_volume_of_another_broker_or_cluster_is_refused(pods: Pods, volume: Path) -> None:
    with pods.broker(0, volume) as broker:
        wait_ready(broker)
        broker.kill("TERM")
        assert broker.wait() == 0
    cluster_id = cluster_id_in(volume)
    with pods.broker(1, volume, cluster_id) as other:
        assert other.wait() == 78
        assert "/var/lib/kafka/data belongs to broker 0, but demo-broker-1 is broker 1" in (
            other.log.read_text()
        )
    with pods.broker(0, volume, "another") as other:
        assert other.wait() == 78
        assert f"belongs to cluster {cluster_id}, but this broker to cluster another" in (
            other.log.read_text()
        )
