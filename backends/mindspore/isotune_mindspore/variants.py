"""Ways to compute a step that ought not to matter, by which a trainer differs from itself.

Not another number of threads, nor other CPUs: neither changes a byte of what MindSpore's kernels
compute (2.10, two cores).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from mindspore import Tensor, nn, ops

from isotune_mindspore.models.depthwise import DepthwiseConv2d
from isotune_mindspore.step import uncompiled
from isotune_mindspore.trainer import MindSporeTrainer


def variants(trainer: MindSporeTrainer) -> dict[str, AbstractContextManager[object]]:
    """Returns the ways that the model allows, by name."""
    changes: list[Change] = []
    for _, cell in trainer.model.cells_and_names():
        if isinstance(cell, DepthwiseConv2d):
            changes.append((cell, "small", 0))
        elif isinstance(cell, nn.Conv2d) and cell.group == 1:
            changes.append((cell, "conv2d", _Reversed(cell.conv2d)))
        elif isinstance(cell, nn.Dense):
            changes.append((cell, "matmul", _Reversed(cell.matmul)))
    return {"channels in reverse": _Changed(changes)} if changes else {}


Change = tuple[nn.Cell, str, Any]
"""A cell, the name of an attribute, and another value for it."""


class _Reversed:
    """A primitive of maps or vectors and weights, which sums over channels from the last one on."""

    def __init__(self, primitive: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._primitive = primitive
        self._reverse = ops.ReverseV2(axis=[1])

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """Returns what the primitive does, up to rounding."""
        return self._primitive(self._reverse(x), self._reverse(weight))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._primitive, name)


class _Changed(AbstractContextManager[None]):
    """Steps that are not compiled, of cells some of whose attributes are others."""

    def __init__(self, changes: list[Change]) -> None:
        self._changes = changes
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as stack:
            for cell, name, value in self._changes:
                stack.callback(setattr, cell, name, getattr(cell, name))
                setattr(cell, name, value)
            stack.enter_context(uncompiled(lambda cell, *inputs: cell(*inputs)))
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()
