"""The folder of a plan: written whole or not at all, and never over what is not ours."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker_operator.cli.errors import InputError
from broker_operator.core.planner import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from broker_operator.core.model import Assignment
    from broker_operator.core.planner import Plan
    from broker_operator.core.planner.batches import Batch

PLAN, UNDO, TARGET, REPORT, BATCHES = (
    "plan.json",
    "undo.json",
    "target.json",
    "report.json",
    "batches",
)
_DIGITS = 4
_BATCH = re.compile(rf"\d{{{_DIGITS},}}\.json")
_STAGING = ".broker-operator-"


class PlanFolder:
    """A folder that takes one plan. Files of an earlier one are replaced, all of them.

    Raises:
        InputError: It cannot be made or written, or `batches` holds what no plan has written.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        with self._told():
            self._path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._path, prefix=_STAGING):
                self._check_batches()

    def write(self, plan: Plan, batches: Sequence[Batch], report: Mapping[str, Any]) -> None:
        """Write a plan and everything about it. `report.json` comes last: with it, all is there."""
        undo = {
            topic: {number: plan.origin[topic][number] for number in partitions}
            for topic, partitions in plan.changes.items()
        }
        files = {
            PLAN: _lines(plan.changes),
            UNDO: _lines(undo),
            TARGET: _lines(plan.target),
            REPORT: as_text(report),
        }
        digits = max(_DIGITS, len(str(len(batches))))
        steps = {
            f"{number:0{digits}}.json": _lines(batch.entries)
            for number, batch in enumerate(batches, start=1)
        }
        self._replace(files, steps)

    def refuse(self, report: Mapping[str, Any]) -> None:
        """Write why there is no plan, and leave none of an earlier one to be taken for it."""
        self._replace({REPORT: as_text(report)}, {})

    def _replace(self, files: Mapping[str, str], batches: Mapping[str, str]) -> None:
        with self._told():
            staging = Path(tempfile.mkdtemp(dir=self._path, prefix=_STAGING))
            try:
                (staging / BATCHES).mkdir()
                for name, text in files.items():
                    (staging / name).write_text(text, encoding="utf-8")
                for name, text in batches.items():
                    (staging / BATCHES / name).write_text(text, encoding="utf-8")
                self._clear()
                if batches:
                    (staging / BATCHES).rename(self._path / BATCHES)
                for name in files:
                    (staging / name).replace(self._path / name)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _clear(self) -> None:
        """Remove what an earlier plan wrote, the report first: what is left is no whole plan."""
        self._check_batches()
        for name in (REPORT, PLAN, UNDO, TARGET):
            (self._path / name).unlink(missing_ok=True)
        folder = self._path / BATCHES
        if folder.is_dir():
            for batch in folder.iterdir():
                batch.unlink()
            folder.rmdir()

    def _check_batches(self) -> None:
        folder = self._path / BATCHES
        if not folder.is_dir():
            if folder.exists() or folder.is_symlink():
                raise InputError(f"--out: {folder} is no folder; move it away")
            return
        strange = sorted(
            entry.name
            for entry in folder.iterdir()
            if not _BATCH.fullmatch(entry.name) or not entry.is_file()
        )
        if folder.is_symlink() or strange:
            what = f"holds {strange[0]}" if strange else "is a link"
            raise InputError(
                f"--out: {folder} {what}, which no plan has written; choose another folder"
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a path that no folder can have
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"--out {self._path}: cannot be written: {reason}") from error


def as_text(report: Mapping[str, Any]) -> str:
    """Return a report as JSON for files and terminals."""
    return json.dumps(report, indent=2) + "\n"


def _lines(assignment: Assignment) -> str:
    return to_json(assignment) + "\n"
