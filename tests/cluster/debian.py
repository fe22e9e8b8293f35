"""Debian packages: what is missing is installed, what is there is left alone."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.cache import cache_root, locked
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run

_LOCK_WAIT = ("-o", "DPkg::Lock::Timeout=300")
_UNITS = {"containerd": "containerd.service", "etcd-server": "etcd.service"}
_UNATTENDED = {"DEBIAN_FRONTEND": "noninteractive"}


def ensure_packages(*names: str) -> None:
    """Install those of the named Debian packages that are not installed.

    Package lists are fetched only if something is missing. Waits up to five minutes for another
    apt or dpkg to end.

    Raises:
        ClusterError: No apt-get here, not root, or a package cannot be installed.
    """
    if not (missing := _missing(names)):
        return
    wanted = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise ClusterError(f"this machine has no apt-get; install what Debian calls: {wanted}")
    if os.geteuid() != 0:
        raise ClusterError(f"packages are missing; as root run: apt-get install {wanted}")
    with locked(cache_root() / "apt.lock"):
        if not (missing := _missing(names)):  # another process has just installed them
            return
        run(["apt-get", "-q", *_LOCK_WAIT, "update"], timeout=600, env=_UNATTENDED)
        install = ["apt-get", "-qy", *_LOCK_WAIT, "--no-install-recommends", "install"]
        run([*install, *missing], timeout=1800, env=_UNATTENDED)
        _stop_services(missing)


def ensure_programs(packages: Mapping[str, str]) -> None:
    """Install the package of each program that is not on PATH.

    A program that came from elsewhere (Docker's own containerd, say) is used as it is, because
    Debian's package of it would often conflict.

    Args:
        packages: Program -> the Debian package that holds it.

    Raises:
        ClusterError: As `ensure_packages`, or a program is still missing afterwards.
    """
    absent = [program for program in packages if shutil.which(program) is None]
    ensure_packages(*(packages[program] for program in absent))
    for program in absent:
        if shutil.which(program) is None:
            raise ClusterError(f"package {packages[program]} brought no program {program}")


def _stop_services(installed: list[str]) -> None:
    """Stop what Debian starts by itself when it is installed: only the programs are wanted."""
    if Path("/run/systemd/system").is_dir():
        for unit in (_UNITS[name] for name in installed if name in _UNITS):
            run(["systemctl", "disable", "--now", unit])


def _missing(names: tuple[str, ...]) -> list[str]:
    """Return the packages that are not fully installed, in the order given."""
    if not names or shutil.which("dpkg-query") is None:
        return list(names)
    status = "${binary:Package} ${db:Status-Status}\n"
    installed = {
        line.split()[0].partition(":")[0]
        for line in run(["dpkg-query", "-W", "-f", status]).splitlines()
        if line.endswith(" installed")
    }
    return [name for name in dict.fromkeys(names) if name not in installed]
