"""A ZooKeeper ensemble of three servers as plain processes, and a bad network in front of it."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from tests.cluster.jars import kafka_libs
from tests.kafka.processes import Java, wait_until
from tests.kafka.properties import LOG4J, ZOOKEEPER
from tests.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = (1, 2, 3)
START_DEADLINE = 60.0
_QUORUM = "initLimit=20\nsyncLimit=10\n"
_CHUNK = 65536


class Ensemble:
    """Three servers; `kill` and `start` what you like, their data stays.

    Attributes:
        connect: `host:port` of each, joined by commas.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(3 * len(SERVERS))
        self.ports = dict(zip(SERVERS, ports[:3], strict=True))
        self._peers = "".join(
            f"server.{number}={LOOPBACK}:{ports[2 + number]}:{ports[5 + number]}\n"
            for number in SERVERS
        )
        self.connect = ",".join(f"{LOOPBACK}:{port}" for port in self.ports.values())
        self._processes: dict[int, Java] = {}
        # As in KafkaCluster: the kernel ends a process with the thread that started it.
        self._parent = ThreadPoolExecutor(1, thread_name_prefix="ensemble")

    def start(self, *servers: int) -> None:
        """Start these servers, or all; returns when there is a leader and they follow."""
        for number in servers or SERVERS:
            self._launch(number)
        wait_until(
            lambda: all(self.mode(number) for number in self._processes),
            "the servers have a quorum",
            START_DEADLINE,
        )

    def kill(self, *servers: int) -> None:
        """End servers as `kill -9` does."""
        for number in servers:
            self._processes.pop(number).kill()

    def stop(self) -> None:
        """End all of them."""
        self.kill(*self._processes)
        self._parent.shutdown()

    def mode(self, server: int) -> str:
        """Return `leader` or `follower`, empty for a server that serves nobody."""
        with suppress(OSError), closing(_connect(self.ports[server])) as probe:
            probe.sendall(b"srvr")
            answer = b""
            while part := probe.recv(_CHUNK):
                answer += part
            found = [row for row in answer.decode().splitlines() if row.startswith("Mode: ")]
            return found[0].removeprefix("Mode: ") if found else ""
        return ""

    def leader(self) -> int:
        """Return the number of the server that leads."""
        return next(number for number in self._processes if self.mode(number) == "leader")

    def _launch(self, number: int) -> None:
        data = self._folder / f"zookeeper-{number}"
        data.mkdir(exist_ok=True)
        (data / "myid").write_text(str(number))
        log4j = self._folder / "zookeeper-log4j.properties"
        log4j.write_text(LOG4J)
        config = self._folder / f"zoo-{number}.cfg"
        config.write_text(
            ZOOKEEPER.format(folder=data, port=self.ports[number]) + _QUORUM + self._peers
        )
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        java = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        argv = [*java, f"-Dlog4j.configuration=file:{log4j}", "-cp", f"{kafka_libs()}/*", main]
        log = self._folder / f"zookeeper-{number}.log"
        self._processes[number] = self._parent.submit(
            Java, f"zookeeper-{number}", [*argv, str(config)], log
        ).result()


class Network:
    """What lies between clients and servers: it may swallow what goes one way.

    Attributes:
        connect: `host:port` of each way in, joined by commas.
    """

    def __init__(self, ports: tuple[int, ...]) -> None:
        self._swallowed: frozenset[str] = frozenset()
        self._spoilt: list[socket.socket] = []
        self._lock = threading.Lock()
        self._doors = [socket.create_server((LOOPBACK, 0)) for _ in ports]
        self.connect = ",".join(f"{LOOPBACK}:{door.getsockname()[1]}" for door in self._doors)
        for door, port in zip(self._doors, ports, strict=True):
            threading.Thread(target=self._accept, args=(door, port), daemon=True).start()

    def swallow(self, *directions: str) -> None:
        """Lose from now on what goes "up" to the servers or "down" to the clients, silently."""
        self._swallowed = frozenset(directions)

    def heal(self) -> None:
        """Lose nothing any more. Connections that have lost something are reset."""
        with self._lock:
            self._swallowed = frozenset()
            for end in self._spoilt:
                _break(end)
            self._spoilt.clear()

    def close(self) -> None:
        """Let nobody in any more."""
        for door in self._doors:
            _break(door)

    def _accept(self, door: socket.socket, port: int) -> None:
        while True:
            try:
                client, _ = door.accept()
            except OSError:
                return
            try:
                server = _connect(port)
            except OSError:
                _break(client)
                continue
            server.settimeout(None)
            for way in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._carry, args=way, daemon=True).start()

    def _carry(self, direction: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._lock:
                    lost = direction in self._swallowed
                    if lost:
                        self._spoilt += [source, sink]
                if not lost:
                    sink.sendall(data)
        _break(source)
        _break(sink)


def _connect(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=5)


def _break(end: socket.socket) -> None:
    """Close a socket, and wake whoever waits for it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
