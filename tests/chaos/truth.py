"""What ZooKeeper says of a Kafka cluster, with nobody between: neither operator nor broker.

`look` runs this file in a node's network, where the ensemble can be reached; it then prints JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

_SECONDS = 15.0
_REASSIGN = "/admin/reassign_partitions"

Lists = dict[str, list[int]]
"""`topic-partition` -> broker ids."""


@dataclass(frozen=True)
class Truth:
    """The state of the cluster at one moment.

    Attributes:
        brokers: Ids that are registered.
        replicas: Of each partition, in their order.
        in_sync: The ISR of each partition.
        headless: Partitions without a leader.
        moving: Partitions with replicas being added or removed.
        pending: What a reassignment through ZooKeeper asks for, empty if there is none.
        throttles: Every replication throttle, as `broker 3 leader.replication.throttled.rate=1`.
    """

    brokers: list[int] = field(default_factory=list)
    replicas: Lists = field(default_factory=dict)
    in_sync: Lists = field(default_factory=dict)
    headless: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)
    pending: str = ""
    throttles: list[str] = field(default_factory=list)

    @property
    def in_force(self) -> list[str]:
        """The throttles, without the rates of brokers that are not there.

        One that left while it was away could not be told: that is done when it is back.
        """
        here = {str(broker) for broker in self.brokers}
        split = [(words, *words.split()[:2]) for words in self.throttles]
        return [w for w, kind, of in split if kind == "topic" or not of.isdigit() or of in here]

    def unrest(self, brokers: int) -> list[str]:
        """Return what keeps this from being a settled cluster of brokers 0, 1, ..., in words."""
        behind = [p for p, its in self.replicas.items() if set(its) != set(self.in_sync.get(p, []))]
        found = {
            f"registered are {self.brokers}": self.brokers != list(range(brokers)),
            f"without a leader: {self.headless}": self.headless,
            f"not in sync: {behind}": behind,
            f"moving: {self.moving}": self.moving,
            f"pending: {self.pending}": self.pending,
            f"throttled: {self.in_force}": self.in_force,
        }
        return [words for words, there in found.items() if there]

    def spreads(self, brokers: int) -> tuple[int, int]:
        """Return how much the fullest broker has more than the emptiest: replicas, first ones."""
        held = [[b for its in self.replicas.values() for b in its].count(n) for n in range(brokers)]
        led = [[its[0] for its in self.replicas.values()].count(n) for n in range(brokers)]
        return max(held) - min(held), max(led) - min(led)


def look(cluster: Cluster, node: str, connect: str) -> Truth:
    """Ask ZooKeeper, from a node that has power.

    Args:
        cluster: The embedded cluster.
        node: Its name.
        connect: Address and port of a server, and the path of the Kafka cluster.

    Raises:
        ClusterError: It does not answer.
    """
    argv: list[str | Path] = [sys.executable, Path(__file__), connect]
    answer: dict[str, Any] = json.loads(cluster.exec_in_node(node, argv, timeout=3 * _SECONDS))
    return Truth(**answer)


def read(client: KazooClient) -> Truth:
    """Read all of it."""

    def content(path: str) -> Any:
        try:
            return json.loads(client.get(path)[0] or b"null")
        except NoNodeError:
            return None

    def children(path: str) -> list[str]:
        try:
            return sorted(client.get_children(path))
        except NoNodeError:
            return []

    replicas: Lists = {}
    in_sync: Lists = {}
    headless, moving = [], []
    for topic in children("/brokers/topics"):
        known = content(f"/brokers/topics/{topic}") or {}
        for number, its in sorted(known.get("partitions", {}).items()):
            name = f"{topic}-{number}"
            state = content(f"/brokers/topics/{topic}/partitions/{number}/state") or {}
            replicas[name], in_sync[name] = its, state.get("isr", [])
            if state.get("leader", -1) < 0:
                headless.append(name)
            if any(
                known.get(key, {}).get(number) for key in ("adding_replicas", "removing_replicas")
            ):
                moving.append(name)
    throttles = [
        f"{kind.rstrip('s')} {entity} {key}={value}"
        for kind in ("brokers", "topics")
        for entity in children(f"/config/{kind}")
        for key, value in ((content(f"/config/{kind}/{entity}") or {}).get("config") or {}).items()
        if "throttled" in key
    ]
    return Truth(
        brokers=sorted(map(int, children("/brokers/ids"))),
        replicas=replicas,
        in_sync=in_sync,
        headless=headless,
        moving=moving,
        pending=json.dumps(content(_REASSIGN)) if client.exists(_REASSIGN) else "",
        throttles=throttles,
    )


def main() -> None:
    """Print what the ensemble given as the argument says."""
    client = KazooClient(sys.argv[1], timeout=_SECONDS, read_only=True)
    client.start(timeout=_SECONDS)
    try:
        sys.stdout.write(json.dumps(asdict(read(client))))
    finally:
        client.stop()
        client.close()


if __name__ == "__main__":
    main()
