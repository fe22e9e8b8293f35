"""The Kafka cluster that chaos comes upon: its own Kubernetes, brokers, and checked traffic."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos import truth
from tests.cluster import binaries
from tests.cluster.cache import cache_root
from tests.e2e.brokers import SMALL, Brokers, broker_cluster, make_zookeeper
from tests.e2e.environment import eventually, provide
from tests.traffic.pods import Traffic, TrafficOptions

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster
    from tests.e2e.environment import Environment
    from tests.traffic.follow import Line

CLUSTER = "chaos"
NAMESPACE = "broker-operator-chaos"
NAME = "chaos"
PRINT_STACKS = (
    'for p in /proc/[0-9]*; do read -r name <$p/comm; [ "$name" = java ] && '
    "kill -QUIT ${p#/proc/}; done"
)
"""Shell: have the JVM print the stacks of its threads where it prints all else."""
TOPICS, PARTITIONS, MEGABYTES = 2, 12, 6
RATE, TRANSACTIONAL_RATE, RECORD_BYTES = 150, 50, 200
MOVE_SECONDS = 8.0
"""How long a new broker is to receive its share: long enough to be hit in the middle."""
SLOWEST = 256 * 1024
BASELINE_LINES = 10
KEPT_ROUNDS = 5
"""Of those that failed, how many stay to be looked at."""


@dataclass
class Heard:
    """What the producers say while the rounds go on: one line a second each."""

    p99_ms: list[float] = field(default_factory=list)
    gap_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, line: Line) -> None:
        """Take in a line of any pod."""
        with self._lock:
            if line["kind"] in {"produce", "transact"}:
                self.gap_s = max(self.gap_s, line["ack_gap_s"])
            if line["kind"] == "produce" and line["p99_ms"] is not None:
                self.p99_ms.append(line["p99_ms"])

    def take(self) -> tuple[list[float], float]:
        """Return each second's p99 of acks in ms, and the longest silence; start anew."""
        with self._lock:
            p99_ms, gap_s = self.p99_ms, self.gap_s
            self.p99_ms, self.gap_s = [], 0.0
        return p99_ms, gap_s


@dataclass
class World:
    """One BrokerCluster under checked traffic.

    Attributes:
        env: The Kubernetes.
        cluster: The same, where power is cut and processes are stopped.
        safe: Node that never loses power: the traffic is there.
        log_bytes: What the topics hold, about; replicas not counted.
        volumes: Claim -> uid, of all that were ever seen.
    """

    env: Environment
    cluster: Cluster
    heard: Heard = field(default_factory=Heard)
    log_bytes: int = MEGABYTES * 1_000_000
    volumes: dict[str, str] = field(default_factory=dict)
    brokers: Brokers = field(init=False)
    traffic: Traffic = field(init=False)
    safe: str = field(init=False)

    def __post_init__(self) -> None:
        self.safe = self.cluster.machines()[0].node.name
        self.brokers = Brokers(self.env, NAME, NAMESPACE)
        self.traffic = self._new_traffic()

    def _new_traffic(self) -> Traffic:
        """Return traffic that was promised nothing yet."""
        options = TrafficOptions(
            rate=RATE,
            transactional_rate=TRANSACTIONAL_RATE,
            size=RECORD_BYTES,
            node=self.safe,
            program=str(binaries.kubectl()),
        )
        return Traffic(
            self.env.kubectl,
            self.env.kubeconfig,
            NAMESPACE,
            self.brokers.bootstrap,
            options=options,
            on_line=self.heard.hear,
        )

    def make(self, brokers: int) -> list[float]:
        """Make all of it anew, balanced; return each second's p99 of acks in ms before chaos.

        What a round that failed has left may be no sound Kubernetes: that is mended first.
        """
        provide(self.cluster.name).install()
        self.remove()
        self.traffic, self.log_bytes = self._new_traffic(), MEGABYTES * 1_000_000
        self.volumes.clear()
        make_zookeeper(self.env, NAMESPACE)
        config = {**SMALL, "min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
        connect = f"zookeeper:2181/{NAME}"
        cluster = broker_cluster(NAME, NAMESPACE, connect, replicas=brokers, config=config)
        self.env.apply(cluster)
        self.brokers.ready(brokers)
        self.brokers.run("true")  # the pod for Kafka's own tools: later there is no time to make it
        self.traffic.fill(topics=TOPICS, partitions=PARTITIONS, megabytes=MEGABYTES)
        self.traffic.start(observe=False)
        self.ask("first-balance")
        self.brokers.until("a balanced start", lambda: self.state("first-balance"), 120)
        self.brokers.ready(brokers)
        self.heard.take()
        eventually("traffic", lambda: len(self.heard.p99_ms) >= BASELINE_LINES, 60)
        return self.heard.take()[0]

    def remove(self) -> None:
        """Remove all that `make` made; fine if there is nothing."""
        for machine in self.cluster.machines():
            self.cluster.node_up(machine.node.name)
        self.traffic.abandon()
        where = ("-n", NAMESPACE)
        if self.env.kubectl("get", "namespace", NAMESPACE, check=False).returncode:
            return
        self.env.kubectl("delete", "bc", "--all", *where, "--timeout=90s")
        self.env.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")

    def keep(self, name: str) -> Path:
        """Copy the brokers' logs, for `kafka-dump-log`, to where they outlive the cluster.

        What changes or goes meanwhile is copied as it is then, or not at all.
        """
        volumes, kept = self.cluster.layout.volumes, cache_root() / "chaos" / name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True, exist_ok=True)
        for folder, _, files in os.walk(volumes):
            copy = kept / Path(folder).relative_to(volumes)
            for file in (f for f in files if f.endswith(".log") or f == "meta.properties"):
                with suppress(OSError):
                    copy.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(Path(folder) / file, copy / file)
        former = sorted(kept.parent.iterdir(), key=lambda each: each.stat().st_mtime)
        for stale in former[:-KEPT_ROUNDS]:
            shutil.rmtree(stale, ignore_errors=True)
        return kept

    def keep_output(self, kept: Path) -> None:
        """Put there what the brokers have printed, with the stacks of their threads."""
        label = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=broker"
        pods = self.env.get("pods", "-n", NAMESPACE, "-l", label)["items"]
        names = [pod["metadata"]["name"] for pod in pods]
        shell = ("--", "sh", "-c", PRINT_STACKS)
        for pod in names:
            self.env.kubectl("exec", "-n", NAMESPACE, pod, *shell, check=False)
        for pod in names:
            printed = self.env.kubectl("logs", "-n", NAMESPACE, pod, check=False)
            (kept / f"{pod}.txt").write_text(printed.stdout)

    # --- what people do

    def ask(self, name: str, **spec: Any) -> None:
        """Create a Reassignment as its user does."""
        self.env.apply(
            {
                "apiVersion": "broker-operator.dev/v1alpha1",
                "kind": "Reassignment",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"cluster": NAME, **spec},
            }
        )

    def change(self, name: str, **spec: Any) -> None:
        """Change the spec of a Reassignment; fine if it has gone meanwhile."""
        patch = json.dumps({"spec": spec})
        where = ("ra", name, "-n", NAMESPACE, "--type=merge", "-p", patch)
        done = self.env.kubectl("patch", *where, check=False)
        assert not done.returncode or "(NotFound)" in done.stderr, done.stderr

    def pace(self, brokers: int) -> None:
        """Set the throttle so that moves to or from one of so many brokers take a while."""
        share = 3 * self.log_bytes / brokers
        self.brokers.patch(
            {"reassignment": {"throttle": str(max(SLOWEST, int(share / MOVE_SECONDS)))}}
        )

    # --- what there is

    def reassignments(self) -> list[dict[str, Any]]:
        """Return all Reassignments, oldest first."""
        items: list[dict[str, Any]] = self.env.get("ra", "-n", NAMESPACE)["items"]
        return sorted(items, key=lambda ra: str(ra["metadata"]["creationTimestamp"]))

    def state(self, name: str) -> str:
        """Return how a Reassignment has ended, empty if it has not or is not there."""
        found = (ra for ra in self.reassignments() if ra["metadata"]["name"] == name)
        return next((how for ra in found if (how := ending(ra))), "")

    def truth(self) -> truth.Truth:
        """Ask ZooKeeper."""
        service = self.env.get("service", "zookeeper", "-n", NAMESPACE)
        connect = f"{service['spec']['clusterIP']}:2181/{NAME}"
        return truth.look(self.cluster, self.safe, connect)

    def claims(self) -> dict[str, str]:
        """Return the volume claims of the brokers: name -> uid."""
        items = self.env.get("pvc", "-n", NAMESPACE)["items"]
        found = (item["metadata"] for item in items if "deletionTimestamp" not in item["metadata"])
        return {each["name"]: each["uid"] for each in found if f"{NAME}-broker-" in each["name"]}

    def lost_claims(self) -> list[str]:
        """Return the claims that were seen once and are no more, and know those of now."""
        now = self.claims()
        lost = [name for name, uid in self.volumes.items() if now.get(name) != uid]
        self.volumes |= now
        return lost


def reason(reassignment: dict[str, Any]) -> str:
    """Return what the column STATE shows."""
    conditions = reassignment.get("status", {}).get("conditions", [])
    return next((str(c["reason"]) for c in conditions if c["type"] == "Complete"), "")


def ending(reassignment: dict[str, Any]) -> str:
    """Return how a Reassignment has ended, empty if it goes on."""
    how = reason(reassignment)
    return how if how in {"Succeeded", "Superseded", "Undone", "Refused"} else ""
