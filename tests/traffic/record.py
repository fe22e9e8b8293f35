"""The checked record: who wrote it, where to, as which number, when, and a checksum over it all."""

import struct
import zlib
from dataclasses import dataclass

_MAGIC = b"CTR1"
# crc32 of all that follows, partition, sequence, sent (ns), length of producer, length of topic
_HEAD = struct.Struct(">4sIIQQBB")
_CRC = struct.Struct(">4sI")
_MAX_NAME = 255


class CorruptRecordError(ValueError):
    """The bytes are no checked record, or no longer the one that was written."""


@dataclass(frozen=True, slots=True)
class Record:
    """One checked record.

    Attributes:
        producer: Name of the producer's run; sequences count separately for each.
        topic: Topic that it was written to.
        partition: Partition that it was written to.
        sequence: 0, 1, 2, ... within (producer, topic, partition).
        sent_ns: Wall clock at the time of sending, nanoseconds since the epoch.
    """

    producer: str
    topic: str
    partition: int
    sequence: int
    sent_ns: int


def encode(record: Record, padding: bytes = b"") -> bytes:
    """Return the record's bytes followed by the padding; the checksum covers both.

    Raises:
        ValueError: If producer or topic is longer than 255 bytes.
    """
    producer, topic = record.producer.encode(), record.topic.encode()
    if max(len(producer), len(topic)) > _MAX_NAME:
        raise ValueError(f"producer and topic may have {_MAX_NAME} bytes each, not more")
    head = _HEAD.pack(
        _MAGIC, 0, record.partition, record.sequence, record.sent_ns, len(producer), len(topic)
    )
    body = b"".join((head[_CRC.size :], producer, topic, padding))
    return _CRC.pack(_MAGIC, zlib.crc32(body)) + body


def decode(value: bytes | None) -> Record:
    """Return the record in a message's value.

    Raises:
        CorruptRecordError: If the value is none of ours, or its checksum is wrong.
    """
    if value is None or len(value) < _HEAD.size or not value.startswith(_MAGIC):
        raise CorruptRecordError("not a checked record")
    _, crc, partition, sequence, sent_ns, producer_size, topic_size = _HEAD.unpack_from(value)
    if zlib.crc32(value[_CRC.size :]) != crc:
        raise CorruptRecordError("the checksum does not match")
    topic_at = _HEAD.size + producer_size
    return Record(
        producer=value[_HEAD.size : topic_at].decode(),
        topic=value[topic_at : topic_at + topic_size].decode(),
        partition=partition,
        sequence=sequence,
        sent_ns=sent_ns,
    )


def padding_for(producer: str, topic: str, size: int) -> int:
    """Return how many bytes of padding make a record of `size` bytes; 0 if it is larger anyway."""
    return max(0, size - _HEAD.size - len(producer.encode()) - len(topic.encode()))
