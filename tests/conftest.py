"""What all suites share: how Hypothesis runs, and the seed of what is left to chance."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# How fast an example is drawn or run depends on what else the machine does: speed is measured in
# tests/bench, never asserted here.
settings.register_profile(
    "correctness", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("correctness")

_REASON = 600
"""Characters of a failure's reason."""

SEED = int(os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**6))))
"""Of every choice that a test leaves to chance; $SEED repeats a run. Left to all test processes."""


def pytest_report_header() -> str:
    """Name the seed, so that a failure can be had again."""
    return f"seed: {SEED} (SEED={SEED} repeats it)"


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Add each failure and why to the file $FAILURES, for who sees only the end of a long log."""
    if not (path := os.environ.get("FAILURES")):
        return
    with Path(path).open("a", encoding="utf-8") as file:
        for report in terminalreporter.getreports("failed") + terminalreporter.getreports("error"):
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = crash.message if crash else str(report.longrepr)
            file.write(f"{report.nodeid} ({report.when})\n    {reason[:_REASON]!r}\n")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Choices of one test: the same for the same seed, whatever other tests run."""
    return random.Random(f"{SEED} {request.node.nodeid}")  # noqa: S311 - nothing secret
