"""The tools that plan, where they come from, and how each is run on an input file.

Each is real: its own code, as its registry has it, does the planning. See docs/benchmarks for what
is called. A tool that cannot be had on a machine is left out of the tables with the reason.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.cache import cached, digest
from tests.cluster.debian import ensure_programs
from tests.cluster.jars import POM, kafka_libs
from tests.cluster.progress import say
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Callable

_HERE = Path(__file__).parent
_DRIVERS = "tests.bench.planner.drivers"
_JAVA = _HERE / "drivers" / "KafkaGenerate.java"
_LOCKS = _HERE / "locks"
_PIP_DEADLINE = 900


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that plans.

    Attributes:
        title: Its name, for a person.
        prepare: Gets what it needs, once, and returns the command line that input and output
            follow.
    """

    title: str
    prepare: Callable[[], list[str]]


def environment(lock: str, *, built_with: str = "") -> Path:
    """Return the Python of a virtualenv with exactly what `locks/LOCK.txt` names.

    `uv pip compile LOCK.in -o LOCK.txt` makes it, with the flags that the Makefile has for `lock`,
    from what `LOCK.in` asks for.

    Args:
        lock: Name of the hash-locked requirements, without their ending.
        built_with: A lock with what it takes to build a package that comes as source only.
    """
    locks = [_LOCKS / f"{name}.txt" for name in (built_with, lock) if name]

    def build(folder: Path) -> None:
        say(f"installing {lock} in a virtualenv of its own")
        run([sys.executable, "-m", "venv", folder], timeout=_PIP_DEADLINE)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        strict = ["--disable-pip-version-check", "--require-hashes", "--no-build-isolation"]
        for each in locks:
            run([*install, *strict, "--requirement", each], timeout=_PIP_DEADLINE)

    return cached(f"bench/{lock}", digest(sys.version, *locks), build) / "bin" / "python"


def _ours() -> list[str]:
    return [sys.executable, "-m", f"{_DRIVERS}.ours"]


def _kafka() -> list[str]:
    """Return how to run `KafkaGenerate` with the heap that Kafka's scripts give their tools."""
    ensure_programs({"javac": "default-jdk-headless"})
    libs = kafka_libs()

    def build(folder: Path) -> None:
        run(["javac", "-nowarn", "-cp", f"{libs}/*", "-d", folder, _JAVA], timeout=120)

    classes = cached("bench/kafka-generate", digest(POM, _JAVA), build)
    return ["java", "-Xmx256m", "-cp", f"{classes}:{libs}/*", "KafkaGenerate"]


def _yelp(balancer: str) -> Callable[[], list[str]]:
    return lambda: [str(environment("kafka-utils")), "-m", f"{_DRIVERS}.yelp", balancer]


def _linkedin() -> list[str]:
    python = environment("kafka-tools", built_with="build")
    return [str(python), "-m", f"{_DRIVERS}.linkedin"]


OURS = "ours"
TOOLS = {
    OURS: Tool("broker-operator", _ours),
    "kafka": Tool("Kafka --generate", _kafka),
    "count": Tool("kafka-utils, count", _yelp("count")),
    "genetic": Tool("kafka-utils, genetic", _yelp("genetic")),
    "linkedin": Tool("kafka-assigner", _linkedin),
}
