"""Starting the long-running programs of a cluster and asking whether they still run."""

import os
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from tests.cluster import cgroups
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.shell import tail

_START_TIMEOUT = 10.0
_END_TIMEOUT = 10.0
_ENVIRONMENT = {
    # Nothing of the caller's own: a proxy set there would take the components' talk along.
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
}

# Enters the cgroups, records its id and becomes the program; until the last line, errors go to us.
_LAUNCHER = """
set -eu
pidfile=$1 log=$2
shift 2
while [ "$1" != -- ]; do
  echo $$ >"$1"
  shift
done
shift
echo $$ >"$pidfile"
exec "$@" >"$log" 2>&1 </dev/null
"""


@dataclass(frozen=True)
class Daemon:
    """A program of a cluster that runs until it is killed.

    Attributes:
        layout: The cluster it belongs to.
        name: Unique within the cluster; names its log.
        cgroup: Where it runs; must exist.
    """

    layout: Layout
    name: str
    cgroup: str

    def start(self, argv: Sequence[str | Path], *, inherit: tuple[int, ...] = ()) -> None:
        """Run `argv` detached from terminal and caller, with output to the log.

        Args:
            argv: Program and arguments; it must not fork into the background.
            inherit: Open files to hand on under the same numbers.

        Raises:
            ClusterError: It cannot enter its cgroup.
        """
        self._pidfile.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        entrances = cgroups.entrances(self.cgroup)
        launch: list[str | Path] = [
            "sh",
            "-c",
            _LAUNCHER,
            self.name,
            self._pidfile,
            self.log,
            *entrances,
            "--",
        ]
        with Popen(
            ["setsid", "--fork", *launch, *argv],
            env=_ENVIRONMENT,
            stderr=PIPE,
            text=True,
            pass_fds=inherit,
        ) as starter:
            _, complaint = starter.communicate(timeout=_START_TIMEOUT)
        if complaint or starter.returncode:
            raise ClusterError(f"cannot start {self.name}:\n{tail(complaint)}")

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.layout.logs / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Process id, or None if it does not run (any more)."""
        try:
            pid = int(self._pidfile.read_text())
            groups = Path(f"/proc/{pid}/cgroup").read_text()
        except (OSError, ValueError):
            return None
        # Ids are used again by others; the cgroup tells whether this one is still ours. A zombie
        # has left its cgroup in version 2 and keeps an empty list of memory maps in both.
        ours = any(f":/{self.cgroup}" in line for line in groups.splitlines())
        return pid if ours and _has_memory(pid) else None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; fine if it does not run."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as a crash would, and wait until it is gone, and its ports are free.

        Raises:
            ClusterError: It does not end in time.
        """
        pid = self.pid
        if pid is None:
            return
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            # Its memory is gone before its sockets are: only this tells of the end of it all.
            if not select.select([handle], [], [], _END_TIMEOUT)[0]:
                raise ClusterError(f"{self.name} (process {pid}) does not end")
        finally:
            os.close(handle)

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            ClusterError: It has ended; with the end of its log.
        """
        if self.pid is None:
            raise ClusterError(f"{self.name} has ended. {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of the log for a person: a sentence and some lines."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return f"It was never started: there is no {self.log}"
        return f"The end of {self.log}:\n{tail(text or '(empty)')}"

    def usage(self) -> tuple[float, float]:
        """Return its memory in MiB and the processor time it has used in seconds; zeros if dead."""
        try:
            resident = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0, 0
        user, system = int(fields[11]), int(fields[12])
        ticks = os.sysconf("SC_CLK_TCK")
        return resident * os.sysconf("SC_PAGE_SIZE") / 2**20, (user + system) / ticks

    @property
    def _pidfile(self) -> Path:
        return self.layout.state / "pid" / self.name


def _has_memory(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/statm").read_text().split()[0] != "0"
    except OSError:
        return False
