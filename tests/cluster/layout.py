"""Where everything of one embedded cluster is: names, addresses, folders. Pure; touches nothing.

All names carry the cluster's name, so several clusters live side by side and each can be found and
cleaned up with nothing but its name. Addresses are the same in all of them, because each cluster
has a network of its own.
"""

import re
import string
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from tests.cluster.cache import cache_root
from tests.cluster.errors import ClusterError

API_PORT = 6443
CONTROL_ADDRESS = "100.64.0.1"
NODE_NETWORK_BITS = 24
POD_NETWORK = "100.65.0.0/16"
SERVICE_NETWORK = "100.96.0.0/16"
API_SERVICE_ADDRESS = "100.96.0.1"
CLUSTER_DOMAIN = "cluster.local"
MAX_NODES = 9

_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
_FIRST_RELAY_PORT = 16443
_RELAY_PORTS = 1000


@dataclass(frozen=True)
class Node:
    """One machine of a cluster; `letter` is its zone, too."""

    layout: "Layout"
    number: int

    @property
    def letter(self) -> str:
        """Zone, and last part of every name: a, b, c, ..."""
        return string.ascii_lowercase[self.number - 1]

    @property
    def name(self) -> str:
        """What Kubernetes calls it."""
        return f"node-{self.letter}"

    @property
    def address(self) -> str:
        """IPv4 address on the network that joins the nodes and the control plane."""
        return f"100.64.0.{10 + self.number}"

    @property
    def pod_network(self) -> str:
        """Addresses of its pods."""
        return f"100.65.{self.number}.0/24"

    @property
    def netns(self) -> str:
        """Name of its network namespace."""
        return f"bo-{self.layout.name}-{self.letter}"

    @property
    def cgroup(self) -> str:
        """Path of the cgroup of all that runs on it."""
        return f"{self.layout.cgroup}/{self.name}"

    @property
    def pods_cgroup(self) -> str:
        """Path of the part that kubelet rules."""
        return f"{self.cgroup}/pods"

    @property
    def system_cgroup(self) -> str:
        """Path of the part that kubelet itself and the other programs are in."""
        return f"{self.cgroup}/system"

    @property
    def folder(self) -> Path:
        """Its disk: what is here survives a power loss."""
        return self.layout.state / self.name

    @property
    def socket(self) -> Path:
        """Where its containerd listens. A socket's path may have 108 bytes only, hence /run."""
        return self.layout.run / f"{self.letter}.sock"


@dataclass(frozen=True)
class Layout:
    """Names and places of the cluster called `name`.

    Raises:
        ClusterError: The name is not 1 to 16 lower-case letters and digits.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ClusterError(
                f"{self.name!r} is no name for a cluster: use a letter, then letters and digits,"
                " all lower case, 16 at most"
            )

    def node(self, number: int) -> Node:
        """Return node `number`, counted from 1."""
        return Node(self, number)

    def nodes(self, count: int) -> list[Node]:
        """Return the first `count` nodes."""
        if not 1 <= count <= MAX_NODES:
            raise ClusterError(f"a cluster has 1 to {MAX_NODES} nodes, not {count}")
        return [self.node(number) for number in range(1, count + 1)]

    @property
    def control_netns(self) -> str:
        """Network namespace of the control plane, with the bridge that joins the nodes."""
        return f"bo-{self.name}-control"

    @property
    def netns_pattern(self) -> re.Pattern[str]:
        """Matches the names of all network namespaces of this cluster, and of no other."""
        return re.compile(f"bo-{self.name}-([a-z]|control)")

    @property
    def cgroup(self) -> str:
        """Path of the cgroup above all others of this cluster, from the root of a hierarchy."""
        return f"bo-{self.name}"

    @property
    def state(self) -> Path:
        """Everything on disk. Removed by `down`."""
        return cache_root() / "clusters" / self.name

    @property
    def run(self) -> Path:
        """Sockets. Removed by `down`."""
        return Path("/run/broker-operator") / self.name

    @property
    def lock(self) -> Path:
        """Held while the cluster is being changed."""
        return cache_root() / "clusters" / f"{self.name}.lock"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    def program(self, name: str) -> Path:
        """Return where the cluster keeps its own link to a program, whatever the cache drops."""
        return self.state / "bin" / name

    @property
    def logs(self) -> Path:
        """One log per component."""
        return self.state / "log"

    @property
    def volumes(self) -> Path:
        """What persistent volumes hold; every node sees them, as it would network storage."""
        return self.state / "volumes"

    @property
    def kubeconfig(self) -> Path:
        """For the machine itself: leads through the relay on 127.0.0.1."""
        return self.state / "kubeconfig"

    @property
    def finished(self) -> Path:
        """Written at the very end of `up`: holds the number of nodes."""
        return self.state / "finished"

    @property
    def relay_ports(self) -> range:
        """Ports on 127.0.0.1 to try for the relay, the same ones each time."""
        first = _FIRST_RELAY_PORT + crc32(self.name.encode()) % _RELAY_PORTS
        return range(first, first + 20)
