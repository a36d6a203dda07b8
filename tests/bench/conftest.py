from __future__ import annotations

from pathlib import Path

import pytest

from measured import install_numpy, make_loops


@pytest.fixture
def numpy_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_numpy(tmp_path / "installed", monkeypatch)


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    return make_loops(tmp_path / "native")
