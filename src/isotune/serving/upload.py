"""Reads the images of a request: multipart/form-data (RFC 7578), bounded while it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import (
    MultipartParser,
    parse_options_header,
)
from starlette.requests import ClientDisconnect, Request

from isotune.printable import printable, shortened
from isotune.serving.limits import Limits, Refusal, size

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

IMAGES, TOP = "images", "top"
"""Names of the form's fields."""

_NAME_LENGTH = 100
"""Number of characters of a file's name that are kept."""

_TOP_LENGTH = 10
"""Number of bytes of the field `top`."""

_FORM = "send the images as multipart/form-data: curl -F images=@FILE"


@dataclass
class Upload:
    """The images of a request.

    Attributes:
        contents: The contents of the files.
        names: The files' names, printable and without folders; ``images[1]`` if it has none.
        top: Number of classes that the client wants; None if it does not say.
    """

    contents: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    top: int | None = None


async def read_upload(
    request: Request, limits: Limits, hold: Callable[[int], None], field: str = IMAGES
) -> Upload:
    """Reads the form of a request.

    Args:
        request: The request, whose body bounds itself.
        limits: Bounds on the files and their number.
        hold: Called with the number of bytes of each piece that is kept; it may refuse them.
        field: Name of the form's field that has the images.

    Raises:
        Refusal: It is no such form, has no image, or goes beyond a limit.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refusal(415, f"the request is no form; {_FORM}.")
    form = _Form(limits, field)
    try:
        parser = MultipartParser(options[b"boundary"], form.callbacks())
        async for piece in request.stream():
            hold(len(piece))
            parser.write(piece)
        parser.finalize()
    except ClientDisconnect as error:
        raise Refusal(400, "the client has closed the connection.") from error
    except FormParserError as error:
        raise Refusal(400, f"the form is malformed; {_FORM}.") from error
    if not form.complete:
        raise Refusal(400, f"the form ends before its last boundary; {_FORM}.")
    if not form.upload.contents:
        raise Refusal(422, f"the form has no image in a field '{field}'; {_FORM}.")
    return form.upload


class _Form:
    """Collects the parts of a form as its parser finds them."""

    def __init__(self, limits: Limits, field: str) -> None:
        self.upload = Upload()
        self.complete = False
        self._limits = limits
        self._field = field
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._name = ""
        self._data = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add,
            "on_part_end": self._end,
            "on_end": self._end_form,
        }

    def _begin(self) -> None:
        self._header, self._disposition, self._data = (bytearray(), bytearray()), b"", bytearray()

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        count = len(self.upload.contents)
        if self._name == self._field:
            if count == self._limits.images:
                raise Refusal(
                    413,
                    f"the request has more than {count} images, the most that this service takes.",
                )
            self.upload.names.append(_file_name(options.get(b"filename", b""), count))
        elif self._name != TOP:
            raise Refusal(
                422,
                f"the form has a field '{self._name}'; its fields are '{self._field}' and '{TOP}'.",
            )

    def _add(self, data: bytes, start: int, end: int) -> None:
        limit = self._limits.file_bytes if self._name == self._field else _TOP_LENGTH
        if len(self._data) + end - start > limit:
            name = self.upload.names[-1] if self._name == self._field else self._name
            raise Refusal(
                413, f"{name}: has more than {size(limit)}, the most that this service takes."
            )
        self._data += data[start:end]

    def _end(self) -> None:
        if self._name == self._field:
            self.upload.contents.append(bytes(self._data))
        else:
            self.upload.top = _top(bytes(self._data))

    def _end_form(self) -> None:
        self.complete = True


def _file_name(sent: bytes, index: int) -> str:
    """Returns the last part of a file's name, fit to be shown."""
    name = PurePosixPath(sent.decode("utf-8", "replace").replace("\\", "/")).name
    return shortened(printable(name), _NAME_LENGTH) or f"{IMAGES}[{index}]"


def _top(sent: bytes) -> int:
    if not (sent.isdigit() and int(sent) >= 1):
        shown = sent.decode("utf-8", "replace")
        raise Refusal(422, f"{TOP}: is '{shown}', but should be a whole number from 1 on.")
    return int(sent)
