from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isotune.storage.downloads import download as downloading
from isotune.storage.downloads.download import download
from isotune.storage.downloads.errors import DownloadError
from isotune.storage.downloads.remote import Remote

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and no proxy of this machine."""
    monkeypatch.setattr(downloading, "PAUSES", (0.0, 0.0, 0.0))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file"


@pytest.fixture
def refused(target: Path) -> Refused:
    """Downloads in vain, and returns why: ``refused(url, sha256=None, max_size=10_000)``."""

    def download_in_vain(url: str, sha256: str | None = None, max_size: int = 10_000) -> str:
        with pytest.raises(DownloadError) as error:
            download(Remote(url, sha256, max_size), target)
        assert not target.exists()
        return str(error.value)

    return download_in_vain
