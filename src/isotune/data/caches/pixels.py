"""Keeps images as pixels: in memory, then in a temporary file that is mapped into memory."""

from __future__ import annotations

import logging
import mmap
import tempfile
import threading
from dataclasses import dataclass
from io import FileIO

import numpy as np
from numpy.typing import NDArray

from isotune.storage import home

log = logging.getLogger(__name__)

SLAB = 64 << 20
"""Bytes that are asked for at a time; those that nothing is written to take no room."""

_PLACE = np.dtype([("slab", "i4"), ("height", "i4"), ("width", "i4"), ("start", "i8")])


@dataclass
class _Slab:
    """Room for images.

    Attributes:
        pixels: all of it, flat; those of the file can only be read.
        offset: where it begins in the file; None for one in memory.
        used: bytes of it that are taken, from its beginning.
    """

    pixels: NDArray[np.uint8]
    offset: int | None = None
    used: int = 0


class PixelStore:
    """Keeps images by number, as long as there is room; may be used by several threads.

    None makes room for a later one: where every epoch asks for all of them, that would keep
    each until just before it is needed. The file has no name (on Windows: it has one until the
    process ends), so that nothing stays behind, whatever ends the process.

    Args:
        length: how many images there are.
        memory: bytes of pixels that are kept in memory.
        disk: bytes of pixels beyond those that are kept in the file, which lies under
            ``$ISOTUNE_HOME/cache`` or, where that cannot be written, where temporary files do.
    """

    def __init__(self, length: int, memory: int, disk: int) -> None:
        self._lock = threading.Lock()
        # Not a dict: twenty bytes an image, whatever happens.
        self._places = np.zeros(length, _PLACE)
        self._slabs: list[_Slab] = []
        self._memory, self._disk = memory, disk
        self._file: FileIO | None = None
        self._end = 0

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """Returns an image: read-only, shape (height, width, 3); None if it is not kept."""
        with self._lock:
            slab, height, width, start = self._places[number].item()
            if not slab:
                return None
            flat = self._slabs[slab - 1].pixels[start : start + height * width * 3]
        pixels: NDArray[np.uint8] = flat.reshape(height, width, 3)
        pixels.flags.writeable = False
        return pixels

    def put(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Keeps a copy of an image, shape (height, width, 3), if there is room."""
        with self._lock:
            if self._places["slab"][number]:
                return
            try:
                slab = self._with_room(pixels.nbytes)
                if slab is not None:
                    self._write(slab, pixels)
            except OSError as error:
                log.warning("no more decoded images are kept on disk: %s.", error.strerror)
                self._disk, slab = 0, None
                for newest in self._slabs[-1:]:
                    newest.used = len(newest.pixels)
            if slab is not None:
                start, slab.used = slab.used, slab.used + pixels.nbytes
                self._places[number] = (len(self._slabs), *pixels.shape[:2], start)

    def close(self) -> None:
        """Gives memory and file back; nothing is kept from now on."""
        with self._lock:
            self._places["slab"] = 0
            self._slabs.clear()
            self._memory = self._disk = 0
            if self._file is not None:
                self._file.close()
                self._file = None

    def _with_room(self, size: int) -> _Slab | None:
        """Returns the newest slab, made now if need be; None if there is no room anywhere."""
        if self._slabs and len(self._slabs[-1].pixels) - self._slabs[-1].used >= size:
            return self._slabs[-1]
        if size <= self._memory:
            room = min(max(SLAB, size), self._memory)
            self._memory -= room
            self._slabs.append(_Slab(np.empty(room, np.uint8)))
        elif size <= self._disk:
            self._memory = 0  # so that the newest slab is the one that is filled
            room = min(max(SLAB, size), self._disk)
            self._slabs.append(self._map(room))
            self._disk -= room
        else:
            return None
        return self._slabs[-1]

    def _map(self, room: int) -> _Slab:
        """Maps further bytes of the file."""
        if self._file is None:
            self._file = _nameless_file()
        offset = self._end
        self._end += -(-room // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._file.truncate(self._end)
        mapped = mmap.mmap(self._file.fileno(), room, offset=offset, access=mmap.ACCESS_READ)
        return _Slab(np.frombuffer(mapped, np.uint8), offset)

    def _write(self, slab: _Slab, pixels: NDArray[np.uint8]) -> None:
        if slab.offset is None:
            slab.pixels[slab.used : slab.used + pixels.nbytes] = pixels.reshape(-1)
            return
        assert self._file is not None, "it was made with the slab"
        # Not through the map: there a full disk would be no error but a signal that kills.
        self._file.seek(slab.offset + slab.used)
        rest = np.ascontiguousarray(pixels).data.cast("B")
        while rest:
            rest = rest[self._file.write(rest) :]


def _nameless_file() -> FileIO:
    folder = home.home() / "cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(buffering=0, dir=folder)
    except OSError:
        return tempfile.TemporaryFile(buffering=0)
