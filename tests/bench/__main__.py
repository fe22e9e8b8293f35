"""Measure the planner as it grows, and what the operator's process weighs.

Times are of this machine; what compares is the column of ratios: seconds per partition against the
smallest size in the same run.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import tracemalloc

from rich.console import Console
from rich.table import Table

from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRequest, make_plan

SIZES = (1_000, 3_000, 10_000)
BROKERS = 30
REPLICATION = 3
RACKS = 3


def request(partitions: int, add: int, remove: int) -> PlanRequest:
    """Return a balanced cluster of 30 brokers in 3 racks, to be changed by some brokers."""
    brokers = [Broker(id=b, rack=f"r{b % RACKS}") for b in range(BROKERS + add)]
    by_rack = [[b.id for b in brokers[:BROKERS] if b.rack == f"r{r}"] for r in range(RACKS)]
    assignment: dict[str, dict[int, tuple[int, ...]]] = {}
    for n in range(partitions):
        racks = [by_rack[(n + k) % RACKS] for k in range(REPLICATION)]
        replicas = tuple(rack[(n // RACKS) % len(rack)] for rack in racks)
        assignment.setdefault(f"topic-{n // 20}", {})[n % 20] = replicas
    targets = frozenset(range(BROKERS + add - remove))
    return PlanRequest(assignment=assignment, brokers=tuple(brokers), targets=targets)


def planner(console: Console) -> None:
    """Print how long plans take, how good they are and how much memory they want."""
    table = Table(title=f"planner, {BROKERS} brokers, {RACKS} racks, replication factor 3")
    for column in (
        "partitions",
        "change",
        "seconds",
        "per partition",
        "moves",
        "bound",
        "peak MiB",
    ):
        table.add_column(column, justify="right")
    base: dict[str, float] = {}
    for partitions in SIZES:
        for label, add, remove in (("+2", 2, 0), ("-1", 0, 1)):
            asked = request(partitions, add, remove)
            begin = time.perf_counter()
            plan = make_plan(asked)
            seconds = time.perf_counter() - begin
            each = seconds / partitions
            ratio = each / base.setdefault(label, each)
            tracemalloc.start()
            make_plan(asked)
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            table.add_row(
                f"{partitions:,}",
                label,
                f"{seconds:.2f}",
                f"x {ratio:.2f}",
                f"{plan.moves:,}",
                f"{plan.lower_bound:,}",
                f"{peak:.0f}",
            )
    console.print(table)


def footprint(console: Console) -> None:
    """Print what the operator's code weighs once it is imported."""
    program = (
        "import broker_operator.app, resource as r; print(r.getrusage(r.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    console.print(f"operator imported: {int(done.stdout) / 1024:.0f} MiB resident")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"this benchmark at its peak: {own:.0f} MiB resident")


if __name__ == "__main__":
    terminal = Console()
    planner(terminal)
    footprint(terminal)
