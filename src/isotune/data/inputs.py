"""Images as a caller has them, without labels: as paths, arrays, bytes, open files, or Pillow's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isotune.data.decode import ROOM, decode_rgb, footprint, open_rgb, reason, to_rgb
from isotune.data.sources.files import find_images, stands_for_several
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.dataset import MAX_PIXELS
from isotune.storage.paths import is_file

ImageInput = Union[
    str,
    "os.PathLike[str]",
    Image.Image,
    NDArray[np.uint8],
    bytes,
    bytearray,
    memoryview,
    BinaryIO,
]
"""An image. A str is a path; an array is uint8, either RGB of shape (H, W, 3) or grayscale of shape
(H, W); bytes and open binary files are the content of an image file, from its start.

A path may also be a folder or a pattern, which stands for several images (:func:`find_images`).
"""

_PATH = (str, os.PathLike)
_BYTES = (bytes, bytearray, memoryview)


def is_single(images: ImageInput | Iterable[ImageInput]) -> bool:
    """Whether this is one image, and neither several nor a path that stands for several."""
    if isinstance(images, _PATH):
        return not stands_for_several(Path(images))
    if isinstance(images, (*_BYTES, np.ndarray)) or hasattr(images, "read"):
        return True
    return not isinstance(images, Iterable)


class InputSource(ImageSource):
    """Images of any kind; every label is 0. What is no image is an error when it is loaded.

    An image has the same pixels whichever way it comes, except for JPEG images of so many pixels
    that files of them are decoded at a fraction of their size (:func:`decode_rgb`).

    Args:
        images: The images. Folders and patterns stand for several.
        classes: Class names, in label order.
        max_pixels: Largest number of pixels of an image.

    Raises:
        DatasetError: A folder holds no image or cannot be read, or a pattern matches no file.
    """

    def __init__(
        self,
        images: Iterable[ImageInput],
        classes: tuple[str, ...],
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._images: list[tuple[str, Any]] = []
        for index, image in enumerate(images):
            if isinstance(image, _PATH):
                self._images += [(str(path), path) for path in find_images([image])]
            else:
                self._images.append((_name(image, index), image))
        self._decoder = InputDecoder(max_pixels)
        self.classes = classes
        self.labels = np.zeros(len(self._images), dtype=np.int32)

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` to RGB, upright.

        Raises:
            DatasetError: It is missing or cannot be read, or its type or shape is none of an image.
        """
        name, image = self._images[index]
        return self._decoder.decode(image, name)

    def identify(self, index: int) -> str:
        """Returns the image's path, or its position among those given, as ``images[3]``."""
        return self._images[index][0]


class InputDecoder:
    """Decodes single images of any kind, in several threads.

    Args:
        max_pixels: Largest number of pixels of an image.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._lock = Lock()

    def decode(self, image: object, name: str) -> Image.Image:
        """Decodes an image to RGB, upright.

        Args:
            image: The image; a path is that of one file.
            name: What messages call it.

        Raises:
            DatasetError: It is missing or cannot be read, or its type or shape is none of an image.
        """
        if isinstance(image, _PATH):
            path = Path(image)
            if not is_file(path):
                raise DatasetError(f"{path}: there is no such image.")
            return open_rgb(path, self._max_pixels)
        if isinstance(image, _BYTES):
            return decode_rgb(BytesIO(image), name, self._max_pixels)
        if hasattr(image, "read"):
            return decode_rgb(BytesIO(self._content(image, name)), name, self._max_pixels)
        if isinstance(image, np.ndarray):
            image = _from_array(image, name)
        if isinstance(image, Image.Image):
            return self._rgb(image, name)
        raise DatasetError(
            f"{name}: is of type {type(image).__name__}, but an image should be a path, an image of"
            " Pillow, an array, bytes or a file that is open in binary mode."
        )

    def _content(self, file: Any, name: str) -> bytes:
        """Reads a file from its start, or what is left if it cannot seek."""
        try:
            with self._lock:  # it may be given twice, and threads would read parts of it
                if not hasattr(file, "seekable") or file.seekable():
                    file.seek(0)
                content = file.read()
        except (OSError, ValueError, AttributeError) as error:  # ValueError: it is closed
            raise DatasetError(f"{name}: cannot be read: {reason(error)}.") from error
        if not isinstance(content, _BYTES):
            raise DatasetError(f"{name}: is open as text; open it in binary mode, 'rb'.")
        return bytes(content)

    def _rgb(self, image: Image.Image, name: str) -> Image.Image:
        pixels = image.width * image.height
        if pixels > self._max_pixels:
            raise DatasetError(
                f"{name}: its {image.width} x {image.height} pixels are more than"
                f" {self._max_pixels}, the value of dataset.max_pixels."
            )
        try:
            with ROOM.taken(footprint(image)):
                with self._lock:  # Pillow decodes an image where it is first used
                    image.load()
                return to_rgb(image, name)
        except Exception as error:  # decoders raise errors of any type
            raise DatasetError(f"{name}: cannot be read as an image: {reason(error)}.") from error


def _name(image: object, index: int) -> str:
    file = getattr(image, "filename", "") or getattr(image, "name", "")
    return file if isinstance(file, str) and file else f"images[{index}]"


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not shaped:
        several = "; pass a list of the images" if array.ndim == 4 else ""
        raise DatasetError(
            f"{name}: is an array of {array.dtype} of shape {array.shape}, but should be uint8 of"
            f" shape (H, W, 3), in the order RGB, or (H, W){several}."
        )
    if not array.size:
        raise DatasetError(f"{name}: is an array of shape {array.shape}, which is empty.")
    return Image.fromarray(array)
