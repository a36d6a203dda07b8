"""Images as encoded files, wherever their bytes are: in a folder, or inside another file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from isotune.data.caches.files import CheckedFiles
from isotune.data.caches.stamps import Digests
from isotune.interfaces.dataset import ImageSource
from isotune.spec.dataset import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image

_T = TypeVar("_T")


class EncodedSource(ImageSource):
    """Images as encoded files. Formats set all attributes.

    Attributes:
        files: The files, and what earlier runs found out about them.
        max_pixels: Largest number of pixels of an image.
    """

    files: CheckedFiles
    max_pixels: int = MAX_PIXELS

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` to RGB, upright.

        Raises:
            DatasetError: It cannot be read.
        """
        from isotune.data.decode import decode_rgb

        return self._decoded(index, decode_rgb)

    def preview(self, index: int, side: int) -> tuple[Image.Image, tuple[int, int]]:
        """Decodes image `index` into fewer pixels, if it is a JPEG image.

        Raises:
            DatasetError: It cannot be read.
        """
        from isotune.data.decode import decode_preview

        return self._decoded(index, partial(decode_preview, side=side))

    def _decoded(self, index: int, decode: Callable[[BinaryIO, str, int], _T]) -> _T:
        from isotune.data.decode import reason
        from isotune.errors import DatasetError

        try:
            with self.files.open(index) as file:
                return decode(file, self.identify(index), self.max_pixels)
        except OSError as error:
            raise DatasetError(
                f"{self.identify(index)}: cannot be read as an image: {reason(error)}."
            ) from error

    def identify(self, index: int) -> str:
        """Returns the path of image `index`, or where it is inside another file."""
        return self.files.identify(index)

    def digests(self) -> Digests:
        """Returns digests of the files' bytes; files that have not changed are not read again."""
        return self.files.digests()

    def unchanged(self) -> bool:
        """Whether no file has changed since its digest was computed."""
        return self.files.unchanged()
