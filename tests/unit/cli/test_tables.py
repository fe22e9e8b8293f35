from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from broker_operator.cli.output import progress as progress_module
from broker_operator.cli.output import screen
from broker_operator.cli.output.progress import progress
from broker_operator.cli.output.screen import can_show, shortened
from broker_operator.cli.output.tables import _left_out
from tests.unit.cli.runs import assignment, entry, write

if TYPE_CHECKING:
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
    assert "more brokers change as much as these or less; report.json" in result.stdout
    assert ("more racks change as much" in result.stdout) == (racks == 300)
    assert "…" not in result.stdout
    assert " 300 " in result.stdout
    assert "  17 " in result.stdout
    assert ("europe-west-" in result.stdout) == (racks > 0)


def test_zones_can_be_told_apart(inputs: Inputs) -> None:
    zones = ["us-east-1a", "us-east-1b", "ap-northeast-somewhere-3a", "ap-northeast-somewhere-3b"]
    write(inputs.brokers, [{"id": b, "rack": zone} for b, zone in enumerate(zones, 1)])
    shown = inputs.plan().stdout
    for zone in ("us-east-1a", "us-east-1b", "ap-northea~ewhere-3a", "ap-northea~ewhere-3b"):
        assert shown.count(f" {zone} ") == 1


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_a_narrow_terminal_gets_every_number(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    sizes = {t: {str(n): 2**30 for n in range(6)} for t in "tu"}
    zones = [{"id": b, "rack": f"us-east-1{'abcd'[b - 1]}"} for b in (1, 2, 3, 4)]
    write(inputs.brokers, zones)
    path = write(inputs.folder / "s.json", sizes)
    monkeypatch.setattr(screen, "WIDTH", width)
    shown = inputs.plan("--sizes", path).stdout
    row = next(line for line in shown.splitlines() if "new" in line)
    for number in (" 0→9 ", " 0→3 ", " 9.0 GiB     0 B"):
        assert number in row
    assert "…" not in shown.partition("broker ")[2]
    assert ("us-east-1d" in row) == (width >= 60)
    assert ("██" in row) == (width >= 80)


def test_racks_that_stand_in_the_way_are_said(inputs: Inputs) -> None:
    write(inputs.assignment, assignment(*(entry("t", n, [1, 2]) for n in range(6))))
    write(inputs.brokers, [{"id": 1, "rack": "a"}, {"id": 2, "rack": "b"}, {"id": 3, "rack": "b"}])
    assert "The rack rule allows no better balance" in inputs.plan().stdout
    write(inputs.brokers, [{"id": 1}, {"id": 2}, {"id": 3}])
    assert "rack rule" not in inputs.plan().stdout


@pytest.mark.parametrize("form", ["table", "json"])
def test_an_output_that_is_full(inputs: Inputs, form: str) -> None:
    inputs.plan("--out", inputs.out)
    source = ["--assignment", str(inputs.assignment), "--format", form]
    commands: list[list[str]] = [
        ["plan", *source, "--brokers", str(inputs.brokers)],
        ["verify", *source, "--plan", str(inputs.out)],
    ]
    for command in commands:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "broker_operator", *command],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 2
        assert done.stderr == "Error: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("form", ["table", "json"])
def test_an_output_that_nobody_reads_any_more(inputs: Inputs, form: str) -> None:
    read, wrote = os.pipe()
    os.close(read)
    options = [*map(str, inputs.options), "--format", form]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "broker_operator", "plan", *options],
            stdout=wrote,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(wrote)
    assert done.returncode == 141
    assert not done.stderr


def test_ctrl_c(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_request: object) -> None:
        raise KeyboardInterrupt

    module = import_module("broker_operator.cli.plan")
    monkeypatch.setattr(module, "make_plan", interrupt)
    result = inputs.plan("--out", inputs.out)
    assert result.exit_code == 130
    assert result.stderr == "Interrupted.\n"


def test_one_that_is_left_out_is_one() -> None:
    out = io.StringIO()
    _left_out(1, "rack", Console(file=out, width=100))
    assert out.getvalue().startswith("1 more rack changes as much")


def test_the_middle_of_a_name_is_left_out() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcdefg-17", 6) == "abc~17"


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
