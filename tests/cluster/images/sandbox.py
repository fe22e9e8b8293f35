"""One container at a time without a cluster: an image run by runc as a restricted pod would be."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.debian import ensure_programs
from tests.cluster.errors import ClusterError
from tests.cluster.images.buildah import buildah
from tests.cluster.shell import run, tail

_RESTRICTED = {
    "user": {"uid": 1001, "gid": 1001},
    "capabilities": {},
    "noNewPrivileges": True,
}
_DEADLINE = 60


@dataclass(frozen=True)
class Root:
    """The unpacked file system of an image, and what the image says about running it."""

    path: Path
    entrypoint: list[str]
    environment: list[str]


@contextmanager
def unpacked(archive: Path) -> Iterator[Root]:
    """Unpack an OCI archive for as long as the block runs."""
    ensure_programs({"runc": "runc"})
    container = buildah(
        "from", "--pull-never", buildah("pull", "--quiet", f"oci-archive:{archive}").strip()
    ).strip()
    try:
        image = json.loads(buildah("inspect", container))["OCIv1"]["config"]
        path = Path(buildah("mount", container).strip())
        yield Root(path, image.get("Entrypoint", []), image.get("Env", []))
    finally:
        buildah("rm", container)


@dataclass(frozen=True)
class Container:
    """A running container; its output is in `log`."""

    name: str
    state: Path
    log: Path
    process: subprocess.Popen[bytes]

    def execute(
        self, *command: str, timeout: float = _DEADLINE
    ) -> subprocess.CompletedProcess[str]:
        """Run a command beside the container's own process, as a probe or `kubectl exec` does."""
        return subprocess.run(
            ["runc", "--root", self.state, "exec", self.name, *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def await_start(self) -> None:
        """Return once the container runs, or has already ended."""
        deadline = time.monotonic() + _DEADLINE
        while self.process.poll() is None and self.execute("true").returncode:
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name} did not start:\n{tail(self.log.read_text())}")
            time.sleep(0.05)

    def pid(self) -> int:
        """Return the process id, as seen from here, of the container's process 1."""
        return int(json.loads(run(["runc", "--root", self.state, "state", self.name]))["pid"])

    def kill(self, signal: str) -> None:
        """Send a signal to the container's process 1."""
        run(["runc", "--root", self.state, "kill", self.name, signal])

    def wait(self, timeout: float = _DEADLINE) -> int:
        """Return the exit code once the container has ended."""
        return self.process.wait(timeout)

    def remove(self) -> None:
        """End the container if it still runs, and leave nothing of it."""
        run(["runc", "--root", self.state, "delete", "--force", self.name])
        self.process.wait(_DEADLINE)


def start(
    root: Root,
    name: str,
    arguments: Sequence[str],
    *,
    work: Path,
    environment: Mapping[str, str],
    mounts: Mapping[Path, str],
    network_of: Container | None = None,
) -> Container:
    """Start a container: uid 1001, no capabilities, read-only root, an empty /tmp.

    Returns once it runs, or has already ended.

    Args:
        root: The image.
        name: Unique on this machine.
        arguments: For the image's entrypoint.
        work: Folder for the bundle, runc's state and the log.
        environment: Variables on top of the image's own.
        mounts: Path here -> path inside, writable where uid 1001 may write.
        network_of: Share that container's network; by default it gets its own, with loopback only.
    """
    bundle = work / name
    bundle.mkdir(exist_ok=True)
    path = f"/proc/{network_of.pid()}/ns/net" if network_of else None
    variables = [*root.environment, *(f"{key}={value}" for key, value in environment.items())]
    runs: dict[str, Any] = {
        "args": [*root.entrypoint, *arguments],
        "env": variables,
        "cwd": "/tmp",
    }
    config = _config(root.path, name, runs, mounts, path)
    (bundle / "config.json").write_text(json.dumps(config))
    state, log = work / "runc", bundle / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["runc", "--root", state, "run", "--bundle", bundle, name],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NOTIFY_SOCKET": ""},
        )
    container = Container(name, state, log, process)
    container.await_start()
    return container


def _config(
    root: Path,
    hostname: str,
    process: dict[str, Any],
    mounts: Mapping[Path, str],
    network: str | None,
) -> dict[str, Any]:
    limits = ["nosuid", "noexec", "nodev"]
    kernel = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "mode=755"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*limits, "ro"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
    ]
    binds = [
        {"destination": there, "type": "bind", "source": str(here), "options": ["rbind", "rw"]}
        for here, there in mounts.items()
    ]
    namespaces: list[dict[str, str]] = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
    namespaces.append({"type": "network", **({"path": network} if network else {})})
    return {
        "ociVersion": "1.0.2",
        "hostname": hostname,
        "root": {"path": str(root), "readonly": True},
        "process": {**process, **_RESTRICTED},
        "mounts": [*kernel, *binds],
        "linux": {"namespaces": namespaces},
    }
