"""Every row of docs/failure-modes.md names live tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failure-modes.md"
COLUMNS = 5
ROWS = [
    line
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what happens")
]
LIVE = ("tests/kafka/", "tests/e2e/", "tests/chaos/")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_a_row_is_complete_and_names_its_live_tests(row: str) -> None:
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert len(cells) == COLUMNS
    assert all(cells), "no cell is empty"
    named = re.findall(r"`(tests/[^`]+\.py)::(\w+)`", cells[-1])
    assert named, "its test"
    for path, function in named:
        assert path.startswith(LIVE), "a live one"
        tree = ast.parse((ROOT / path).read_text())
        functions = {
            n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert function in functions, f"{path} has no {function}"
