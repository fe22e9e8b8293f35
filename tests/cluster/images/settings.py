"""The machine's own apt and pip settings, for builds that run in another root."""

import os
import platform
import shutil
import sys
from pathlib import Path

from tests.cluster.cache import cached, digest
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run

PYTHON = "3.11"
"""Python of Debian bookworm, which is the Python of the images."""

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_KEEP_NOTHING = (
    'Dir::Cache::pkgcache "";',
    'Dir::Cache::srcpkgcache "";',
    'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };',
)
_GLIBC_MINOR = 36
_PIP_DEADLINE = 600


def debian_mirror() -> str:
    """Return the address of the mirror of Debian that this machine uses, or that it is told.

    Raises:
        ClusterError: It uses none, as on Ubuntu, and `DEBIAN_MIRROR` is not set.
    """
    own = (site for site, suite, _ in _debian_sources() if not suite.endswith("-security"))
    mirror = next(own, os.environ.get("DEBIAN_MIRROR"))
    if not mirror:
        raise ClusterError(
            "this machine's apt has no source of Debian's, which the images are built from: set"
            " DEBIAN_MIRROR to the address of a Debian mirror, or use a cluster of your own with"
            " CLUSTER=existing"
        )
    return mirror


def write_apt(folder: Path) -> None:
    """Write a folder to mount as /etc/apt: this machine's mirrors, proxies and credentials.

    Only bookworm is offered. On a machine that runs another release its mirror is assumed to have
    bookworm too; other people's repositories are left out, they would only slow the build down.
    """
    (folder / "preferences.d").mkdir(parents=True)
    sources = [source for source in _debian_sources() if source[1].startswith("bookworm")]
    sources = sources or [(debian_mirror(), "bookworm", "main")]
    lines = [f"deb [signed-by={_KEYRING}] {' '.join(source)}\n" for source in sources]
    (folder / "sources.list").write_text("".join(lines))
    shown = run(["apt-config", "dump"]).splitlines()
    acquire = [line for line in shown if line.startswith("Acquire::")]
    if _AUTHORITIES.exists():
        shutil.copy(_AUTHORITIES, folder / "authorities.crt")
        acquire.append('Acquire::https::CaInfo "/etc/apt/authorities.crt";')
    (folder / "apt.conf").write_text("\n".join([*acquire, *_KEEP_NOTHING, ""]))
    for name in ("auth.conf", "auth.conf.d"):
        found = Path("/etc/apt") / name
        if found.is_dir():
            shutil.copytree(found, folder / name)
        elif found.exists():
            shutil.copy(found, folder / name)


def wheels(lock: Path) -> Path:
    """Return a folder with every wheel of a hash-locked requirements file, for the images' Python.

    This machine's pip fetches them with this machine's settings; the build then needs no index.

    Raises:
        ClusterError: A package has no wheel for Debian bookworm, or pip cannot fetch one.
    """
    return cached(
        f"wheels/{lock.parent.name}-{lock.stem}", digest(lock), lambda to: _fetch(lock, to)
    )


def write_pip(path: Path, find_links: list[str]) -> None:
    """Write a file to mount as /etc/pip.conf: packages come from these folders only."""
    path.write_text(f"[global]\nno-index = true\nfind-links = {' '.join(find_links)}\n")


def _debian_sources() -> list[tuple[str, str, str]]:
    """Return address, suite and component of each source of Debian's that this machine uses."""
    if shutil.which("apt-get") is None:
        return []
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    shown = run(
        ["apt-get", "indextargets", f"--format={fields}", "Created-By: Packages", "Origin: Debian"]
    )
    words = [line.split() for line in shown.splitlines()]
    return list(dict.fromkeys((site, suite, part) for site, suite, part in words))


def _fetch(lock: Path, folder: Path) -> None:
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_GLIBC_MINOR, 4, -1)]
    tags += [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    target = ["--python-version", PYTHON, "--implementation", "cp", *platforms]
    download = ["download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    files = ["--dest", str(folder), "--requirement", str(lock)]
    run([sys.executable, "-m", "pip", *download, *target, *files], timeout=_PIP_DEADLINE)
