"""What a service takes from a client, and how it refuses the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from isotune.printable import message_line

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Upper bounds on what clients send.

    Attributes:
        request_bytes: Bytes of the body of a request.
        file_bytes: Bytes of an image's file.
        pixels: Pixels of an image; the spec's ``dataset.max_pixels`` holds too.
        images: Images of a request.
        waiting: Requests that are read, or wait for their answer, at the same time.
        held_bytes: Bytes of the images of all these requests together.
        connections: Connections that are open at the same time.
        header_seconds: Seconds until the header of a request is complete.
        idle_seconds: Seconds between two pieces of a body.
        body_seconds: Seconds until a body is complete.
    """

    request_bytes: int = 64 * MIB
    file_bytes: int = 16 * MIB
    pixels: int = 64_000_000
    images: int = 32
    waiting: int = 64
    held_bytes: int = 512 * MIB
    connections: int = 512
    header_seconds: float = 10.0
    idle_seconds: float = 10.0
    body_seconds: float = 60.0


class Refusal(HTTPException):
    """A request that is not served.

    Args:
        status: Status code of the response.
        sentence: What is wrong and what would be right, for the client.
        headers: More headers of the response.
    """

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message_line(sentence), headers)


def size(count: int) -> str:
    """Returns a number of bytes for people: ``16 MiB``, ``1,000 bytes``."""
    if count % MIB == 0:
        return f"{count // MIB} MiB"
    return f"{count:,} bytes"
