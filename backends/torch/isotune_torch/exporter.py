"""Exporter: writes a model as an ONNX graph."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from isotune.errors import BackendError
from isotune.interfaces.exporter import IMAGES, LOGITS, PROBABILITIES, Exporter, GraphSignature

TRACED_BATCH = 2
"""Number of images while a model is traced: sizes of 0 and 1 would be taken for constants."""

OLDEST = (2, 6)
"""Version of torch from which ``torch.onnx.export`` with ``dynamo=True`` is no preview."""

LOGGERS = ("torch.onnx", "torch.export", "torch.fx", "torch._dynamo", "onnxscript", "onnx_ir")
"""Loggers of an export."""

_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


class TorchExporter(Exporter):
    """Writes models through ``torch.onnx.export``, which traces them with ``torch.export``."""

    def write(self, model: nn.Module, form: str, signature: GraphSignature, path: Path) -> None:
        """Writes `model` as ``onnx``, its only format.

        Raises:
            BackendError: torch is too old, ``onnx`` or ``onnxscript`` is not installed, or the
                model cannot be traced or has an operator that cannot be written.
        """
        assert form == "onnx", form
        _check_version(torch.__version__)
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
            raise BackendError(_explained(error, type(model).__name__)) from error


def _check_version(version: str) -> None:
    if TorchVersion(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BackendError(
            f"an ONNX export needs torch {oldest} or later, and {version} is installed:"
            f" pip install 'torch>={oldest}'."
        )


def _explained(error: Exception, model: str) -> str:
    """Returns what is wrong and what works, from the first of a chain of errors."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    reason = next((line for line in str(first).splitlines() if line.strip()), repr(first))
    if found := _OPERATOR.search(reason):
        problem = f"torch cannot write the operator {found[1]} of {model} as ONNX"
    else:
        problem = f"torch cannot trace {model} for an ONNX graph ({reason.strip().rstrip('.')})"
    return f"{problem}; `isotune predict` and `isotune serve` take the run itself."


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
    """Keeps the exporter's advice, which is for its developers, off the terminal.

    Some of it is logged, some are warnings, and listings of a graph that fails are printed.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
