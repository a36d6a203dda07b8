"""The wire format of protocol buffers, as far as checkpoints of MindSpore and ONNX files use it.

A message is a sequence of fields. A field is a key (its number and the wire type of its value) and
a value: a varint with seven bits per byte, or a length and as many bytes
(https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from isotune.weights.formats.files import Unreadable

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
LONGEST_VARINT = 10
DAMAGED = "it is damaged or cut off"


@dataclass(frozen=True)
class Field:
    """A field of a message, whose bytes are not read yet.

    Attributes:
        number: the field's number in the message type.
        kind: wire type: :data:`VARINT`, :data:`BYTES`, :data:`FIXED_32` or :data:`FIXED_64`.
        value: the value of a varint, else 0.
        start: position in the file of the value's first byte.
        end: position after its last byte.
    """

    number: int
    kind: int
    value: int
    start: int
    end: int


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """Yields the fields of the message between two positions of a file.

    Raises:
        Unreadable: the bytes are not a message, or a field extends beyond `end`.
    """
    position = start
    while position < end:
        key, position = _varint(file, position, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise Unreadable(DAMAGED)
        value, begin = 0, position
        if kind == VARINT:
            value, position = _varint(file, position, end)
        elif kind == BYTES:
            length, begin = _varint(file, position, end)
            position = begin + length
        elif kind in (FIXED_32, FIXED_64):
            position += 4 if kind == FIXED_32 else 8
        else:
            raise Unreadable(DAMAGED)
        if position > end:
            raise Unreadable(DAMAGED)
        yield Field(number, kind, value, begin, position)


def _varint(file: BinaryIO, position: int, end: int) -> tuple[int, int]:
    """Returns the number at `position`, below 2**64, and the position after it."""
    file.seek(position)
    read = file.read(min(LONGEST_VARINT, end - position))
    value = 0
    for count, byte in enumerate(read):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, position + count + 1
    raise Unreadable(DAMAGED)


def varints(file: BinaryIO, start: int, end: int) -> list[int]:
    """Reads consecutive varints between two positions of a file.

    Raises:
        Unreadable: the last one is cut off.
    """
    values = []
    while start < end:
        value, start = _varint(file, start, end)
        values.append(value)
    return values


def varint(value: int) -> bytes:
    """Encodes a number of at least 0."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number_field(number: int, value: int) -> bytes:
    """Encodes a field whose value is a number."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Encodes a field whose value is bytes, text or a message."""
    return bytes_header(number, len(value)) + value


def bytes_header(number: int, length: int) -> bytes:
    """Encodes the key and length before the `length` bytes of a field."""
    return varint(number << 3 | BYTES) + varint(length)
