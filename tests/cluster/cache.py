"""Artefacts built once and kept outside the checkout, keyed by what they were built from."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT_KEYS = 2
"""How many artefacts of one name stay: the current one and the one of the branch next door."""

_DAY = 24 * 3600.0
_LOCK = ".lock"
_UNFINISHED = ".building"


def cache_root() -> Path:
    """Return the folder that holds everything built and every cluster's state.

    `BROKER_OPERATOR_CACHE` names it outright; otherwise it is `broker-operator` in the user's
    cache folder. It need not exist yet.
    """
    if own := os.environ.get("BROKER_OPERATOR_CACHE"):
        return Path(own).absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").absolute() / "broker-operator"


def digest(*inputs: bytes | str | Path) -> str:
    """Return 20 hex digits that change whenever an input does.

    A path stands for its content: a file for its bytes, a folder for the relative names, bytes and
    executable bits of everything in it. Where it lies and when it was written does not count.

    Raises:
        FileNotFoundError: A path does not exist.
    """
    total = hashlib.sha256()
    for item in inputs:
        for part in _parts(item):
            total.update(f"{len(part)}:".encode())
            total.update(part)
    return total.hexdigest()[:20]


def cached(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the artefact `name` of this `key`, calling `build` only if it is not there yet.

    `build` gets a path that does not exist and leaves a file or a folder there. Only a finished
    artefact gets its final name, so a build that fails or is killed leaves nothing to trip over,
    and a lock keeps two processes from building one name at the same time.

    Args:
        name: What it is; may contain slashes. A folder of that name appears in the cache.
        key: Digest of everything that the result depends on, used as the file name.
        build: Makes the artefact; what it raises comes through unchanged.

    Raises:
        RuntimeError: `build` returned without leaving anything.
    """
    shelf = cache_root() / name
    finished = shelf / key
    shelf.mkdir(parents=True, exist_ok=True)
    with locked(shelf / _LOCK):
        if not finished.exists():
            _build(finished, build)
        os.utime(finished)
        _prune(shelf)
    return finished


@contextmanager
def scratch_folder(name: str) -> Iterator[str]:
    """Make a folder for a build, and remove it; those of builds that died go after a day.

    Beside the cache and not in /tmp, which may be small, and where devices may not be made.
    """
    shelf = cache_root() / "scratch"
    shelf.mkdir(parents=True, exist_ok=True)
    for old in shelf.iterdir():
        if time.time() - old.stat().st_mtime > _DAY:
            _remove(old)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=shelf) as folder:
        yield folder


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`; it is released even if the process is killed.

    Args:
        path: Made if missing, never removed.
        on_wait: Called once if another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(finished: Path, build: Callable[[Path], None]) -> None:
    for leftover in finished.parent.glob(f"*{_UNFINISHED}"):  # its builder died: we hold the lock
        _remove(leftover)
    unfinished = finished.with_name(f"{finished.name}{_UNFINISHED}")
    try:
        build(unfinished)
        if not unfinished.exists():
            raise RuntimeError(f"the build of {finished} left nothing at {unfinished}")
        unfinished.rename(finished)
    finally:
        _remove(unfinished)


def _prune(shelf: Path) -> None:
    """Drop all but the artefacts used last; folders of other names below this one are not ours."""
    keys = [path for path in shelf.iterdir() if path.name != _LOCK and not (path / _LOCK).exists()]
    for old in sorted(keys, key=lambda path: path.stat().st_mtime_ns, reverse=True)[KEPT_KEYS:]:
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _parts(item: bytes | str | Path) -> Iterator[bytes]:
    match item:
        case bytes():
            yield from (b"bytes", item)
        case str():
            yield from (b"str", item.encode())
        case Path() if item.is_dir():
            yield b"folder"
            for path in sorted(item.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield from (path.relative_to(item).as_posix().encode(), _content(path))
            yield b"end of folder"
        case Path():
            yield from (b"file", _content(item))


def _content(path: Path) -> bytes:
    mark = b"x" if path.stat().st_mode & 0o100 else b"-"
    return mark + path.read_bytes()
