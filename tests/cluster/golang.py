"""Finding a Go that is new enough, or fetching one by way of the Go module proxy."""

import os
import re
import shutil
from pathlib import Path

from tests.cluster.cache import cached
from tests.cluster.debian import ensure_packages
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run

_NEEDED = (1, 24)
_FETCHED = "1.24.9"
_DEBIAN_GO = Path("/usr/bin/go")


def find_go() -> Path:
    """Return the path of a `go` program of version 1.24 or newer.

    The one on PATH if it is new enough. Otherwise a toolchain from the Go module proxy, where every
    release of Go is a module: even Debian 12's old `golang-go` can download it, and checks its sum.

    Raises:
        ClusterError: There is none, and none can be fetched.
    """
    if (found := shutil.which("go")) and go_version(Path(found)) >= _NEEDED:
        return Path(found)
    return cached("go", f"{_FETCHED}-{_platform()}", _fetch) / "bin" / "go"


def go_version(go: Path) -> tuple[int, int]:
    """Return major and minor version of the program `go`; (0, 0) if it does not say."""
    said = run([go, "version"], env={"GOTOOLCHAIN": "local"})
    match = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _fetch(target: Path) -> None:
    old = shutil.which("go") or _DEBIAN_GO
    if not Path(old).exists():
        ensure_packages("golang-go")
    home = target.with_name(f"{target.name}.modules")
    module = f"golang.org/toolchain@v0.0.1-go{_FETCHED}.{_platform()}"
    env = {"GOTOOLCHAIN": "local", "GOMODCACHE": str(home), "GOFLAGS": "-modcacherw"}
    try:
        run([old, "mod", "download", module], timeout=900, env=env, cwd=Path("/"))
        (home / module).rename(target)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    # A module has no executable files; newer versions of Go set the bits of toolchains themselves.
    for folder in ("bin", f"pkg/tool/{_platform().replace('-', '_')}"):
        for program in (target / folder).iterdir():
            program.chmod(0o755)


def _platform() -> str:
    machines = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = os.uname().machine
    if machine not in machines:
        raise ClusterError(f"the embedded cluster runs on amd64 and arm64, not on {machine}")
    return f"linux-{machines[machine]}"
