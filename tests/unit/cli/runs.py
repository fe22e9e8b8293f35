"""Commands run in this process, and the files they are given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from click.testing import CliRunner, Result

from broker_operator.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

RACKS = "abc"


def run(*arguments: object, text: str | bytes | None = None) -> Result:
    """Run `broker-operator` with these arguments; an exception that escapes is an error."""
    result = CliRunner().invoke(
        main, [str(argument) for argument in arguments], input=text, prog_name="broker-operator"
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Measured(NamedTuple):
    """A run in a process of its own. `megabytes`: most memory that it held."""

    code: int
    stdout: str
    stderr: str
    megabytes: float


def measured(*arguments: object) -> Measured:
    """Run `broker-operator` in a process of its own."""
    argv = [sys.executable, "-m", "broker_operator", *map(str, arguments)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(argv, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout, stderr = _content(out), _content(err)
    return Measured(process.returncode, stdout, stderr, usage.ru_maxrss / 1024)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def write(path: Path, content: Any) -> Path:
    """Write bytes and text as they are, all else as JSON."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def entry(topic: str = "t", partition: int = 0, replicas: object = (1, 2)) -> dict[str, Any]:
    return {"topic": topic, "partition": partition, "replicas": replicas}


def assignment(*entries: Any) -> dict[str, Any]:
    return {"version": 1, "partitions": list(entries)}


def skewed(partitions: int = 12) -> dict[str, Any]:
    """Return an assignment of topics `t` and `u` that leaves broker 4 empty."""
    lists = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
    return assignment(
        *(entry(t, n, lists[n % 3]) for t in ("t", "u") for n in range(partitions // 2))
    )


def brokers(*ids: int, dead: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Return brokers in racks a, b, c in turn, from broker 1 on."""
    return [{"id": b, "rack": RACKS[(b - 1) % len(RACKS)], "live": b not in dead} for b in ids]


class Inputs:
    """A folder with `a.json` and `b.json`, and the options that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.assignment = write(folder / "a.json", skewed())
        self.brokers = write(folder / "b.json", brokers(1, 2, 3, 4))
        self.options = ("--assignment", self.assignment, "--brokers", self.brokers)

    def plan(self, *more: object) -> Result:
        return run("plan", *self.options, *more)

    def written(self, name: str) -> Any:
        """Return the JSON of a file in the output folder."""
        return json.loads((self.out / name).read_text())

    def report(self, *more: object) -> dict[str, Any]:
        """Return what `--format json` prints."""
        result = self.plan("--format", "json", *more)
        assert result.exit_code == 0, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found
