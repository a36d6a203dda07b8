"""Runs the ``isotune`` command in several processes, with a small Vision Transformer to train.

    python benchmarks/launched.py run SPEC --backend torch  # one process, or started by a launcher

From Python, :func:`launched` starts it by the launcher of a backend's framework.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from processes import Ended, run

from isotune.hookspecs import hookimpl
from isotune.interfaces.backbone import BackboneEntry, Preprocessing
from isotune.plugins import plugins

SIDE = 32
"""Height and width of images, in pixels."""

SMALL_VIT = BackboneEntry(
    "small_vit",
    "heads.head",
    preprocessing=Preprocessing(input_size=SIDE, resize_size=SIDE),
    min_input_size=SIDE,
    max_input_size=SIDE,
    fixed_input_size=True,
    builders={name: f"launched:{name}_vit" for name in ("torch", "mindspore")},
    initialization="transformer",
)
"""2 layers, 4 heads, 64 channels, patches of 8 x 8 pixels."""


def torch_vit() -> Any:
    from torchvision.models import VisionTransformer

    return VisionTransformer(SIDE, 8, 2, 4, 64, 256)


def mindspore_vit() -> Any:
    from isotune_mindspore.models.vision_transformer import VisionTransformer

    return VisionTransformer(8, 2, 64, 4, SIDE)


class SmallModels:
    """Offers the small Vision Transformer."""

    @hookimpl
    def isotune_backbones(self) -> list[BackboneEntry]:
        return [SMALL_VIT]


def launched(
    backend: str,
    processes: int,
    arguments: Sequence[str],
    home: Path,
    environment: Mapping[str, str] | None = None,
    script: Path = Path(__file__),
) -> Ended:
    """Runs `script` in so many processes and waits for them.

    Raises:
        SystemExit: They failed. The message ends with their last output.
    """
    command = [str(script), *arguments]
    own = {**(environment or {}), "ISOTUNE_HOME": str(home)}
    if processes == 1:
        return run([sys.executable, *command], own)
    with tempfile.TemporaryDirectory(prefix="isotune-logs-") as logs:
        launch = plugins.launch(backend, processes, command, Path(logs))
        return run(launch.command, {**launch.environment, **own})


if __name__ == "__main__":
    plugins.register(SmallModels(), "small-models")
    sys.argv[0] = "isotune"
    from isotune.cli import main

    main()
