"""Exporter: writes a copy of a model as MindIR or as an ONNX graph."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mindspore as ms
from mindspore import Tensor, nn, ops

from isotune.errors import BackendError
from isotune.interfaces.exporter import FrameworkExporter, GraphRunner, GraphSignature
from isotune_mindspore import mindir, onnx_graph
from isotune_mindspore.dataset import scale_and_shift
from isotune_mindspore.exportable import ONNX_FORMS, SHARED_FORMS, replace_cells

MISSING_OPERATOR = re.compile(r"Can not find key (\w+) in convert map")


class MindSporeExporter(FrameworkExporter):
    """Writes through ``mindspore.export`` and ``mindspore.onnx.export``.

    The model itself is left alone: a copy takes its place, in which some cells are replaced by
    equivalent ones that can be written (:mod:`isotune_mindspore.exportable`).
    """

    def write(self, model: nn.Cell, form: str, signature: GraphSignature, path: Path) -> None:
        """Writes `model` as ``mindir`` or ``onnx``.

        Raises:
            BackendError: The package ``onnx`` is not installed, the model is too large for one
                file, or MindSpore cannot write one of its operators.
        """
        assert form in ("mindir", "onnx"), form
        if form == "onnx":
            onnx_graph.check_onnx()
        copied = copy.deepcopy(model)
        replace_cells(copied, SHARED_FORMS)
        if form == "onnx":
            replace_cells(copied, ONNX_FORMS)
        graph = _Graph(copied, signature)
        graph.set_train(False)
        write = mindir.write if form == "mindir" else onnx_graph.write
        try:
            with _strict_compiler(), TemporaryDirectory() as folder:
                write(graph, signature, Path(folder), path)
        except (BackendError, OSError):
            raise
        except Exception as error:  # MindSpore and onnx raise errors of many types
            raise BackendError(_sentence(type(model).__name__, form, str(error))) from error

    def load(self, form: str, path: Path) -> GraphRunner:
        """Returns a function that runs a ``mindir`` file that this process has just written."""
        assert form == "mindir", form
        return mindir.load(path)

    def annotate(self, form: str, path: Path, metadata: Mapping[str, str]) -> None:
        """Adds entries to ``user_info`` of a ``mindir`` file."""
        assert form == "mindir", form
        mindir.annotate(path, metadata)

    def metadata(self, form: str, path: Path) -> dict[str, str]:
        """Returns ``user_info`` of a ``mindir`` file."""
        assert form == "mindir", form
        return mindir.metadata(path)


class _Graph(nn.Cell):
    """A model with what surrounds it in a file."""

    def __init__(self, model: nn.Cell, signature: GraphSignature) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        self.loss = signature.loss
        self.scale, self.shift = scale_and_shift(signature.normalization)
        self.cast, self.transpose = ops.Cast(), ops.Transpose()
        self.softmax, self.sigmoid, self.concat = ops.Softmax(), ops.Sigmoid(), ops.Concat(1)

    def construct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits and probabilities of uint8 images (N, height, width, 3)."""
        pixels = self.cast(images, ms.float32) * self.scale + self.shift
        logits = self.model(self.transpose(pixels, (0, 3, 1, 2)))
        if self.loss == "cross_entropy":
            return logits, self.softmax(logits)
        if logits.shape[1] == 1:
            return logits, self.sigmoid(self.concat((-logits, logits)))
        return logits, self.sigmoid(logits)


@contextmanager
def _strict_compiler() -> Iterator[None]:
    """Restores the level of syntax, which an export that fails leaves at its own."""
    before = ms.get_context("jit_syntax_level")
    try:
        yield
    finally:
        ms.set_context(jit_syntax_level=before)


def _sentence(model: str, form: str, reason: str) -> str:
    if missing := MISSING_OPERATOR.search(reason):
        return (
            f"MindSpore's ONNX export has no operator {missing[1]}, which {model} uses: export to"
            " a .mindir file, or through another backend that builds this model."
        )
    first = next((line.strip() for line in reason.splitlines() if line.strip()), "no reason given")
    return f"MindSpore cannot write {model} as a {form} file: {first}"
