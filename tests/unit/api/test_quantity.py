from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.api.quantity import format_bytes, format_seconds, parse_bytes, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("10Gi", 10 * 1024**3),
        ("1Ki", 1024),
        ("1k", 1000),
        ("2E", 2 * 10**18),
        ("1.5Mi", 3 * 512 * 1024),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("500m", Fraction(1, 2)),
        ("3u", Fraction(3, 10**6)),
        ("7n", Fraction(7, 10**9)),
        ("1e3", 1000),
        ("1E-2", Fraction(1, 100)),
        ("-2Ki", -2048),
        ("+1", 1),
        (12, 12),
        (0.5, Fraction(1, 2)),
    ],
)
def test_quantities_are_exact(text: str, value: Fraction) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 Gi", "Gi", "1gi", "1KI", "1e", "1ee3", "0x10", "1Gi2", ".", "nan", "1e999"],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(("text", "count"), [("1.1", 2), ("1m", 1), ("1Ki", 1024), ("0", 0)])
def test_bytes_are_rounded_up(text: str, count: int) -> None:
    assert parse_bytes(text) == count


def test_negative_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        parse_bytes("-1Ki")


@given(st.integers(0, 2**80))
def test_a_plain_number_is_itself(count: int) -> None:
    assert parse_bytes(str(count)) == parse_bytes(count) == count


@given(st.integers(0, 10**6), st.sampled_from(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]))
def test_binary_suffixes_are_powers_of_1024(count: int, suffix: str) -> None:
    power = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].index(suffix) + 1
    assert parse_bytes(f"{count}{suffix}") == count * 1024**power


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (220_622_848, "210.4 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3000 * 1024**4, "3000.0 TiB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (0.4, "0s"), (45, "45s"), (59.6, "1m0s"), (100, "1m40s"), (7500, "2h5m")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
