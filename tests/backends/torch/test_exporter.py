"""ONNX graphs of torch: what fails is one sentence, and nothing else reaches the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn

from isotune.errors import BackendError
from isotune.interfaces.exporter import GraphSignature
from isotune.testing.values import NORMALIZATION
from isotune_torch import exporter

SIGNATURE = GraphSignature(8, 8, NORMALIZATION, "cross_entropy")


class Bessel(nn.Module):
    """Has an operator that ONNX lacks."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.special.bessel_j0(images.flatten(1)[:, :3])


class Branch(nn.Module):
    """Computes something else for dark images, which cannot be traced."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3] * (2 if images.sum() > 0 else 1)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Bessel(), "torch cannot write the operator prims.bessel_j0 of Bessel as ONNX; `isotune"),
        (Branch(), "torch cannot trace Branch for an ONNX graph (Could not guard on data-"),
    ],
)
def test_a_model_that_cannot_be_written_is_one_sentence(
    model: nn.Module, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    level = logging.getLogger("torch.fx").level
    with pytest.raises(BackendError) as raised:
        exporter.TorchExporter().write(model, "onnx", SIGNATURE, tmp_path / "graph.onnx")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value) and "\\x1b" not in str(raised.value)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.fx").level == level
    assert not list(tmp_path.iterdir())


def test_a_version_that_cannot_write_graphs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(BackendError, match=r"needs torch 2\.6 or later, and 2\.5\.1\+cpu is"):
        exporter.TorchExporter().write(nn.Linear(3, 3), "onnx", SIGNATURE, Path("graph.onnx"))
