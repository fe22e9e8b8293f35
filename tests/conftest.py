"""What all suites share: how Hypothesis runs, and the seed of what is left to chance."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, settings

from tests.failures import heed_sigterm, note_failure

# How fast an example is drawn or run depends on what else the machine does: speed is measured in
# tests/bench, never asserted here.
settings.register_profile(
    "correctness", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("correctness")

SEED = int(os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**6))))
"""Of every choice that a test leaves to chance; $SEED repeats a run. Left to all test processes."""

WORKER = "PYTEST_XDIST_WORKER" in os.environ
"""Whether another process has started this one to run tests for it, and is told how they went."""


def pytest_report_header() -> str:
    """Name the seed, so that a failure can be had again."""
    return f"seed: {SEED} (SEED={SEED} repeats it)"


def pytest_configure() -> None:
    """Be ended as gently as by Ctrl-C: what tests have started goes, and failures are told."""
    if not WORKER:
        heed_sigterm()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a failure and why at once, for who sees only the end of a long log."""
    if report.failed and not WORKER:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else str(report.longrepr)
        note_failure(f"{report.nodeid} ({report.when})", reason)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Choices of one test: the same for the same seed, whatever other tests run."""
    return random.Random(f"{SEED} {request.node.nodeid}")  # noqa: S311 - nothing secret
