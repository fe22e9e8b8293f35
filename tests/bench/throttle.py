"""The throttle `Adaptive` beside the fixed default, on a live cluster with producers at work.

Both take turns in one run, from the same start: three brokers become four, and three again. What
producers feel is the latency of acknowledged records, of all of them, not of a sample.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import mean
from string import Template
from typing import TYPE_CHECKING, Any

from kubernetes.client import CustomObjectsApi
from kubernetes.config import new_client_from_config
from rich.table import Table

from broker_operator.api.spec import GROUP, VERSION
from tests.bench.planner.machine import Machine
from tests.cluster import binaries, images
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.progress import say
from tests.e2e.brokers import SMALL, Brokers, broker_cluster, finished, make_zookeeper
from tests.e2e.environment import Environment, eventually
from tests.traffic.meters import percentile
from tests.traffic.pods import Traffic, TrafficOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

NAMESPACE = "broker-operator-bench"
FIXED, ADAPTIVE = "50Mi", "Adaptive"
TOPICS, PARTITIONS = 1, 4
"""Few, and of gigabytes: producers feel each start and end of a move, whatever its size and its
rate, and with small partitions there would be little else to measure."""
OLD = 3
"""Brokers that hold everything at first. Replicas that are added are on the fourth alone."""
BROKERS: dict[str, Any] = {
    "storage": {"size": "20Gi"},
    "jvm": {"heap": "256Mi"},
    "resources": {"requests": {"cpu": "400m", "memory": "600Mi"}, "limits": {"memory": "1Gi"}},
    "config": {
        **{key: its for key, its in SMALL.items() if not key.startswith(("replica", "num."))},
        "num.network.threads": "16",
    },
}
"""What is set for copying is as brokers get it. Segments stay small: Kafka syncs each to the disk
when it is full, while those of 1 GiB are left to the kernel, which writes half a gigabyte at once
every ten seconds, so that everything waits for a second whatever the throttle. A network thread
that sends what must be read from the disk first holds up all whose connections it has (KAFKA-7504):
with many threads few share one with the replica that is copied."""
CLIENT_CPU = "400m"
"""As much as a broker: what a client waits for a processor that brokers have is no latency of
theirs. Real clients are elsewhere."""
MOST_TIMES = 1.5
"""The p99 in a move may be so many times what it was before."""
WAVERS = 1.1
"""A p99 that is so many times another is no worse: two moves of one kind differ by more."""
BASELINE_SECONDS = 45.0
"""Kafka's own percentiles, by which the adaptive throttle goes, remember some minutes; a baseline
that is much longer would only make the bench longer."""
WARM_SECONDS = 60.0
"""What a new broker compiles in its first minute is felt by everybody on two cores."""
LOOK_SECONDS = 5.0
"""So would each kubectl be: while anything is measured, one client of the Kubernetes API asks."""
MOVE_SECONDS = 1200.0
_PAGE = Path(__file__).with_name("throttle.md")
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Run:
    """One scaling from three brokers to four.

    Attributes:
        throttle: `spec.reassignment.throttle`.
        seconds: From the first move to the last.
        mebibytes: Copied.
        before, during: p99 in milliseconds of all records acknowledged in that time.
        highest: The highest rate that was set, in bytes per second.
        fallen: Most replicas on the old brokers that were out of sync at once, in the move.
        reasons: What the adaptive throttle said, in order.
    """

    throttle: str
    seconds: float
    mebibytes: float
    before: float
    during: float
    highest: int
    fallen: int
    reasons: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """How much longer producers waited during the move."""
        return self.during / self.before


@dataclass(slots=True)
class Heard:
    """Collects what the producer says of its latencies, and brokers of ISRs, in other threads."""

    counts: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    fallen: int = 0

    def hear(self, line: dict[str, Any]) -> None:
        """Take one line of a traffic pod."""
        if line.get("kind") == "produce":
            self.counts.append((time.time(), line["counts"]))
        if line.get("kind") == "describe":
            old = (its for broker, its in line["brokers"].items() if int(broker) < OLD)
            self.fallen = max(self.fallen, sum(its["replicas"] - its["in_sync"] for its in old))

    def take(self, until: float = math.inf) -> tuple[float, int]:
        """Return the p99 in ms, and `Run.fallen`, since it was last asked, up to a Unix time."""
        lines, self.counts = self.counts, []
        fallen, self.fallen = self.fallen, 0
        return percentile([its for at, its in lines if at <= until], 0.99) or 0.0, fallen


def measure(console: Console, *, rounds: int, megabytes: float, rate: int) -> list[Run]:
    """Move with each throttle in turn, and print one table.

    Args:
        console: Where to.
        rounds: How often each.
        megabytes: 10^6 bytes on the cluster, replicas not counted.
        rate: Records of 200 bytes a second.

    Raises:
        ClusterError: Traffic was not what it must be, so the figures are worth nothing.
    """
    cluster = Cluster("bench")
    cluster.prepare()
    archives = images.build_all()
    cluster.up(3)
    try:
        cluster.load_images(list(archives.values()))
        env = Environment(cluster.kubeconfig, cluster, archives["operator"].name)
        runs = _measure_on(env, rounds, megabytes, rate)
    finally:
        cluster.down()
    console.print(table(runs))
    return runs


def _measure_on(env: Environment, rounds: int, megabytes: float, rate: int) -> list[Run]:
    env.install()
    make_zookeeper(env, NAMESPACE)
    env.apply(broker_cluster("bench", NAMESPACE, "zookeeper:2181/bench", **BROKERS))
    brokers, heard = Brokers(env, "bench", NAMESPACE), Heard()
    brokers.ready(3)
    traffic = Traffic(
        env.kubectl,
        env.kubeconfig,
        NAMESPACE,
        brokers.bootstrap,
        options=TrafficOptions(rate=rate, cpu=CLIENT_CPU, program=str(binaries.kubectl())),
        on_line=heard.hear,
    )
    try:
        say(f"fill {TOPICS * PARTITIONS} partitions with {megabytes:.0f} MB")
        sizes = {"topics": TOPICS, "partitions": PARTITIONS, "megabytes": megabytes}
        traffic.fill(**sizes, timeout=900)  # type: ignore[arg-type]
        traffic.start()
        runs = list(_turns(brokers, heard, rounds))
        outcome, verdict = traffic.stop(timeout=300), traffic.verify(timeout=900)
        if faults := outcome.faults(verdict):
            raise ClusterError("; ".join(faults))
    finally:
        traffic.close()
    return runs


def _turns(brokers: Brokers, heard: Heard, rounds: int) -> Iterator[Run]:
    for number in range(rounds):
        # Who goes first has the colder caches: take turns in that, too.
        order = (FIXED, ADAPTIVE) if number % 2 == 0 else (ADAPTIVE, FIXED)
        for throttle in order:
            brokers.patch({"reassignment": {"throttle": throttle}})
            yield _run(brokers, heard, throttle)
            brokers.patch({"reassignment": {"throttle": "0"}})
            brokers.scale(3)
            brokers.ready(3, MOVE_SECONDS)


def _run(brokers: Brokers, heard: Heard, throttle: str) -> Run:
    say(f"producers alone, {BASELINE_SECONDS:.0f} s")
    known = {ra["metadata"]["name"] for ra in brokers.reassignments()}
    # The new broker is there before anything is measured: its start is no part of a move.
    brokers.patch({"reassignment": {"approval": "Required"}})
    brokers.scale(4)

    def planned() -> dict[str, Any] | None:
        new = [ra for ra in brokers.reassignments() if ra["metadata"]["name"] not in known]
        return new[0] if new and "plan" in new[0].get("status", {}) else None

    name = brokers.until("a plan", planned, 240)["metadata"]["name"]
    api = CustomObjectsApi(new_client_from_config(config_file=str(brokers.env.kubeconfig)))
    where = (GROUP, VERSION, brokers.namespace)
    os.sync()  # what was written before is no part of what is measured
    time.sleep(WARM_SECONDS)
    heard.take()
    time.sleep(BASELINE_SECONDS)
    before, _ = heard.take()
    say(f"3 -> 4 with throttle {throttle}")
    at_once = {"spec": {"reassignment": {"approval": "Automatic"}}}
    api.patch_namespaced_custom_object(
        *where,
        "brokerclusters",
        brokers.name,
        at_once,
        _content_type="application/merge-patch+json",
    )
    rates: list[int] = []
    reasons: list[str] = []

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get_namespaced_custom_object(*where, "reassignments", name)
        told = found["status"].get("throttle") or {}
        rates.append(told.get("bytesPerSecond", 0))
        reason = told.get("adaptive", "")
        if reason and reasons[-1:] != [reason]:
            reasons.append(reason)
        return found if finished(found) else None

    moved = eventually("the move to end", ended, MOVE_SECONDS, every=LOOK_SECONDS)
    end = datetime.fromisoformat(moved["status"]["finishedAt"])
    during, fallen = heard.take(end.timestamp() + 1.0)
    brokers.ready(4, MOVE_SECONDS)
    outcome = moved["status"]["outcome"]
    return Run(
        throttle=throttle,
        seconds=outcome["seconds"],
        mebibytes=outcome["bytes"] / MIB,
        before=before,
        during=during,
        highest=max(rates),
        fallen=fallen,
        reasons=tuple(reasons),
    )


def criteria(runs: Sequence[Run]) -> dict[str, bool]:
    """Return what the adaptive throttle is to do, in sentences, and whether it did."""
    fixed, adaptive = ([run for run in runs if run.throttle == it] for it in (FIXED, ADAPTIVE))
    sooner = mean(run.seconds for run in adaptive) < mean(run.seconds for run in fixed)
    times = mean(run.during for run in adaptive) / mean(run.during for run in fixed)
    worse = f"at a p99 that is no worse (at most {WAVERS} times, on average; it was {times:.2f})"
    return {
        "`Adaptive` ends sooner than the fixed throttle, on average": sooner,
        worse: times <= WAVERS,
        f"which is at most {MOST_TIMES} times what it was before, on average": (
            mean(run.ratio for run in adaptive) <= MOST_TIMES
        ),
        "and no replica that is no part of the move falls out of its ISR": (
            not any(run.fallen for run in adaptive)
        ),
    }


def table(runs: Sequence[Run]) -> Table:
    """Return all runs, in order."""
    shown = Table(title="3 -> 4 brokers under checked traffic")
    for column in ("throttle", "seconds", "MiB", "highest MiB/s", "p99 before", "p99 during", "x"):
        shown.add_column(column, justify="left" if column == "throttle" else "right")
    for run in runs:
        shown.add_row(*_cells(run))
    return shown


def page(runs: Sequence[Run], *, megabytes: float, rate: int) -> str:
    """Return docs/benchmarks/throttle.md."""
    machine = Machine.here()
    kinds = {kind: [run for run in runs if run.throttle == kind] for kind in (FIXED, ADAPTIVE)}
    times = {kind: mean(run.seconds for run in its) for kind, its in kinds.items()}
    return Template(_PAGE.read_text()).substitute(
        date=machine.date,
        hardware=machine.hardware,
        software=machine.software,
        partitions=TOPICS * PARTITIONS,
        megabytes=f"{megabytes:,.0f}",
        rate=rate,
        rows="\n".join("| " + " | ".join(_cells(run)) + " |" for run in runs),
        share=f"{times[ADAPTIVE] / times[FIXED]:.2f}",
        fixed=f"{mean(run.ratio for run in kinds[FIXED]):.2f}",
        adaptive=f"{mean(run.ratio for run in kinds[ADAPTIVE]):.2f}",
        criteria="\n".join(
            f"- {told}: {'met' if met else '**missed**'}" for told, met in criteria(runs).items()
        ),
        reasons="\n".join(f"1. {reason}" for reason in kinds[ADAPTIVE][-1].reasons),
    )


def _cells(run: Run) -> list[str]:
    return [
        run.throttle,
        f"{run.seconds:.0f}",
        f"{run.mebibytes:,.0f}",
        f"{run.highest / MIB:.0f}",
        f"{run.before:.1f} ms",
        f"{run.during:.1f} ms",
        f"{run.ratio:.2f}",
    ]
