"""What failed is told where the end of a long log is."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.chaos import __main__ as chaos
from tests.chaos.results import RoundResult, Run
from tests.cluster.errors import ClusterError
from tests.failures import heed_sigterm, note_failure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "failures"
    monkeypatch.setenv("FAILURES", str(path))
    return path


def test_failures_are_noted_one_after_the_other(noted: Path) -> None:
    note_failure("first", "it\nbroke")
    note_failure("second", "x" * 5000)
    what, why, *rest = noted.read_text().splitlines()
    assert (what, why) == ("first", "    'it\\nbroke'")
    assert rest[0] == "second"
    assert len(rest[1]) < 1000


def test_nobody_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FAILURES", raising=False)
    monkeypatch.chdir(tmp_path)
    note_failure("first", "it broke")
    assert not list(tmp_path.iterdir())


def test_an_end_from_outside_is_as_gentle_as_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        heed_sigterm()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_round_of_chaos_that_failed_is_noted(
    noted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [
        RoundResult(3, "round 3: scale", "scale", [], [], 1.0),
        RoundResult(4, "round 4: scale", "scale", [], [], 1.0, problems=["one", "two"]),
    ]
    run = Run(7, "0.1.0", "", "2026-11-30", 0.0, rounds)
    monkeypatch.setattr(chaos, "play", lambda *_: run)
    result = CliRunner().invoke(chaos.main, ["--seed", "7", "--rounds", "3..4"])
    assert result.exit_code == 1
    told = "make chaos SEED=7 ROUNDS=4..4  # round 4: scale\n    'one | two'\n"
    assert noted.read_text() == told


@pytest.mark.parametrize(
    "error", [ClusterError("no cluster"), OSError("no disk"), KeyboardInterrupt()]
)
def test_chaos_that_ends_early_is_noted(
    noted: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> Run:
        raise error

    monkeypatch.setattr(chaos, "play", fail)
    result = CliRunner().invoke(chaos.main, ["--seed", "7", "--rounds", "3..4"])
    assert result.exit_code == 1
    assert noted.read_text() == f"chaos ended: make chaos SEED=7 ROUNDS=3..4\n    {repr(error)!r}\n"
