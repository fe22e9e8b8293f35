"""What the operator carries, and what each command does: memory is why the commands are lazy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.cli.runs import run

_LOADED = "; import sys; print(*sorted(sys.modules))"


def modules(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program + _LOADED], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_operator_carries_nothing_of_the_command_line() -> None:
    loaded = modules("import broker_operator.app")
    assert "kopf" in loaded
    assert not {name for name in loaded if name.startswith(("broker_operator.cli", "rich"))}


@pytest.mark.parametrize("command", ["version", "run --help"])
def test_run_and_version_load_no_other_command(command: str) -> None:
    loaded = modules(
        "from broker_operator.cli.main import main\n"
        f"main({command.split()!r}, standalone_mode=False)"
    )
    ours = {name for name in loaded if name.startswith("broker_operator.")}
    assert ours == {"broker_operator.cli", "broker_operator.cli.main"}
    assert not {name for name in loaded if name.partition(".")[0] in {"rich", "kafka", "kazoo"}}


def test_a_plan_from_files_loads_no_client_of_kafka() -> None:
    loaded = modules("import broker_operator.cli.plan, broker_operator.cli.verify")
    assert not {name for name in loaded if name.partition(".")[0] in {"kafka", "kazoo", "kopf"}}


def test_the_plugin_loads_no_client_of_kafka_and_nothing_that_only_the_operator_needs() -> None:
    loaded = modules("import broker_operator.cli.brokers.main")
    others = {"kafka", "kazoo", "kopf", "prometheus_client"}
    assert not {name for name in loaded if name.partition(".")[0] in others}
    assert not {name for name in loaded if name.startswith("broker_operator.reconcile")}


def test_help_names_every_command() -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    for command in ("plan", "run", "verify", "version"):
        assert f"\n  {command} " in shown.stdout
        assert run(command, "--help").exit_code == 0
    assert run("frobnicate").exit_code == 2
