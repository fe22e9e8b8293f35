"""ZooKeeper and Kafka brokers as plain processes on loopback, while tests need them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import confluent_kafka
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from kazoo.client import KazooClient

from tests.cluster.cache import cached, digest, scratch_folder
from tests.cluster.jars import POM, kafka_libs
from tests.cluster.shell import run
from tests.kafka.processes import Java, wait_until
from tests.kafka.properties import BROKER, JMX, LOG4J, ZOOKEEPER
from tests.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

START_DEADLINE = 90.0
CALL_DEADLINE = 30.0

_JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
_RECORD = 16 * 1024


def class_archive() -> Path:
    """Return the classes that brokers load, in a file which a JVM maps instead of parsing them.

    A broker starts with half the CPU then. Made once for each version of Kafka and of Java.
    """
    kafka_libs()  # and Java, too
    key = digest(POM, run(["java", "--version"]))
    return cached("kafka-classes", key, _archive_classes)


def _archive_classes(archive: Path) -> None:
    with scratch_folder("kafka-classes") as folder:
        cluster = KafkaCluster(Path(folder), brokers=1)
        try:
            cluster.archive_classes(archive)
        finally:
            cluster.stop()


class KafkaCluster:
    """One ZooKeeper server and some brokers, each a process that dies with its parent.

    Args:
        racks: Dealt out to the brokers in turn.
        servers: `host:port,...` of a ZooKeeper ensemble that runs already, used instead of an own.
        through: The same as brokers reach it, if that is another way.
        host: Gives the name that a broker advertises on a second listener, which nobody uses.
        settings: Broker properties besides `properties.BROKER`, and in its place.
        metered: Brokers tell their metrics, as those of the image do.

    Attributes:
        brokers: Broker id -> port on loopback, running or not.
        meters: Broker id -> port of its metrics; empty if there are none.
        connect: ZooKeeper's connect string with the chroot the brokers use.
        zookeeper: The same without a chroot.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int,
        *,
        racks: Sequence[str] = (),
        servers: str = "",
        through: str = "",
        host: Callable[[int], str] | None = None,
        settings: Mapping[str, str] | None = None,
        metered: bool = False,
    ) -> None:
        self._folder = folder
        self._racks = racks
        self._servers = servers
        self._through = through
        self._host = host
        self._settings = settings or {}
        ports = free_ports(3 * brokers + 1)
        self.zookeeper = servers or f"{LOOPBACK}:{ports[0]}"
        self.connect = f"{self.zookeeper}/kafka"
        self.brokers = dict(enumerate(ports[1 : brokers + 1]))
        self._second_ports = ports[brokers + 1 : 2 * brokers + 1]
        self.meters = dict(enumerate(ports[2 * brokers + 1 :])) if metered else {}
        self._processes: dict[str, Java] = {}
        self._jvm = _JVM
        # The kernel ends a process when the thread that started it ends, so it is always this one.
        self._parent = ThreadPoolExecutor(1, thread_name_prefix="parent")

    @property
    def bootstrap(self) -> str:
        """`host:port` of every broker, joined by commas."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.brokers.values())

    def start(self, brokers: Iterable[int] | None = None) -> None:
        """Start everything, or only these brokers, and wait until they serve.

        Raises:
            TimeoutError: Something did not come up; with the end of its log.
        """
        self._jvm = [*_JVM, f"-XX:SharedArchiveFile={class_archive()}"]
        self._prepare()
        self.start_broker(*(self.brokers if brokers is None else brokers))

    def archive_classes(self, archive: Path) -> None:
        """Have a broker that starts and ends by itself leave the classes that it loaded.

        Raises:
            TimeoutError: It does not come up, or does not end.
        """
        self._prepare()
        self._jvm = [*_JVM, f"-XX:ArchiveClassesAtExit={archive}"]
        self.start_broker(0)
        self._processes["broker-0"].signal(signal.SIGTERM)
        self._processes["broker-0"].wait(START_DEADLINE)

    def stop(self) -> None:
        """End every process at once; what is on disk is the caller's to remove."""
        for process in self._processes.values():
            process.kill()
        self._processes.clear()
        self._parent.shutdown()

    def pause_zookeeper(self) -> None:
        """Freeze the ZooKeeper server: connections stay open, nothing answers."""
        self._processes["zookeeper"].freeze()

    def resume_zookeeper(self) -> None:
        """Let a frozen ZooKeeper server go on."""
        self._processes["zookeeper"].signal(signal.SIGCONT)

    def pause_broker(self, broker: int) -> None:
        """Freeze a broker; its ZooKeeper session ends after six seconds."""
        self._processes[f"broker-{broker}"].freeze()

    def resume_broker(self, broker: int) -> None:
        """Let a frozen broker go on; it registers again if it has to."""
        self._processes[f"broker-{broker}"].signal(signal.SIGCONT)

    def data(self, broker: int) -> Path:
        """Return the folder of a broker's only log dir."""
        return self._folder / f"data-{broker}"

    def wipe(self, broker: int) -> None:
        """Lose the disk of a broker that is down."""
        shutil.rmtree(self.data(broker))

    def bytes_on_disk(self, broker: int, topic: str, partition: int) -> int:
        """Return the size of a replica's log segments, from the file system."""
        folder = self.data(broker) / f"{topic}-{partition}"
        return sum(segment.stat().st_size for segment in folder.glob("*.log"))

    def configure(self, kind: ResourceType, name: str, key: str, value: str | None) -> None:
        """Set a dynamic config, or delete it if `value` is None; brokers notice in a moment."""
        change = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(key, value, incremental_operation=change)
        resource = ConfigResource(kind, name, incremental_configs=[entry])
        admin = self.client()
        admin.incremental_alter_configs([resource])[resource].result(CALL_DEADLINE)

    def configure_all_brokers(self, config: Mapping[str, str]) -> None:
        """Replace the dynamic defaults of all brokers, as Kafka's own tools did with ZooKeeper."""
        client = KazooClient(self.connect)
        client.start()
        try:
            content = json.dumps({"version": 1, "config": dict(config)}).encode()
            client.ensure_path("/config/brokers/<default>")
            client.set("/config/brokers/<default>", content)
            change = json.dumps({"version": 2, "entity_path": "brokers/<default>"}).encode()
            client.create("/config/changes/config_change_", change, sequence=True)
        finally:
            client.stop()
            client.close()

    def configured(self, kind: ResourceType, name: str, key: str) -> str | None:
        """Return a config's value as that broker or topic has it now, None if it has none."""
        resource = ConfigResource(kind, name)
        admin = self.client()
        found = admin.describe_configs([resource])[resource].result(CALL_DEADLINE)
        return found[key].value if key in found else None

    def start_zookeeper(self) -> None:
        """Start the ZooKeeper server, with the data it had; returns when it answers."""
        data = self._folder / "zookeeper"
        data.mkdir(exist_ok=True)
        config = self._folder / "zoo.cfg"
        port = self.zookeeper.partition(":")[2]
        config.write_text(ZOOKEEPER.format(folder=data, port=port))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        self._launch("zookeeper", ["-Xmx128m"], [main, str(config)])
        wait_until(lambda: _answers(int(port)), "ZooKeeper accepts connections", START_DEADLINE)

    def stop_zookeeper(self) -> None:
        """Kill the ZooKeeper server; its data stays."""
        self._processes.pop("zookeeper").kill()

    def start_broker(self, *brokers: int) -> None:
        """Start brokers that were stopped; returns when they serve."""
        for broker in brokers:
            self.launch_broker(broker)
        for broker in brokers:
            self._await_broker(broker)

    def kill_broker(self, *brokers: int) -> None:
        """End brokers as `kill -9` does; their ZooKeeper sessions end six seconds later."""
        for broker in brokers:
            self._processes.pop(f"broker-{broker}").kill()

    def running(self, broker: int) -> bool:
        """Whether a broker's process is there."""
        process = self._processes.get(f"broker-{broker}")
        return process is not None and process.running

    def end_broker(self, broker: int) -> None:
        """Begin a controlled shutdown; `running` tells when it is over."""
        self._processes[f"broker-{broker}"].signal(signal.SIGTERM)

    def stop_broker(self, *brokers: int) -> None:
        """Stop brokers by controlled shutdown: they hand their leaders over and unregister."""
        stopping = [self._processes.pop(f"broker-{broker}") for broker in brokers]
        for process in stopping:
            process.signal(signal.SIGTERM)
        for process in stopping:
            process.wait()

    def create_topic(
        self,
        name: str,
        assignment: Mapping[int, Sequence[int]],
        config: Mapping[str, str] | None = None,
    ) -> None:
        """Create a topic with these replicas per partition and wait until it can be written."""
        replicas = [list(assignment[number]) for number in range(len(assignment))]
        topic = NewTopic(
            name, len(replicas), replica_assignment=replicas, config=dict(config or {})
        )
        admin = self.client()
        admin.create_topics([topic])[name].result(CALL_DEADLINE)

        def led() -> bool:
            found = admin.list_topics(name, timeout=CALL_DEADLINE).topics[name]
            parts = found.partitions.values()
            return len(parts) == len(assignment) and all(p.leader >= 0 for p in parts)

        wait_until(led, f"every partition of {name} has a leader")

    def create_topics(self, names: Sequence[str]) -> None:
        """Create many topics of one partition, each with one replica."""
        admin = self.client()  # one that goes out of scope takes its requests with it
        created = admin.create_topics([NewTopic(name, 1, 1) for name in names])
        for future in created.values():
            future.result(CALL_DEADLINE)

    def topics(self) -> set[str]:
        """Return the names of all topics, Kafka's own among them."""
        return set(self.client().list_topics(timeout=CALL_DEADLINE).topics)

    def delete_topic(self, name: str) -> None:
        """Delete a topic; the brokers clean up in their own time."""
        self.delete_topics([name])

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete topics; the brokers clean up in their own time."""
        admin = self.client()
        for future in admin.delete_topics(list(names)).values():
            future.result(CALL_DEADLINE)

    def fill(self, topic: str, partition: int, size: int) -> None:
        """Write at least `size` bytes to one partition, acknowledged by all in-sync replicas."""
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.bootstrap, "acks": "all", "compression.type": "none"}
        )
        record = os.urandom(_RECORD)
        failures: list[Any] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(error)

        for _ in range(-(-size // _RECORD)):
            producer.produce(topic, record, partition=partition, on_delivery=delivered)
            producer.poll(0)
        left = producer.flush(CALL_DEADLINE)
        if left or failures:
            raise RuntimeError(f"{left} records unsent, failures: {failures[:3]}")

    def client(self) -> AdminClient:
        """Return an Admin API client that shares no code with the adapters under test."""
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def launch_broker(self, broker: int) -> None:
        """Start a broker's process; it serves some seconds later."""
        data = self.data(broker)
        config = self._folder / f"broker-{broker}.properties"
        own = f"PLAINTEXT://{LOOPBACK}:{self.brokers[broker]}"
        listeners = advertised = own
        if self._host is not None:
            port = self._second_ports[broker]
            listeners = f"{own},NAMED://{LOOPBACK}:{port}"
            advertised = f"{own},NAMED://{self._host(broker)}:{port}"
        text = BROKER.format(
            id=broker,
            connect=f"{self._through or self.zookeeper}/kafka",
            listeners=listeners,
            advertised=advertised,
            folder=data,
        )
        if self._racks:
            text += f"broker.rack={self._racks[broker % len(self._racks)]}\n"
        text += "".join(f"{key}={value}\n" for key, value in self._settings.items())
        config.write_text(text)
        options = ["-Xms128m", "-Xmx256m"]
        if broker in self.meters:
            (agent,) = self._libs.glob("jmx_prometheus_javaagent-*.jar")
            options.append(f"-javaagent:{agent}={LOOPBACK}:{self.meters[broker]}:{JMX}")
        self._launch(f"broker-{broker}", options, ["kafka.Kafka", str(config)])

    def _prepare(self) -> None:
        """Make what processes need, and have ZooKeeper, unless it runs elsewhere."""
        (self._folder / "log4j.properties").write_text(LOG4J)
        self._libs = kafka_libs()
        if not self._servers:
            self.start_zookeeper()

    def _await_broker(self, broker: int) -> None:
        started = f"[KafkaServer id={broker}] started"
        self._processes[f"broker-{broker}"].wait_for(started, START_DEADLINE)
        wait_until(
            lambda: self._knows_the_controller(broker),
            f"broker {broker} knows the controller",
            START_DEADLINE,
        )

    def _knows_the_controller(self, broker: int) -> bool:
        """Whether clients may ask this broker first.

        A new broker names no controller until that has sent it the cluster's metadata, and
        librdkafka, told of none, does not ask again within half a minute.
        """
        asked = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{self.brokers[broker]}"})
        try:
            told = asked.list_topics(timeout=CALL_DEADLINE)
        except KafkaException:  # some of the answer is missing, while the controller is elected
            return False
        return told.controller_id in told.brokers

    def _launch(self, name: str, options: list[str], main: list[str]) -> None:
        log4j = f"-Dlog4j.configuration=file:{self._folder / 'log4j.properties'}"
        argv = ["java", *options, *self._jvm, log4j, "-cp", f"{self._libs}/*", *main]
        log = self._folder / f"{name}.log"
        self._processes[name] = self._parent.submit(Java, name, argv, log).result()


def _answers(port: int) -> bool:
    try:
        with closing(socket.create_connection((LOOPBACK, port), timeout=5)) as probe:
            probe.sendall(b"srvr")
            return b"Zookeeper version" in probe.recv(100)
    except OSError:
        return False
