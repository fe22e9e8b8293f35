"""The folder of a plan: written whole or not at all, and never over what is not ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker_operator.cli.errors import InputError
from broker_operator.core.planner import to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from broker_operator.core.model import Assignment
    from broker_operator.core.planner import Plan
    from broker_operator.core.planner.batches import Batch

PREVIOUS = "previous"
"""Folder in the folder: the plan that was there before a run was refused."""
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
_STALE = 3600.0
"""Seconds after which a run that has left its files is no more."""
_NEW, _OLD = "new", "old"
_ALL = (REPORT, PLAN, UNDO, TARGET, BATCHES)


class PlanFolder:
    """A folder that takes one plan. Files of an earlier one are replaced, all of them.

    Args:
        path: The folder; made if there is none.
        inputs: Files that are read: none of them may be one that is written.

    Raises:
        InputError: It cannot be made or written, or what would be replaced is an input or nothing
            that a plan has written.
    """

    def __init__(self, path: str, inputs: Iterable[str] = ()) -> None:
        self._path = Path(path)
        with self._told():
            self._path.mkdir(parents=True, exist_ok=True)
            self._check_inputs(inputs)
            with tempfile.TemporaryDirectory(dir=self._path, prefix=_STAGING):
                self._check_batches()
                self._check_files()
            self._clean()

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

    def refuse(self, report: Mapping[str, Any]) -> Path | None:
        """Write why there is no plan. An earlier one is not taken for it, and not lost either.

        Returns:
            The folder that the earlier plan is in now, None if there was none.
        """
        keep = any((self._path / name).exists() for name in (PLAN, UNDO, TARGET, BATCHES))
        return self._replace({REPORT: as_text(report)}, {}, keep=keep)

    def _replace(
        self, files: Mapping[str, str], batches: Mapping[str, str], *, keep: bool = False
    ) -> Path | None:
        """Put new files in place of old ones, which are kept in the returned folder if wanted."""
        with self._told():
            staging = Path(tempfile.mkdtemp(dir=self._path, prefix=_STAGING))
            try:
                new, old = staging / _NEW, staging / _OLD
                for folder in (new, old, *([new / BATCHES] if batches else ())):
                    folder.mkdir()
                for name, text in batches.items():
                    (new / BATCHES / name).write_text(text, encoding="utf-8")
                for name, text in files.items():
                    (new / name).write_text(text, encoding="utf-8")
                self._check_batches()
                kept = self._free() if keep else None
                self._swap(new, old, kept)
            except BaseException:
                if not _holds_something(staging / _OLD):
                    shutil.rmtree(staging, ignore_errors=True)
                raise
            shutil.rmtree(staging, ignore_errors=True)
            return kept

    def _swap(self, new: Path, old: Path, kept: Path | None) -> None:
        """Move the old files out and the new ones in, or none of them if any cannot be moved.

        The report goes first and comes last: without it, what is there is no whole plan.
        """
        moved: list[tuple[Path, Path]] = []
        out = [(self._path / name, old / name) for name in _ALL]
        into = [(new / name, self._path / name) for name in reversed(_ALL)]
        try:
            for source, destination in (*out, *into, *([(old, kept)] if kept else ())):
                if source.exists():
                    source.rename(destination)
                    moved.append((source, destination))
        except BaseException:
            for source, destination in reversed(moved):
                with suppress(OSError):
                    destination.rename(source)
            raise

    def _free(self) -> Path:
        """Return a name for an earlier plan's folder that nothing has yet."""
        names = chain([PREVIOUS], (f"{PREVIOUS}-{number}" for number in count(2)))
        folders = (self._path / name for name in names)
        return next(folder for folder in folders if not os.path.lexists(folder))

    def _clean(self) -> None:
        """Remove what runs that were killed long ago have left; keep what they had moved away."""
        for staging in self._path.glob(f"{_STAGING}*"):
            with suppress(FileNotFoundError):  # a run beside this one has just ended
                if time.time() - staging.stat().st_mtime <= _STALE:
                    continue
                if _holds_something(staging / _OLD):
                    (staging / _OLD).rename(self._free())
                shutil.rmtree(staging, ignore_errors=True)

    def _check_inputs(self, inputs: Iterable[str]) -> None:
        ours = {(self._path / name).resolve() for name in _ALL}
        for name in inputs:
            file = Path(name).resolve()
            if file in ours or (self._path / BATCHES).resolve() in file.parents:
                raise InputError(
                    f"--out {self._path}: {name} is read, and would be replaced; choose another "
                    "folder"
                )

    def _check_files(self) -> None:
        """Check that a report of ours stands beside what would be replaced."""
        there = [name for name in reversed(_ALL) if os.path.lexists(self._path / name)]
        if not there:
            return
        try:
            ours = "refused" in json.loads((self._path / REPORT).read_bytes())
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours:
            which = "beside no report.json of a plan" if there[0] != REPORT else "of somebody else"
            raise InputError(
                f"--out: {self._path} holds {there[0]} {which}; move it away or choose another "
                "folder"
            )

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


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def as_text(report: Mapping[str, Any]) -> str:
    """Return a report as JSON for files and terminals."""
    return json.dumps(report, indent=2) + "\n"


def half_way(held: Assignment, plan: Plan, pinned: Collection[str]) -> list[dict[str, Any]]:
    """Describe the partitions that are half-way through a move, for `verify` to count copies.

    Args:
        held: Brokers with full copies.
        plan: Where they are going anyway, and where the plan takes them.
        pinned: Topics that the plan does not count.
    """
    return [
        {
            "topic": topic,
            "partition": number,
            "held": list(copies),
            "before": list(plan.origin[topic][number]),
            "target": list(plan.target[topic][number]),
        }
        for topic, its in sorted(held.items())
        if topic not in pinned
        for number, copies in sorted(its.items())
    ]


def _lines(assignment: Assignment) -> str:
    return to_json(assignment) + "\n"
