"""Reads ``.pth`` files, without PyTorch and without executing anything in them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from isotune.weights.formats.files import FileTensors, Unreadable, check_prefix, opened
from isotune.weights.formats.pth import zip as pth_zip
from isotune.weights.formats.pth.contents import describe_unsupported, find_weights
from isotune.weights.formats.pth.legacy import LegacyFormat
from isotune.weights.formats.pth.tensors import Tensor
from isotune.weights.formats.pth.zip import ZipFormat


def read_pth(path: str | Path, prefix: str | None = None) -> FileTensors:
    """Reads the tensors of a file that ``torch.save`` wrote, in either of its formats.

    They may be nested in dicts, in modules that were saved whole, or in objects of unknown
    classes; :func:`~isotune.weights.formats.pth.contents.find_weights` says which are taken.

    Args:
        path: the file.
        prefix: what the names of the wanted tensors begin with; None reads all that may be weights.

    Returns:
        Contiguous arrays by name, with the file's shapes and dtypes, except bfloat16, which
        becomes float32. Tensors that share a storage may share memory.

    Raises:
        WeightsError: the file is missing, damaged, of another format, or contains no tensors.
    """
    with opened(Path(path)) as file:
        archive = _archive(file)
        found = find_weights(archive.root, prefix)
        check_prefix(found.tensors, prefix)
        unsupported = (describe_unsupported(*each) for each in found.unsupported.items())
        return FileTensors(
            {
                name: archive.array(each) if isinstance(each, Tensor) else np.array(each.value)
                for name, each in found.tensors.items()
                if name.startswith(prefix or "")
            },
            beside=tuple(found.beside),
            unsupported=tuple(unsupported),
        )


def _archive(file: BinaryIO) -> ZipFormat | LegacyFormat:
    head = file.read(512)
    if head.startswith(pth_zip.MAGIC):
        return ZipFormat(file)
    if head[257:262] == b"ustar":
        raise Unreadable("it is of PyTorch 0.1.1 or older; load it there and save it again")
    return LegacyFormat(file)
