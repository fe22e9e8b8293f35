"""A Kubernetes of several nodes on one Linux machine: bring it up, take it down, cut its power.

Every step leaves marks that depend on the cluster's name alone (namespaces, cgroups, folders). So
whatever was begun by a process that died can be found and removed by the next one.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from tests.cluster import binaries, cgroups, images, network, preflight, tunables
from tests.cluster.cache import locked
from tests.cluster.control_plane import ControlPlane
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.machine import Machine
from tests.cluster.progress import say
from tests.cluster.shell import run
from tests.cluster.waiting import wait_for

DEFAULT_NAME = "dev"
DEFAULT_NODES = 3

_READY_TIMEOUT = 60.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Cluster:
    """The embedded cluster called `name`, whether it exists or not.

    Commands that change it wait for each other, also across processes. All of them raise
    `ClusterError` with a message for people.
    """

    name: str = DEFAULT_NAME

    @cached_property
    def layout(self) -> Layout:
        """Its names and places."""
        return Layout(self.name)

    @property
    def kubeconfig(self) -> Path:
        """Leads to the cluster from this machine, as administrator. Exists while it is up."""
        return self.layout.kubeconfig

    @property
    def control_plane(self) -> ControlPlane:
        """Its control plane, running or not."""
        return ControlPlane(self.layout)

    def machines(self) -> list[Machine]:
        """Return its nodes, with power or without; empty unless `up` has been completed."""
        try:
            size = int(self.layout.finished.read_text())
        except FileNotFoundError:
            return []
        return [Machine(node) for node in self.layout.nodes(size)]

    def prepare(self) -> None:
        """Have every program that running it and talking to it takes, before anything is begun.

        Raises:
            ClusterError: The machine is not fit, or a program cannot be had.
        """
        preflight.check(self.layout.state)
        for program in (binaries.kube, binaries.coredns, binaries.helm, binaries.kubectl):
            program()

    def up(self, nodes: int | None = None) -> None:
        """Have the cluster running with all nodes Ready.

        A healthy cluster is left as it is, except that nodes without power get it back. Whatever
        else is found of it is removed, and it is made anew.

        Args:
            nodes: How many; three, or as many as it has, if not said.

        Raises:
            ClusterError: The machine is not fit, or a component failed (with the end of its
                log), or a healthy cluster has another number of nodes.
        """
        with self._alone():
            if self._is_healthy():
                self._reuse(nodes)
                return
            if self._traces():
                say(f"removing what is left of cluster {self.name}")
                self._remove()
            self._make(nodes or DEFAULT_NODES)

    def down(self) -> None:
        """Remove the cluster and all it holds, and make sure that nothing is left.

        Fine if there is none, or only parts.
        """
        with self._alone():
            self._remove()

    def load_images(self, archives: Iterable[Path]) -> None:
        """Put the images of OCI archives into every node that has power."""
        with self._alone():
            self._load([machine for machine in self._known() if machine.is_on], list(archives))

    def node_down(self, node: str) -> None:
        """Cut the power of a node: `a`, or `node-a`. What is on its disk stays."""
        with self._alone():
            machine = self._machine(node)
            if machine.is_on:
                machine.power_off()

    def node_up(self, node: str) -> None:
        """Give a node its power back and wait until it is Ready."""
        with self._alone():
            machine = self._machine(node)
            if not machine.is_on:
                self._power_on([machine])

    def freeze_api(self) -> None:
        """Let the API server answer nothing any more, until `restart_api`."""
        with self._alone():
            self.control_plane.freeze_api()

    def restart_api(self) -> None:
        """Kill the API server, whatever its state, and wait until a new one serves."""
        with self._alone():
            self.control_plane.restart_api()

    def signal_pod(self, node: str, uid: str, number: signal.Signals) -> int:
        """Send a signal to every process of a pod on a node, and return to how many.

        Args:
            node: Where the pod runs; the node must have power.
            uid: Of the pod.
            number: The signal.
        """
        pids = self._machine(node).processes(uid)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def exec_in_node(self, node: str, argv: Sequence[str | Path], *, timeout: float = 60) -> str:
        """Run a program of this machine in a node's network and return its output.

        Pods and services can be reached from there. The node must have power.
        """
        machine = self._machine(node)
        if not machine.is_on:
            raise ClusterError(f"{machine.node.name} of cluster {self.name} has no power")
        return run([*network.inside(machine.node.netns), *argv], timeout=timeout)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands on this cluster out; refuse machines that cannot have one."""
        preflight.check_platform()
        waits = f"waiting for another command on cluster {self.name}"
        with locked(self.layout.lock, on_wait=lambda: say(waits)):
            yield

    def _is_healthy(self) -> bool:
        """Tell whether everything that should run does; a node without power is in order."""
        machines = [machine for machine in self.machines() if machine.is_on]
        if not self.machines():
            return False
        try:
            self.control_plane.wait_until_serving()
            self._wait_until_ready(machines, _LONG_AGO)
        except ClusterError as error:
            say(f"cluster {self.name} does not work: {error}")
            return False
        return True

    def _reuse(self, nodes: int | None) -> None:
        machines = self.machines()
        if nodes not in {None, len(machines)}:
            raise ClusterError(
                f"cluster {self.name} is up with {len(machines)} nodes, not {nodes};"
                " take it down first, or choose another name"
            )
        self._power_on([machine for machine in machines if not machine.is_on])
        say(f"cluster {self.name} is up; export KUBECONFIG={self.kubeconfig}")

    def _make(self, nodes: int) -> None:
        layout, control = self.layout, self.control_plane
        machines = [Machine(node) for node in layout.nodes(nodes)]
        preflight.check(layout.state)
        tunables.save()
        programs, pause = [binaries.kube(), binaries.coredns()], images.build("pause")
        say(f"starting cluster {self.name} (nodes: {nodes}); its logs: {layout.logs}")
        for program in programs:
            _link(program, layout.program(program.name))
        control.issue_certificates()
        for machine in machines:
            machine.issue_certificate()
        network.create(layout)
        control.start_api()
        control.start_relay()
        _together(Machine.power_on, machines)
        self._load(machines, [pause])
        control.wait_until_serving()
        control.add_storage_class()
        control.start_controllers()
        for machine in machines:
            machine.start_kubelet()
        self._wait_until_ready(machines, _LONG_AGO)
        control.wait_until_dns_answers()
        layout.finished.write_text(str(nodes))
        say(f"cluster {self.name} is up; export KUBECONFIG={self.kubeconfig}")

    def _power_on(self, machines: list[Machine]) -> None:
        moment = datetime.now(UTC)
        _together(Machine.power_on, machines)
        for machine in machines:
            machine.start_kubelet()
        self._wait_until_ready(machines, moment)

    def _wait_until_ready(self, machines: list[Machine], moment: datetime) -> None:
        """Wait until the nodes are Ready and their kubelets have shown life since `moment`.

        A node that was off for a moment only is still called Ready: nobody has missed it yet.
        """
        control = self.control_plane

        def missing() -> list[Machine]:
            control.check()
            for machine in machines:
                machine.check()
            api = control.api()
            ready, renewed = api.nodes(), api.renewals()
            return [
                machine
                for machine in machines
                if not ready.get(machine.node.name)
                or renewed.get(machine.node.name, _LONG_AGO) < moment
                or not machine.serves_services()
            ]

        wait_for(
            f"{', '.join(machine.node.name for machine in machines)} to be Ready",
            lambda: not missing(),
            _READY_TIMEOUT,
            explain=lambda: "\n".join(machine.explain() for machine in missing()),
        )

    def _load(self, machines: list[Machine], archives: list[Path]) -> None:
        def load(machine: Machine) -> None:
            for archive in archives:
                machine.load(archive)

        _together(load, machines)

    def _known(self) -> list[Machine]:
        if machines := self.machines():
            return machines
        raise ClusterError(f"there is no cluster {self.name}; `up` makes one")

    def _machine(self, name: str) -> Machine:
        machines = self._known()
        for machine in machines:
            if name in {machine.node.letter, machine.node.name}:
                return machine
        known = ", ".join(machine.node.name for machine in machines)
        raise ClusterError(f"cluster {self.name} has no node {name}; its nodes: {known}")

    def _remove(self) -> None:
        layout = self.layout
        layout.finished.unlink(missing_ok=True)  # from here on it is a ruin
        cgroups.kill(layout.cgroup)
        network.destroy(layout)
        cgroups.remove(layout.cgroup)
        for folder in (layout.run, layout.state):
            shutil.rmtree(folder, ignore_errors=True)
        tunables.restore()
        if left := self._traces():
            raise ClusterError(f"cannot remove all of cluster {self.name}: {'; '.join(left)}")

    def _traces(self) -> list[str]:
        """Return what exists of the cluster, in words."""
        layout = self.layout
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [
            *(f"process {pid}" for pid in sorted(cgroups.processes(layout.cgroup))),
            *(f"network namespace {name}" for name in network.namespaces(layout)),
            *(f"mount {mount}" for mount in mounts if mount.startswith(f"{layout.state}/")),
            *([f"cgroup {layout.cgroup}"] if cgroups.exists(layout.cgroup) else []),
            *(str(folder) for folder in (layout.state, layout.run) if folder.exists()),
        ]


def _together(action: Callable[[Machine], None], machines: list[Machine]) -> None:
    """Do the same to several nodes at once; the first failure is raised after all have ended."""
    if machines:
        with ThreadPoolExecutor(len(machines)) as pool:
            list(pool.map(action, machines))


def _link(program: Path, link: Path) -> None:
    """Give the cluster its own name for a program, or a copy where that cannot be."""
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.hardlink_to(program)
    except OSError:
        shutil.copy2(program, link)
