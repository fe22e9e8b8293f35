"""The clients of every Kafka cluster that the operator looks after."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from broker_operator.adapters.kafka import KafkaBrokerAdmin
from broker_operator.adapters.zookeeper import ZooKeeperCoordination

if TYPE_CHECKING:
    from collections.abc import Callable


class KafkaClients:
    """`ports.Clients`: one session and one Admin API client per cluster, until released.

    Args:
        cluster_domain: DNS domain of the Kubernetes cluster.
        on_zookeeper_write, on_kafka_write: Called with the operation's name before each attempt
            to write; from any thread, so it must be quick and thread-safe, as counters are.
    """

    def __init__(
        self,
        *,
        cluster_domain: str,
        on_zookeeper_write: Callable[[str], None],
        on_kafka_write: Callable[[str], None],
    ) -> None:
        self._domain = cluster_domain
        self._on_zookeeper_write = on_zookeeper_write
        self._on_kafka_write = on_kafka_write
        self._coordinations: dict[tuple[str, str], ZooKeeperCoordination] = {}
        self._admins: dict[tuple[str, str], KafkaBrokerAdmin] = {}

    def coordination(self, connect: str, namespace: str) -> ZooKeeperCoordination:
        """Return the client of this connect string; it connects when it is first used."""
        key = (connect, namespace)
        if key not in self._coordinations:
            self._coordinations[key] = ZooKeeperCoordination(
                lambda: qualified(connect, f"{namespace}.svc.{self._domain}"),
                on_write=self._on_zookeeper_write,
            )
        return self._coordinations[key]

    def admin(self, connect: str, namespace: str, bootstrap: tuple[str, ...]) -> KafkaBrokerAdmin:
        """Return the Admin API client of the cluster at `connect`, told whom to ask next time."""
        key = (connect, namespace)
        if key not in self._admins:
            self._admins[key] = KafkaBrokerAdmin(bootstrap, on_write=self._on_kafka_write)
        self._admins[key].bootstrap = bootstrap
        return self._admins[key]

    async def release(self, connect: str, namespace: str) -> None:
        """Close what is open for a cluster that is gone; quiet if nothing is."""
        key = (connect, namespace)
        clients = (self._coordinations.pop(key, None), self._admins.pop(key, None))
        # Both are out of reach now: one that will not close in time must not stop the other.
        await asyncio.gather(
            *(client.close() for client in clients if client is not None), return_exceptions=True
        )

    async def close(self) -> None:
        """Release every cluster."""
        for connect, namespace in {*self._coordinations, *self._admins}:
            await self.release(connect, namespace)


def qualified(connect: str, domain: str) -> str:
    """Spell out the hosts of a connect string as a pod in the namespace of `domain` reads them.

    A pod's resolver tries a name below its own namespace first. The operator lives in another one,
    where `zookeeper` may well be somebody else's: so it looks there, too, before anywhere else.
    """
    servers, slash, chroot = connect.partition("/")
    spelled = [_in_domain(server.strip(), domain) for server in servers.split(",")]
    return ",".join(spelled) + slash + chroot


def _in_domain(server: str, domain: str) -> str:
    host, port = server.rsplit(":", 1) if ":" in server else (server, "2181")
    name = f"{host}.{domain}"
    if host.endswith((domain, ".")) or host.replace(".", "").isdigit() or ":" in host:
        return server
    if "." not in host and host != "localhost":
        return f"{name}:{port}"  # nobody else's will do
    try:
        socket.getaddrinfo(name, int(port))
    except OSError:
        return server
    return f"{name}:{port}"
