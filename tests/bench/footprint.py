"""What the operator's code weighs once it is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PROGRAM = (
    "import broker_operator.app;"
    "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
)


def measure(console: Console) -> float:
    """Print and return the MiB that a process has at its peak once it has imported the operator."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    weight = int(done.stdout) / 1024
    console.print(f"operator imported: {weight:.0f} MiB resident")
    return weight
