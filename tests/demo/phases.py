"""The demo, step by step."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster import binaries, images
from tests.cluster.cluster import Cluster
from tests.demo.summary import Account, Scaling, count_moves, fewest_moves
from tests.e2e.brokers import Brokers, broker_cluster, make_zookeeper
from tests.e2e.environment import Environment, eventually
from tests.traffic.pods import Traffic, TrafficOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.demo.model import Move
    from tests.demo.screen import View
    from tests.demo.summary import Assignment
    from tests.demo.watch import Watcher

CLUSTER = "demo"
NAMESPACE = "broker-operator-demo"
TOPICS, PARTITIONS, MEGABYTES = 12, 20, 200
BASELINE_SECONDS = 20.0
SCALING_SECONDS = 300.0
RATE = 500
"""Records per second of the checked traffic."""


def environment(*, existing: bool, view: View) -> Environment:
    """Return the Kubernetes to show it on; the embedded one is brought up, images loaded."""
    if existing:
        given = Environment(kubeconfig=None, embedded=None)
        given.refuse_foreign_operator()
        return given
    view.say("building what is not cached yet: images, Kubernetes (minutes, the first time only)")
    cluster = Cluster(CLUSTER)
    cluster.prepare()
    archives = images.build_all()
    cluster.up(3)
    cluster.load_images(list(archives.values()))
    return Environment(cluster.kubeconfig, cluster, archives["operator"].name)


def assignment(traffic: Traffic) -> Assignment:
    """Return where every replica is, as the brokers tell it."""
    told: dict[str, dict[str, list[int]]] = traffic.describe(assignment=True)["assignment"]
    return {(t, int(n)): set(r) for t, partitions in told.items() for n, r in partitions.items()}


def demo_brokers(env: Environment) -> Brokers:
    """Return the BrokerCluster of the demo; nothing is made yet."""
    return Brokers(env, "demo", NAMESPACE)


@dataclass
class Demo:
    """Runs the phases and keeps the account."""

    brokers: Brokers
    watcher: Watcher
    view: View
    account: Account = field(default_factory=Account)

    def run(self) -> Account:
        """Do all of it.

        Raises:
            AssertionError: Something did not happen in time; the message shows why.
            TrafficPodError: The traffic could not be made.
        """
        env = self.brokers.env
        with self._phase("install the operator with Helm"):
            env.install()
        with self._phase("start ZooKeeper"):
            make_zookeeper(env, NAMESPACE)
        self.watcher.start()
        with self._phase("make a cluster of three brokers"):
            spec = broker_cluster("demo", NAMESPACE, "zookeeper:2181/demo", storage={"size": "2Gi"})
            env.apply(spec)
            self.brokers.ready(3)
        self.watcher.removals.clear()  # of a demo that was broken off before
        traffic = self._traffic()
        self.watcher.traffic = traffic
        try:
            self._show(traffic)
        finally:
            self.watcher.traffic = None
            traffic.close()
        self.account.removals = list(self.watcher.removals)
        return self.account

    def _traffic(self) -> Traffic:
        env = self.brokers.env
        return Traffic(
            env.kubectl,
            env.kubeconfig,
            NAMESPACE,
            self.brokers.bootstrap,
            options=TrafficOptions(rate=RATE, program=str(binaries.kubectl())),
            on_line=self.watcher.hear,
        )

    def _show(self, traffic: Traffic) -> None:
        with self._phase(f"fill {TOPICS * PARTITIONS} partitions with {MEGABYTES} MB"):
            traffic.fill(topics=TOPICS, partitions=PARTITIONS, megabytes=MEGABYTES)
        with self._phase("checked traffic"):
            traffic.start()
            self._let_flow(traffic, 3)
        with self._phase("traffic before"):
            self._let_flow(traffic, BASELINE_SECONDS)
        self._scale(traffic, 4, "3 -> 4")
        self._scale(traffic, 3, "4 -> 3")
        with self._phase("stop and verify"):
            self.account.outcome = traffic.stop()
            self.account.verdict = traffic.verify()
        worst = self.watcher.worst
        self.account.p99_before = worst.get("traffic before", 0.0)
        self.account.p99_during = max(worst.get(s.title, 0.0) for s in self.account.scalings)

    def _let_flow(self, traffic: Traffic, seconds: float) -> None:
        """Let the traffic flow for so many of its own lines, one a second."""
        seen: set[int] = set()

        def enough() -> bool:
            seen.add((traffic.latest("produce") or {}).get("acked", 0))
            return len(seen) >= seconds

        eventually("traffic", enough, 5 * seconds + 30)

    def _scale(self, traffic: Traffic, replicas: int, title: str) -> None:
        """Scale, and take the times. The moves are counted by the brokers' own metadata."""
        before = assignment(traffic)
        known = {item["metadata"]["name"] for item in self.brokers.reassignments()}
        with self._phase(title):
            begin = time.monotonic()
            self.view.say(f"$ kubectl scale bc/demo --replicas={replicas}")
            self.brokers.scale(replicas)
            marks: dict[str, float] = {}

            def mark(name: str, reached: object) -> None:
                if reached and name not in marks:
                    marks[name] = time.monotonic() - begin

            def finished() -> Move | None:
                move = self.watcher.latest.move
                if move is None or move.name in known:
                    return None
                mark("first_move", move.moves_done)
                mark("moved", move.done)
                return move if move.done else None

            moved: Move = self.brokers.until(f"{title} to be moved", finished, SCALING_SECONDS)
            self.brokers.ready(replicas, SCALING_SECONDS)
            settled = time.monotonic() - begin
            eventually("the watcher's last look", lambda: self._watched(replicas), 30)
            self.account.scalings.append(
                Scaling(
                    title=title,
                    move=moved,
                    moves=count_moves(before, assignment(traffic)),
                    fewest=fewest_moves(before, range(replicas)),
                    stateful_set=self.watcher.resized[replicas] - begin,
                    first_move=marks.get("first_move", marks["moved"]),
                    moved=marks["moved"],
                    settled=settled,
                )
            )

    def _watched(self, replicas: int) -> bool:
        """Whether the watcher, which looks once a second, has seen the end of a scaling."""
        return self.watcher.latest.stateful_set == replicas

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.watcher.phase = name
        self.view.say(f"{self.watcher.elapsed():6.1f} s  {name}")
        begin = time.monotonic()
        yield
        self.account.phases.append((name, time.monotonic() - begin))


def remove(*, existing: bool, say: Callable[[str], None]) -> None:
    """Remove all that the demo made; of a given cluster only what serves nobody else."""
    if not existing:
        Cluster(CLUSTER).down()
        return
    env = Environment(kubeconfig=None, embedded=None)
    if left := env.clean(NAMESPACE):
        # Without their definition they would be deleted with it, and nobody would serve them.
        say(f"the operator and its CRDs stay: they serve {', '.join(left)}")
