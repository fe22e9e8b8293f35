"""Logging: one line a record, as JSON for machines or plain for a terminal.

`bound` names the object that all records of a pass are about; `extra=` adds to a single one::

    with bound(namespace="kafka", name="orders", reconcileID="6f1c"):
        log.info("Scaling out", extra={"brokers": 4})
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MASK = "***"
"""Stands for the value of a field whose name says that it is nobody's business."""

_SECRET = re.compile(
    r"passw|secret|token|credential|authorization|jaas|private.?key", re.IGNORECASE
)
_CHATTY = ("aiohttp.access", "asyncio", "kafka", "kazoo")
"""Libraries that tell their life; their warnings are enough, whatever the level."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"asctime", "message", "taskName"}
_KOPF_OBJECT = "k8s_ref"
_KOPF_INTERNAL = frozenset({_KOPF_OBJECT, "k8s_skip", "settings"})

_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound", default=MappingProxyType({}))


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add fields to every record logged in this block, in tasks started there too."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def setup(style: str = "json", level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all records of this process to one stream; what was set up before is replaced.

    Args:
        style: json or plain.
        level: The lowest level that is shown.
        stream: Standard error by default.

    Raises:
        ValueError: There is no such style or level.
    """
    if style not in _FORMATTERS:
        raise ValueError(f"log style {style!r}: must be one of {', '.join(_FORMATTERS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_FORMATTERS[style]())
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _fields(record).items():
            line[f"{key}_" if key in line else key] = value
        if error := _error(self, record):
            line["error"] = error
        return json.dumps(line, default=str, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """Time, level, logger and message, then the fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields = "".join(f" {key}={_word(value)}" for key, value in _fields(record).items())
        head = f"{_time(record)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        error = _error(self, record)
        return f"{head}{fields}\n{error}" if error else f"{head}{fields}"


_FORMATTERS: Mapping[str, type[logging.Formatter]] = {
    "json": JsonFormatter,
    "plain": PlainFormatter,
}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what is bound, what kopf says of its object, and what `extra` added, masked."""
    own = {
        key: value
        for key, value in vars(record).items()
        if key not in _STANDARD and key not in _KOPF_INTERNAL
    }
    about = getattr(record, _KOPF_OBJECT, None) or {}
    known = {key: about[key] for key in ("namespace", "name", "uid") if about.get(key)}
    masked: dict[str, Any] = _masked({**known, **_bound.get(), **own})
    return masked


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: MASK if _SECRET.search(str(k)) else _masked(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value


def _error(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(value: Any) -> str:
    """Return a value as one word, quoted if it is not one."""
    text = str(value)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)
