"""PyTorch's compiler is imported by those who use it, and by nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isotune_torch import optimizer

TRAINING = """
import sys
import isotune
import torch.utils.checkpoint  # of torchvision's DenseNet; that of PyTorch 2.4 imports SymPy itself
before = set(sys.modules)
adamw = {"name": "adamw", "lr": 0.001}
averaged = {"ema": {"decay": 0.9}, "clip_grad_norm": 1.0, "shards": 2, "precision": "bf16"}
for more in (
    {"optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}, "freeze": "backbone"},
    {"optimizer": adamw, **averaged},
):
    spec = {
        "name": "imports",
        "dataset": {"path": sys.argv[1]},
        "backbone": {"name": "lenet", "weights": "none"},
        "batch_size": 4,
        "epochs": 1,
        **more,
    }
    output = sys.argv[1] + more["optimizer"]["name"]
    run = isotune.run(spec, backend="torch", device="cpu", output=output)
    isotune.open_run(run.path).predict(sys.argv[1] + "/val/a/0.png")
print(sorted({"torch._dynamo", "sympy"} & sys.modules.keys() - before))
"""

DETECTION = """
import sys
import torch
from isotune_torch.vision import torchvision
module = sys.modules["torchvision.ops.roi_align"]
assert "torch._dynamo" not in sys.modules
images, boxes = torch.arange(32.0).view(1, 2, 4, 4), torch.tensor([[0.0, 1.0, 1.0, 3.0, 3.0]])
print(torchvision.ops.roi_align(images, boxes, 1).flatten().tolist())
scripted = torch.jit.script(torchvision.ops.RoIAlign(1, 1.0, -1))
print(scripted(images, boxes).flatten().tolist())
print(module.is_compile_supported("cpu"), module.is_compile_supported(device_type="meta"))
from torch._dynamo.utils import is_compile_supported
print(is_compile_supported("cpu"), is_compile_supported("meta"))
print(module.__spec__.origin == module.__file__, "torch._dynamo" in sys.modules)
"""


def printed(code: str, *arguments: str) -> list[str]:
    """Returns the lines that a new process prints."""
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_training_and_predicting_import_no_compiler(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("train/a", "train/b", "val/a", "val/b"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for i in range(4):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    assert printed(TRAINING, str(tmp_path / "data"))[-1] == "[]"


def test_what_torchvision_needs_of_the_compiler_works() -> None:
    eager, scripted, deferred, real, origin = printed(DETECTION)
    assert eager == scripted == "[10.0, 26.0]"
    assert deferred == real
    assert origin == "True True"


@pytest.mark.parametrize("fused", [True, None])
@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {}), ("AdamW", {"weight_decay": 0.1})],
)
def test_optimizers_are_those_of_pytorch_to_the_byte(
    name: str, options: dict[str, object], fused: bool | None
) -> None:
    weights = []
    for module in (optimizer, torch.optim):
        weight = torch.linspace(-1, 1, 12).view(3, 4).requires_grad_()
        updates = getattr(module, name)([weight], lr=0.1, fused=fused, **options)
        for _ in range(3):
            weight.pow(3).sum().backward()
            updates.step()
            updates.zero_grad()
        assert weight.grad is None
        weights.append(weight.detach().numpy().tobytes())
    assert weights[0] == weights[1]
