from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from broker_operator.cli.output import progress as progress_module
from broker_operator.cli.output.progress import progress
from broker_operator.cli.output.screen import can_show
from tests.unit.cli.runs import assignment, entry, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.runs import Inputs


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def large(folder: Path, inputs: Inputs, count: int, racks: int) -> None:
    """Make a cluster of many brokers with names and numbers as long as they get; one is new."""
    lists = [[n % count, (n + 1) % count, (n + 2) % count] for n in range(count * 10)]
    write(inputs.assignment, assignment(*(entry("t", n, its) for n, its in enumerate(lists))))
    rack = [f"europe-west-{b % racks}" for b in range(count + 1)] if racks else [None] * (count + 1)
    write(inputs.brokers, [{"id": b, "rack": r} for b, r in enumerate(rack)])
    write(folder / "s.json", {"t": {str(n): 10**12 + n for n in range(len(lists))}})


def test_a_plan_as_people_see_it(inputs: Inputs) -> None:
    sizes = write(inputs.folder / "s.json", {"t": {str(n): 2**20 for n in range(6)}})
    result = inputs.plan("--sizes", sizes, "--throttle", "1Mi")
    assert result.exit_code == 0
    assert "6 moves, the fewest possible (lower bound 6)." in result.stdout
    assert "The sizes of 6 partitions are not known: they count as the mean" in result.stdout
    assert "6.0 MiB to copy" in result.stdout
    assert "at 1.0 MiB/s a broker" in result.stdout
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "0→6" in rows["4"]
    assert "█" in rows["4"]
    assert "new" in rows["4"]
    assert "12→12 ████████████ ████████████" in rows["2"]
    assert "\x1b" not in result.stdout
    assert not result.stderr
    assert widest(result.stdout) <= 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--throttle", "1Mi"), "without sizes, the time at 1.0 MiB/s a broker cannot be told"),
        ((), "with --throttle, the time is told"),
        (("--pin", "t"), "Not touched: 1 pinned topic"),
        (("--remove", "4", "--exclude", "2"), "nothing to do"),
        (("--remove", "1"), "removed"),
    ],
)
def test_what_is_said_besides(inputs: Inputs, options: tuple[str, ...], words: str) -> None:
    assert words in inputs.plan(*options).stdout


def test_states_of_brokers(inputs: Inputs) -> None:
    write(
        inputs.brokers,
        [{"id": 1, "live": False}, {"id": 2}, {"id": 3}, {"id": 4}, {"id": 5}, {"id": 6}],
    )
    shown = inputs.plan("--remove", "2", "--exclude", "3").stdout
    for state in ("dead", "removed", "excluded", "new"):
        assert state in shown


@pytest.mark.parametrize("racks", [0, 3, 30, 300])
def test_300_brokers_stay_readable(inputs: Inputs, racks: int) -> None:
    large(inputs.folder, inputs, 300, racks)
    result = inputs.plan("--sizes", inputs.folder / "s.json", "--remove", "17")
    assert result.exit_code == 0
    assert widest(result.stdout) <= 100
    assert len(result.stdout.splitlines()) < 85
    assert "more brokers change less than these; report.json and --format json" in result.stdout
    assert ("more racks change less" in result.stdout) == (racks == 300)
    assert "…" not in result.stdout
    assert " 300 " in result.stdout
    assert "  17 " in result.stdout
    assert ("europe-w~" in result.stdout) == (racks > 0)


def test_a_terminal_that_knows_ascii_alone_is_spared(inputs: Inputs) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "broker_operator", "plan", *map(str, inputs.options)],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"0>6" in done.stdout
    assert b"##" in done.stdout


def test_racks_that_look_like_markup_are_text(inputs: Inputs) -> None:
    write(inputs.brokers, [{"id": b, "rack": "[red]\x1b"} for b in (1, 2, 3, 4)])
    shown = inputs.plan().stdout
    assert "[red]\\x1b" in shown


def test_what_an_encoding_can_show() -> None:
    for encoding, fine in (("utf-8", True), ("ascii", False), ("no-such", False)):
        stub: Any = type("Stub", (), {"encoding": encoding})()
        assert can_show("█", stub) is fine


def test_progress_shows_up_late_and_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(*, terminal: bool, patience: float) -> str:
        monkeypatch.setattr(progress_module, "PATIENCE", patience)
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=80)
        with progress(("reading", "planning"), console) as step:
            step()
            step()
            end = time.monotonic() + (10 if terminal and not patience else 0)
            while "planning" not in out.getvalue() and time.monotonic() < end:
                time.sleep(0.01)
        return out.getvalue()

    assert "1/2" in drawn(terminal=True, patience=0)
    assert drawn(terminal=True, patience=60) == ""
    assert drawn(terminal=False, patience=0) == ""


def test_nothing_is_drawn_for_a_quick_plan_on_a_terminal(inputs: Inputs) -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "broker_operator", "plan", *map(str, inputs.options)],
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            check=True,
        )
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1)
    finally:
        os.close(theirs)
        os.close(ours)
