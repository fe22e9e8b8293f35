"""Kubernetes quantities (`10Gi`, `500m`, `1.5`) as exact numbers."""

from __future__ import annotations

import re
from fractions import Fraction

_SUFFIXES = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{s: Fraction(1000) ** i for i, s in enumerate("kMGTPE", start=1)},
    **{f"{s}i": Fraction(1024) ** i for i, s in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d{1,2})|([A-Za-z]{0,2}))")


def parse_quantity(text: str | float) -> Fraction:
    """Return the exact value of a quantity.

    Raises:
        ValueError: It is not a quantity as the Kubernetes API defines it.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None or (match[3] or "") not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity such as 512Mi, 10Gi or 500m")
    exponent = Fraction(10) ** int(match[2]) if match[2] else Fraction(1)
    return Fraction(match[1]) * exponent * _SUFFIXES[match[3] or ""]


def parse_bytes(text: str | float) -> int:
    """Return a quantity of bytes, rounded up to whole ones.

    Raises:
        ValueError: It is not a quantity, or it is negative.
    """
    value = parse_quantity(text)
    if value < 0:
        raise ValueError(f"{text!r} is negative")
    return -int(-value // 1)


def format_bytes(count: int) -> str:
    """Return bytes for people, in binary units with at most one decimal: `210.4 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.{1 if power else 0}f} {units[power]}"


def format_seconds(seconds: float) -> str:
    """Return a duration the way Kubernetes prints ages: `45s`, `1m40s`, `2h5m`."""
    total = max(0, round(seconds))
    hours, rest = divmod(total, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{secs}s" if minutes else f"{secs}s"
