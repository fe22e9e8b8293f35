"""What all suites share: how Hypothesis runs, and the seed of what is left to chance."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.failures import note_failure

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# How fast an example is drawn or run depends on what else the machine does: speed is measured in
# tests/bench, never asserted here.
settings.register_profile(
    "correctness", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("correctness")

SEED = int(os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**6))))
"""Of every choice that a test leaves to chance; $SEED repeats a run. Left to all test processes."""


def pytest_report_header() -> str:
    """Name the seed, so that a failure can be had again."""
    return f"seed: {SEED} (SEED={SEED} repeats it)"


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Note each failure and why, for who sees only the end of a long log."""
    for report in terminalreporter.getreports("failed") + terminalreporter.getreports("error"):
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else str(report.longrepr)
        note_failure(f"{report.nodeid} ({report.when})", reason)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Choices of one test: the same for the same seed, whatever other tests run."""
    return random.Random(f"{SEED} {request.node.nodeid}")  # noqa: S311 - nothing secret
