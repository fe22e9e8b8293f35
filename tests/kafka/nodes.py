"""Znodes written by hand, for adapters to read."""

from __future__ import annotations

import json
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from tests.kafka.processes import wait_until

REQUEST = "/admin/reassign_partitions"


class Nodes:
    """A chroot of its own, written into by hand."""

    def __init__(self, server: str, chroot: str) -> None:
        self.connect = server + chroot
        self._client = KazooClient(server, command_retry={"max_tries": 50, "max_delay": 0.5})
        self._client.start()
        self._client.ensure_path(chroot)
        self._client.chroot = chroot

    def set(self, path: str, content: Any) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        if self._client.exists(path):
            self._client.set(path, data)
        else:
            self._client.create(path, data, makepath=True)

    def serve(self, *brokers: int) -> None:
        for broker in brokers:
            self.set(f"/brokers/ids/{broker}", {"version": 1, "host": f"b{broker}", "port": 1})
        self._client.ensure_path("/admin")

    def get(self, path: str) -> tuple[bytes, Any]:
        content: tuple[bytes, Any] = self._client.get(path)
        return content

    def acls(self, path: str) -> list[Any]:
        return list(self._client.get_acls(path)[0])

    def exists(self, path: str) -> bool:
        return self._client.retry(self._client.exists, path) is not None

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children, none if it is not there."""
        try:
            return sorted(self._client.retry(self._client.get_children, path))
        except NoNodeError:
            return []

    def json(self, path: str) -> Any:
        """Return a node's content, None if it is not there."""
        try:
            return json.loads(self._client.retry(self._client.get, path)[0])
        except NoNodeError:
            return None

    def delete(self, path: str) -> None:
        self._client.delete(path)

    def close(self) -> None:
        self._client.stop()
        self._client.close()


def deafen(nodes: Nodes, topic: str, partition: int) -> None:
    """Make the controller miss the next request, as whoever deletes one by hand does.

    It has to have looked at the one before: this one changes nothing, and the controller leaves it
    there, written in its own way, since the lists never become the same.
    """
    held = nodes.json(f"/brokers/topics/{topic}")["partitions"][str(partition)]
    entry = {"topic": topic, "partition": partition, "replicas": [*held[:1], *held]}
    nodes.set(REQUEST, {"version": 1, "partitions": [entry]})
    compact = json.dumps({"version": 1, "partitions": [entry]}, separators=(",", ":")).encode()
    wait_until(lambda: nodes.get(REQUEST)[0] == compact, "the controller has seen it")
    nodes.delete(REQUEST)
