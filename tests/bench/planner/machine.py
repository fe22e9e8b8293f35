"""What the numbers were measured on and with."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.cluster.jars import POM
from tests.cluster.shell import run

_LOCKS = Path(__file__).with_name("locks")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and the versions on it, as text; no names, no addresses, no paths."""

    date: str
    hardware: str
    software: str

    @classmethod
    def here(cls) -> Machine:
        """Return what is known of this machine."""
        versions = {
            "broker-operator": version("broker-operator"),
            "Kafka": _kafka(),
            "kafka-utils": _locked("kafka-utils"),
            "kafka-tools": _locked("kafka-tools"),
            "Python": platform.python_version(),
            "Java": _java(),
        }
        return cls(
            date=dt.datetime.now(dt.UTC).date().isoformat(),
            hardware=f"{os.cpu_count()} cores of {_processor()}, {_memory():.0f} GiB of memory,"
            f" Linux {platform.release().partition('-')[0]}",
            software=", ".join(f"{name} {which}" for name, which in versions.items()),
        )


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _locked(name: str) -> str:
    text = (_LOCKS / f"{name}.txt").read_text()
    return text.partition(f"{name}==")[2].split()[0]


def _kafka() -> str:
    """Return the version of the jars, as our pom names it."""
    found = re.search(r"<kafka\.version>(.+?)<", POM.read_text())
    return found[1] if found else "?"


def _java() -> str:
    found = re.search(r'version "(.+?)"', run(["sh", "-c", "java -version 2>&1 || true"]))
    return found[1] if found else "none"
