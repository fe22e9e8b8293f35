"""What runs in a cluster and what it costs."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table

from tests.cluster import cgroups
from tests.cluster.cluster import Cluster
from tests.cluster.daemons import Daemon
from tests.cluster.errors import ClusterError

_UNKNOWN = "unknown"


@dataclass(frozen=True)
class NodeReport:
    """One node: `condition` is Ready, NotReady, unknown, or without power."""

    name: str
    zone: str
    condition: str


@dataclass(frozen=True)
class DaemonReport:
    """One program; `pid` is None if it does not run. Memory in MiB, processor time in seconds."""

    name: str
    pid: int | None
    memory: float
    cpu: float


@dataclass(frozen=True)
class Report:
    """All of a cluster; `cpu` is the processor time of everything in it, pods too, in seconds."""

    kubeconfig: Path
    nodes: list[NodeReport]
    daemons: list[DaemonReport]
    cpu: float

    @property
    def is_healthy(self) -> bool:
        """Whether all programs run and all nodes with power are Ready."""
        conditions = {node.condition for node in self.nodes}
        return conditions <= {"Ready", "without power"} and all(
            daemon.pid is not None for daemon in self.daemons
        )


def inspect(cluster: Cluster) -> Report | None:
    """Return how the cluster is, or None if there is none that was finished."""
    machines = cluster.machines()
    if not machines:
        return None
    try:
        ready = cluster.control_plane.api().nodes()
    except ClusterError:
        ready = {}
    conditions = {True: "Ready", False: "NotReady", None: _UNKNOWN}
    nodes = [
        NodeReport(
            machine.node.name,
            machine.node.letter,
            conditions[ready.get(machine.node.name)] if machine.is_on else "without power",
        )
        for machine in machines
    ]
    daemons = [
        *cluster.control_plane.daemons(),
        *(daemon for machine in machines if machine.is_on for daemon in machine.daemons()),
    ]
    return Report(
        cluster.kubeconfig,
        nodes,
        [_daemon_report(daemon) for daemon in daemons],
        cgroups.cpu_seconds(cluster.layout.cgroup),
    )


def render(report: Report) -> RenderableType:
    """Return the report for a terminal."""
    nodes = Table("Node", "Zone", "Condition")
    for node in report.nodes:
        nodes.add_row(node.name, node.zone, node.condition)
    daemons = Table("Program", "Process", "Memory", "Processor time")
    for daemon in report.daemons:
        if daemon.pid is None:
            daemons.add_row(daemon.name, "[red]does not run[/]", "", "")
        else:
            used = (f"{daemon.memory:.0f} MiB", f"{daemon.cpu:.1f} s")
            daemons.add_row(daemon.name, str(daemon.pid), *used)
    daemons.add_section()
    memory = sum(daemon.memory for daemon in report.daemons)
    daemons.add_row("all (time: pods, too)", "", f"{memory:.0f} MiB", f"{report.cpu:.1f} s")
    return Group(nodes, daemons, f"KUBECONFIG={report.kubeconfig}")


def _daemon_report(daemon: Daemon) -> DaemonReport:
    pid = daemon.pid
    if pid is None:
        return DaemonReport(daemon.name, None, 0, 0)
    memory, cpu = daemon.usage()
    return DaemonReport(daemon.name, pid, memory, cpu)
