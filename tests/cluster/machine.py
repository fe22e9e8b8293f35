"""One node: containerd, kubelet and kube-proxy, in namespaces and a cgroup of their own."""

import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, network
from tests.cluster.archives import contents
from tests.cluster.daemons import Daemon
from tests.cluster.errors import ClusterError
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.layout import API_SERVICE_ADDRESS, Node
from tests.cluster.node_settings import write_settings
from tests.cluster.pki import Authority
from tests.cluster.shell import run
from tests.cluster.waiting import wait_for

_SOCKET_TIMEOUT = 30.0
_IMPORT_TIMEOUT = 300.0

# Folders that the programs insist on, although each node needs its own: what the node sees there
# is a part of its own disk. True: the content is lost when the power goes.
_OWN_FOLDERS = {
    Path("/var/lib/kubelet"): False,
    Path("/var/lib/cni"): False,
    Path("/var/log/containers"): False,
    Path("/run/containerd"): True,
}


@dataclass(frozen=True)
class Machine:
    """A node that can be switched on and off.

    Attributes:
        node: Its name and addresses.
    """

    node: Node

    def issue_certificate(self) -> None:
        """Make the node's certificate and kubeconfig; the cluster's authority must exist."""
        node, authority = self.node, self._authority
        hosts = (f"DNS:{node.name}", f"IP:{node.address}")
        user = authority.issue(
            node.name, f"system:node:{node.name}", group="system:nodes", hosts=hosts
        )
        conf = node.layout.pki / f"{node.name}.conf"
        write_kubeconfig(conf, "cluster", network.api_url(), authority, user)

    def power_on(self) -> None:
        """Plug the node in and start containerd; images can be loaded then.

        Raises:
            ClusterError: A step failed; with the end of containerd's log if it was that.
        """
        cgroups.create(self.node.pods_cgroup)
        cgroups.create(self.node.system_cgroup)
        network.plug_in(self.node)
        write_settings(self.node)
        self._start_containerd()

    def start_kubelet(self) -> None:
        """Let the node join the cluster: start kubelet and kube-proxy."""
        node, pki = self.node, self.node.layout.pki
        self._start(
            "kubelet",
            [
                f"--config={node.folder / 'kubelet.yaml'}",
                f"--kubeconfig={pki / f'{node.name}.conf'}",
                f"--hostname-override={node.name}",
                f"--node-ip={node.address}",
                f"--node-labels=topology.kubernetes.io/zone={node.letter}",
                "--housekeeping-interval=30s",  # how often it measures containers
            ],
        )
        self._start("kube-proxy", [f"--config={node.folder / 'kube-proxy.yaml'}"])

    def power_off(self) -> None:
        """Let the node vanish from one moment to the next, as in a power loss. Its disk stays."""
        network.cut_off(self.node)
        cgroups.kill(self.node.cgroup)
        network.unplug(self.node)
        cgroups.remove(self.node.cgroup)

    @property
    def is_on(self) -> bool:
        """Whether the node has been switched on (it need not work yet)."""
        return network.path(self.node.netns).exists()

    def processes(self, uid: str) -> set[int]:
        """Return the ids of the processes of a pod here; none if it does not run."""
        found = set()
        for pid in cgroups.processes(self.node.pods_cgroup):
            with suppress(OSError):  # it has ended meanwhile
                if f"/pod{uid}/" in Path(f"/proc/{pid}/cgroup").read_text():
                    found.add(pid)
        return found

    def serves_services(self) -> bool:
        """Tell whether kube-proxy has put its rules in place.

        Raises:
            ClusterError: One of the node's programs has ended.
        """
        self.check()
        try:
            rules = run(
                [*network.inside(self.node.netns), "iptables-save", "-t", "nat"], timeout=10
            )
        except ClusterError:  # iptables is busy
            return False
        return f"{API_SERVICE_ADDRESS}/32" in rules

    def explain(self) -> str:
        """Return what its kubelet said last."""
        return self._daemon("kubelet").last_words()

    def load(self, archive: Path) -> None:
        """Put the images of an OCI archive into the node, unless it has them already.

        Raises:
            ClusterError: It is no such archive, or cannot be imported.
        """
        if not contents(archive).items() <= self._images().items():
            run([*self._ctr(), "images", "import", archive], timeout=_IMPORT_TIMEOUT)

    def check(self) -> None:
        """Do nothing while all of the node's programs run.

        Raises:
            ClusterError: One has ended; with the end of its log.
        """
        for daemon in self.daemons():
            daemon.check()

    def daemons(self) -> list[Daemon]:
        """Return the node's programs, running or not."""
        return [self._daemon(program) for program in ("containerd", "kubelet", "kube-proxy")]

    def _start_containerd(self) -> None:
        """Start containerd in a new mount namespace with the node's own folders in place."""
        binds = []
        for place, volatile in _OWN_FOLDERS.items():
            own = self.node.folder / place.name
            if volatile:
                run(["rm", "-rf", own])
            own.mkdir(parents=True, exist_ok=True)
            place.mkdir(parents=True, exist_ok=True)
            binds.append(shlex.join(["mount", "--bind", str(own), str(place)]))
        self.node.socket.parent.mkdir(parents=True, exist_ok=True)
        self.node.socket.unlink(missing_ok=True)
        config = self.node.folder / "containerd.toml"
        script = " && ".join(
            [
                "mount --make-rshared /",  # kubelet's mounts must reach the containers
                *binds,
                shlex.join(["exec", "containerd", "--config", str(config)]),
            ]
        )
        inside = network.inside(self.node.netns)
        mounts = ["unshare", "--mount", "--propagation=slave"]
        daemon = self._daemon("containerd")
        daemon.start([*inside, *mounts, "sh", "-c", script])

        def answers() -> bool:
            daemon.check()
            if not self.node.socket.exists():
                return False
            try:
                run(["ctr", "--address", self.node.socket, "version"], timeout=5)
            except ClusterError:
                return False
            return True

        what = f"an answer from containerd of {self.node.name}"
        wait_for(what, answers, _SOCKET_TIMEOUT, explain=daemon.last_words)

    def _start(self, component: str, options: list[str]) -> None:
        """Start a Kubernetes component beside containerd."""
        containerd = self._daemon("containerd").pid
        if containerd is None:
            raise ClusterError(f"containerd of {self.node.name} does not run")
        mounts = f"--mount=/proc/{containerd}/ns/mnt"
        inside = [*network.inside(self.node.netns), mounts, "--"]
        kube = self.node.layout.program("kube")
        self._daemon(component).start([*inside, kube, component, *options])

    def _images(self) -> dict[str, str]:
        """Return the images that the node has: full name -> digest."""
        rows = (line.split() for line in run([*self._ctr(), "images", "list"]).splitlines()[1:])
        return {row[0]: row[2] for row in rows}

    def _ctr(self) -> list[str | Path]:
        return ["ctr", "--address", self.node.socket, "--namespace", "k8s.io"]

    def _daemon(self, program: str) -> Daemon:
        return Daemon(self.node.layout, f"{program}-{self.node.letter}", self.node.system_cgroup)

    @property
    def _authority(self) -> Authority:
        return Authority(self.node.layout.pki)
