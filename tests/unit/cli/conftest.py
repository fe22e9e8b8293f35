from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.runs import Inputs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path)
