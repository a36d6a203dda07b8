"""Isotune's side of the pages in docs/coming-from runs as it stands there, on smaller images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tiny import make_images

PAGES = Path(__file__).parent.parent / "docs" / "coming-from"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_our_side_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision.models")
    (code,) = re.findall(r"```python\n(import isotune\n.*?)```", page.read_text("utf-8"), re.DOTALL)
    pytest.importorskip(re.findall(r'backend="(\w+)"', code)[0])
    monkeypatch.chdir(tmp_path)
    images = make_images(Path("hymenoptera_data"))
    bee = images / "val" / "bees" / "10870992_eebeeb3a12.jpg"
    (bee.parent / "0.png").rename(bee)  # recognized by its content
    torch.save(models.mobilenet_v2().state_dict(), "mobilenet_v2.pth")
    names: dict[str, Any] = {}
    small = code.replace("224", "32").replace("256", "36")
    exec(compile(small, str(page), "exec"), names)
    assert len(names["run"].history) == 3
    assert names["run"].best.val_accuracy > 0
