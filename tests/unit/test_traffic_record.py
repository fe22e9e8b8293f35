"""A record comes back as it was sent, or is called corrupt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.traffic.record import CorruptRecordError, Record, decode, encode, padding_for

names = st.text(max_size=60)
records = st.builds(
    Record,
    producer=names,
    topic=names,
    partition=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 2**64 - 1),
    sent_ns=st.integers(0, 2**64 - 1),
)


@given(records, st.binary(max_size=50))
def test_a_record_survives_the_wire(record: Record, padding: bytes) -> None:
    assert decode(encode(record, padding)) == record


@given(records, st.binary(max_size=50), st.data())
def test_any_changed_byte_is_noticed(record: Record, padding: bytes, data: st.DataObject) -> None:
    value = bytearray(encode(record, padding))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptRecordError):
        decode(bytes(value))


@pytest.mark.parametrize("value", [None, b"", b"CTR1", b"another program's record" * 3])
def test_what_is_not_ours_is_corrupt(value: bytes | None) -> None:
    with pytest.raises(CorruptRecordError, match="not a checked record"):
        decode(value)


def test_a_cut_record_is_corrupt() -> None:
    value = encode(Record("p", "t", 0, 0, 0), b"x" * 20)
    with pytest.raises(CorruptRecordError, match="checksum"):
        decode(value[:-1])


def test_padding_makes_the_size_asked_for() -> None:
    padding = b"x" * padding_for("producer", "topic", 200)
    assert len(encode(Record("producer", "topic", 3, 4, 5), padding)) == 200
    assert padding_for("producer", "topic", 10) == 0


def test_a_name_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        encode(Record("p" * 256, "t", 0, 0, 0))
