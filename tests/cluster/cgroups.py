"""Control groups: one tree per cluster, in every hierarchy of version 1 or in the one of version 2.

The tree is how the processes of a cluster are found again: whatever a daemon or a pod starts, it
stays inside. Names here are paths below the root of a hierarchy, such as `bo-dev/node-a/pods`.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for

ROOT = Path("/sys/fs/cgroup")

_PROCS = "cgroup.procs"
_CPUSET = ("cpuset.cpus", "cpuset.mems")
_SHARES = "cpu.shares"
_ONE_PROCESS = 1024
_ENABLE = "cgroup.subtree_control"
_NEEDED = ("cpu", "cpuset", "memory", "pids")
_PRIVILEGES = "A container needs --privileged and a cgroup namespace of its own for this."
_OPTIONAL = ("hugetlb", "io")


def is_v2() -> bool:
    """Tell whether this machine has the single hierarchy of version 2 (and not v1 or both)."""
    return (ROOT / "cgroup.controllers").exists()


def create(name: str) -> None:
    """Make the cgroup `name`, and those above it, with all controllers; fine if it exists.

    Raises:
        ClusterError: The kernel does not let us, with the cause.
    """
    for hierarchy in _hierarchies():
        group = hierarchy
        for part in Path(name).parts:
            if is_v2():
                _enable_controllers(group)
            group /= part
            try:
                group.mkdir(exist_ok=True)
            except OSError as error:
                raise ClusterError(f"cannot make a cgroup: {error}. {_PRIVILEGES}") from error
            _inherit_cpuset(group)
        _give_weight(hierarchy / Path(name).parts[0])


def entrances(name: str) -> list[Path]:
    """Return the files that a process writes its id to in order to enter `name` everywhere."""
    return [hierarchy / name / _PROCS for hierarchy in _hierarchies()]


def processes(name: str) -> set[int]:
    """Return the ids of all processes in `name` and below; empty if there is no such cgroup."""
    found: set[int] = set()
    for group in _groups(name):
        with suppress(OSError):  # removed meanwhile
            found.update(int(word) for word in (group / _PROCS).read_text().split())
    return found - {0}


def exists(name: str) -> bool:
    """Tell whether anything is left of `name`."""
    return any((hierarchy / name).exists() for hierarchy in _hierarchies())


def kill(name: str, timeout: float = 20) -> None:
    """End every process in `name` and below at once, as a power cut would.

    Raises:
        ClusterError: Some still live after `timeout` seconds.
    """

    def all_gone() -> bool:
        left = processes(name)
        for pid in left:  # again and again: they may start others until the last one is gone
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for(f"the end of the processes in cgroup {name}", all_gone, timeout)


def remove(name: str, timeout: float = 20) -> None:
    """Remove `name` and everything below; its processes must have ended.

    Raises:
        ClusterError: The kernel still holds some of it after `timeout` seconds.
    """

    def all_gone() -> bool:
        for group in _groups(name):
            with suppress(OSError):  # still busy: the kernel lets go of the dead a little later
                group.rmdir()
        return not exists(name)

    wait_for(f"the removal of cgroup {name}", all_gone, timeout)


def cpu_seconds(name: str) -> float:
    """Return the processor time that `name` has used since it was made, in seconds."""
    if is_v2():
        stat = dict(line.split() for line in (ROOT / name / "cpu.stat").read_text().splitlines())
        return int(stat["usage_usec"]) / 1e6
    return int((ROOT / "cpuacct" / name / "cpuacct.usage").read_text()) / 1e9


def _hierarchies() -> list[Path]:
    if is_v2():
        return [ROOT]
    # Links such as cpu -> cpu,cpuacct lead to folders that are listed anyway.
    folders = (path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink())
    return [path for path in folders if (path / _PROCS).exists()]


def _groups(name: str) -> Iterator[Path]:
    """Yield the folders of `name`, deepest first, in all hierarchies."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            yield Path(folder)


def _inherit_cpuset(group: Path) -> None:
    """Copy the parent's processors: in version 1 a new cpuset has none and nothing can enter it."""
    if is_v2():
        return
    for setting in _CPUSET:
        if (group / setting).exists() and not (group / setting).read_text().strip():
            (group / setting).write_text((group.parent / setting).read_text())


def _give_weight(top: Path) -> None:
    """Give a whole cluster more weight than one process.

    In version 1 a cgroup competes with each single process outside of cgroups. On a busy machine
    kubelets would be too slow to say that they live.
    """
    if (top / _SHARES).exists():
        (top / _SHARES).write_text(str(8 * _ONE_PROCESS))


def _enable_controllers(group: Path) -> None:
    """Hand the controllers of version 2 down to the children of `group`, one by one."""
    available = (group / "cgroup.controllers").read_text().split()
    for controller in (*_NEEDED, *_OPTIONAL):
        try:
            (group / _ENABLE).write_text(f"+{controller}")
        except OSError as error:
            if controller in _NEEDED:
                raise ClusterError(
                    f"cannot hand the cgroup controller {controller} down from {group}"
                    f" ({error.strerror}; available there: {' '.join(available) or 'none'})."
                    f" {_PRIVILEGES}"
                ) from error
