from __future__ import annotations

from pathlib import Path

from isotune.storage.paths import is_new_or_empty


def test_new_or_empty(tmp_path: Path):
    assert is_new_or_empty(tmp_path / "missing")
    assert is_new_or_empty(tmp_path / ("n" * 300))
    assert is_new_or_empty(tmp_path)
    file = tmp_path / ".lock"
    file.touch()
    assert not is_new_or_empty(file)
    assert not is_new_or_empty(tmp_path)
    assert is_new_or_empty(tmp_path, ignored=[".lock"])
    (tmp_path / "spec.yaml").touch()
    assert not is_new_or_empty(tmp_path, ignored=[".lock"])
