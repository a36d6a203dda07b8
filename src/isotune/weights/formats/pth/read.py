"""Reads ``.pth`` files, without PyTorch and without executing anything in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from isotune.weights.formats.files import Unreadable, opened, printable
from isotune.weights.formats.pth import zip as pth_zip
from isotune.weights.formats.pth.legacy import LegacyFormat
from isotune.weights.formats.pth.tensors import Tensor
from isotune.weights.formats.pth.zip import ZipFormat

WRAPPERS = ("state_dict", "model", "model_state_dict", "network", "net")
"""Keys under which training scripts store the state dict, beside the epoch for example."""


def read_pth(path: str | Path) -> dict[str, NDArray[Any]]:
    """Reads the state dict of a file that ``torch.save`` wrote, in either of its formats.

    The state dict may be nested under keys of :data:`WRAPPERS`. Only its tensors are read.

    Returns:
        Contiguous arrays by name, with the file's shapes and dtypes, except bfloat16, which
        becomes float32. Tensors that share a storage may share memory.

    Raises:
        WeightsError: the file is missing, damaged, of another format, or contains objects other
            than tensors, dicts, lists, text and numbers.
    """
    with opened(Path(path)) as file:
        archive = _archive(file)
        tensors = _state_dict(archive.root)
        return {name: archive.array(tensor) for name, tensor in tensors.items()}


def _archive(file: BinaryIO) -> ZipFormat | LegacyFormat:
    head = file.read(512)
    if head.startswith(pth_zip.MAGIC):
        return ZipFormat(file)
    if head[257:262] == b"ustar":
        raise Unreadable("it is of PyTorch 0.1.1 or older; load it there and save it again")
    return LegacyFormat(file)


def _shown(name: Any) -> str:
    return (
        f"'{printable(name, 80)}'"
        if isinstance(name, str)
        else f"(named by a {type(name).__name__})"
    )


def _state_dict(root: Any) -> dict[str, Tensor]:
    for _ in WRAPPERS:
        if not isinstance(root, dict):
            break
        inner = [root[key] for key in WRAPPERS if isinstance(root.get(key), dict)]
        if not inner:
            break
        root = inner[0]
    if not isinstance(root, dict):
        raise Unreadable("it holds no state dict (a dict of tensors by name)")
    for name, value in root.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise Unreadable(
                f"its entry {_shown(name)} is no tensor; save model.state_dict() alone,"
                " or in a dict under 'state_dict'"
            )
    if not root:
        raise Unreadable("its state dict is empty")
    return root
