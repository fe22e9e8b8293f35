"""The example of `docs/reference/cli.md` does what it shows, and the tables name every option."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from broker_operator.cli.plan import plan
from broker_operator.cli.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli.runs import Inputs

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
END = "EOF"


class Example(NamedTuple):
    command: str
    shown: str


def examples(text: str) -> Iterator[Example]:
    """Yield every command of the console blocks with what it is said to print."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            taken = lines.index(END) + 1 if f"<<'{END}'" in lines[0] else 1
            while lines[taken - 1].endswith("\\"):
                taken += 1
            yield Example("\n".join(lines[:taken]), "\n".join(lines[taken:]).strip())


def without_hash(text: str) -> str:
    """Leave out what identifies a plan: it depends on which of many best plans is found."""
    return re.sub(r"\bPlan [0-9a-f]{12}\b", "Plan", text)


def test_the_example_prints_what_it_shows(tmp_path: Path) -> None:
    """Run it as a person would: command by command in one folder."""
    folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONUTF8": "1"}
    wrong: list[str] = []
    for command, shown in examples(DOCUMENT.read_text(encoding="utf-8")):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        printed = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()
        if without_hash(printed) != without_hash(shown):
            wrong.append(f"$ {command}\n{printed}")
    assert not wrong, "\n".join(wrong)


def test_every_option_and_every_key_is_documented(inputs: Inputs) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for command in (plan, verify):
        for parameter in command.params:
            assert isinstance(parameter, click.Option)
            assert f"`{parameter.opts[0]}" in text, parameter.opts
    report = inputs.report()
    for key in [*report, *report["brokers"][0], *report["racks"][0]]:
        assert re.search(rf"\b{re.sub('_(before|after)$', '', key)}\b", text), key
