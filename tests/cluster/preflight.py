"""Whether this machine can carry an embedded cluster, said before anything is changed."""

import os
import platform
import shutil
import sys
from pathlib import Path

from tests.cluster.debian import ensure_programs
from tests.cluster.errors import ClusterError
from tests.cluster.node_settings import CNI_PLUGINS
from tests.cluster.shell import run

ELSEWHERE = (
    "On other machines use a Kubernetes that is there already (kind, k3d, minikube, any real one):"
    " set CLUSTER=existing and it is taken from the current kubeconfig."
)

_PACKAGES = {
    "containerd": "containerd",
    "conntrack": "conntrack",
    "ctr": "containerd",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
    "sysctl": "procps",
    str(CNI_PLUGINS / "ptp"): "containernetworking-plugins",
}
_MEMORY_GIB = 4
_DISK_GIB = 5


def check_platform() -> None:
    """Refuse what no installation can change: another system, or not being root.

    Raises:
        ClusterError: Names everything that is wrong, and the way out.
    """
    _refuse(_platform_problems())


def check(state: Path) -> None:
    """Refuse a machine that cannot carry a new cluster; install programs that are missing.

    Args:
        state: Where the cluster is going to be kept.

    Raises:
        ClusterError: Names everything that is wrong, and the way out.
    """
    _refuse([*_platform_problems(), *_resource_problems(state)])
    ensure_programs(_PACKAGES)
    try:
        run(["unshare", "--mount", "--net", "mount", "--make-rshared", "/"])
    except ClusterError as error:
        raise ClusterError(
            f"no embedded cluster on this machine: it grants no namespaces ({error})."
            f" Inside a container, --privileged helps.\n{ELSEWHERE}"
        ) from error


def _refuse(problems: list[str]) -> None:
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ClusterError(f"no embedded cluster on this machine:\n{listed}\n{ELSEWHERE}")


def _platform_problems() -> list[str]:
    if sys.platform != "linux":
        return [f"it is {platform.system()}, not Linux"]
    problems = []
    if os.geteuid() != 0:
        problems.append("namespaces and cgroups take root; you are not root (try sudo)")
    system = platform.freedesktop_os_release()
    if not {"debian", "ubuntu"} & {system["ID"], *system.get("ID_LIKE", "").split()}:
        problems.append(f"it is {system.get('PRETTY_NAME', system['ID'])}, not Debian or Ubuntu")
    return problems


def _resource_problems(state: Path) -> list[str]:
    problems = []
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if memory < _MEMORY_GIB:
        problems.append(f"it has {memory:.1f} GiB of memory; {_MEMORY_GIB} are needed")
    existing = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < _DISK_GIB:
        problems.append(f"{existing} has {free:.1f} GiB free; {_DISK_GIB} are needed")
    return problems
