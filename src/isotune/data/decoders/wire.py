"""What a thread and the process that decodes for it tell each other.

File and pixels are in memory that both map. The rest goes through pipes, one request and one answer
at a time. It includes a pickle, which never comes from anywhere but the process's own parent.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from isotune.spec.transforms import TransformSpec

FILE_BYTES = 8 << 20
"""Largest file that a process decodes."""

IMAGE_BYTES = 8 << 20
"""Largest result that it returns."""

REQUEST = struct.Struct("<IIQQQ")
"""Number of bytes of a new job, which follow, or 0; and of the file. The image's epoch, index, and
how often it has occurred in the epoch before."""

ANSWER = struct.Struct("<?II")
"""Whether the image is there; its height and width."""

READY = b"r"
"""What a process says first."""


@dataclass(frozen=True)
class Job:
    """What is made of each image.

    Attributes:
        pipeline: The transforms.
        seed: The experiment's seed.
        max_pixels: Largest number of pixels that is decoded.
    """

    pipeline: tuple[TransformSpec, ...]
    seed: int
    max_pixels: int


def read_exactly(handle: int, size: int) -> bytes:
    """Reads `size` bytes from a pipe.

    Raises:
        EOFError: The other side has ended.
    """
    parts: list[bytes] = []
    while size:
        part = os.read(handle, size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_all(handle: int, data: bytes) -> None:
    """Writes to a pipe.

    Raises:
        OSError: The other side has ended.
    """
    while data:
        data = data[os.write(handle, data) :]
