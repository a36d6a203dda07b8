"""Exporter: writes a model as an ONNX graph."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from isotune.errors import BackendError
from isotune.interfaces.exporter import IMAGES, LOGITS, PROBABILITIES, Exporter, GraphSignature

TRACED_BATCH = 2
"""Number of images while a model is traced: sizes of 0 and 1 would be taken for constants."""


class TorchExporter(Exporter):
    """Writes models through ``torch.onnx.export``, which traces them with ``torch.export``."""

    def write(self, model: nn.Module, form: str, signature: GraphSignature, path: Path) -> None:
        """Writes `model` as ``onnx``, its only format.

        Raises:
            BackendError: ``onnx`` or ``onnxscript`` is not installed, or an operator cannot be
                written.
        """
        assert form == "onnx", form
        graph = _Graph(copy.deepcopy(model).cpu().float().eval(), signature).eval()
        shape = (TRACED_BATCH, signature.height, signature.width, 3)
        try:
            with _quiet():
                program = torch.onnx.export(
                    graph,
                    (torch.zeros(shape, dtype=torch.uint8),),
                    dynamo=True,
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                    input_names=[IMAGES],
                    output_names=[LOGITS, PROBABILITIES],
                    external_data=False,
                    verbose=False,
                )
                assert program is not None
                program.save(path)
        except ImportError as error:
            raise BackendError(
                f"an ONNX export needs onnx and onnxscript: pip install 'isotune[onnx]' ({error})."
            ) from error
        except Exception as error:  # the exporter raises errors of many types
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise BackendError(
                f"torch cannot write {type(model).__name__} as an ONNX graph: {reason}"
            ) from error


class _Graph(nn.Module):
    """A model with what surrounds it in a file."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, signature: GraphSignature) -> None:
        super().__init__()
        self.model = model
        self.loss = signature.loss
        for name in ("mean", "std"):
            values = torch.tensor(getattr(signature.normalization, name), dtype=torch.float32)
            self.register_buffer(name, values)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits and probabilities of uint8 images (N, height, width, 3)."""
        pixels = (images.to(torch.float32) / 255 - self.mean) / self.std
        logits = self.model(pixels.permute(0, 3, 1, 2))
        if self.loss == "cross_entropy":
            return logits, torch.softmax(logits, dim=1)
        if logits.shape[1] == 1:
            return logits, torch.sigmoid(torch.cat([-logits, logits], dim=1))
        return logits, torch.sigmoid(logits)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's advice, which is for its developers, off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
