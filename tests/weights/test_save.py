"""Files are complete for each framework's own class of a backbone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from isotune.catalogue.entries import BUILT_IN
from isotune.catalogue.layouts import layout
from isotune.weights.formats.ckpt.write import mindspore_name
from isotune.weights.formats.pth.write import with_counts
from isotune.weights.save import torch_extras

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from torch import nn  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

from isotune_torch.backbone import BUILDERS  # noqa: E402

NAMES = sorted(entry.name for entry in BUILT_IN)


class WithoutMemory(TorchFunctionMode):
    """Makes the weights of new layers without values; buffers keep theirs."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        where = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **{**(kwargs or {}), **where})


def state_of(name: str) -> dict[str, np.ndarray[Any, Any]]:
    """Returns a state of a backbone that takes no memory."""
    zero = np.zeros((), np.float32)
    return {key: np.broadcast_to(zero, shape) for key, shape in (layout(name) or {}).items()}


def mindspore_names(model: nn.Module) -> Iterator[str]:
    """Yields MindSpore's names of a module's tensors, by the kinds of its layers."""
    norm = {"weight": "gamma", "bias": "beta"}
    batch_norm = {**norm, "running_mean": "moving_mean", "running_var": "moving_variance"}
    for path, module in model.named_modules():
        names = (
            batch_norm
            if isinstance(module, nn.BatchNorm2d)
            else norm
            if isinstance(module, nn.LayerNorm)
            else {}
        )
        for name, _ in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        ):
            yield f"{path}.{names.get(name, name)}".removeprefix(".")


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
def test_every_backbone_is_complete_for_both_frameworks() -> None:
    for name in NAMES:
        with WithoutMemory():
            model = BUILDERS[name]()
        state = state_of(name)
        extras = torch_extras(state, name)
        complete = {key: torch.from_numpy(v) for key, v in with_counts(state).items()}
        buffers = {key: torch.from_numpy(v) for key, v in extras.buffers.items()}
        ordered = OrderedDict(complete | buffers)
        ordered._metadata = {path: {"version": v} for path, v in extras.versions.items()}
        for key, value in buffers.items():
            torch.testing.assert_close(value, model.get_buffer(key), rtol=1e-7, atol=0)
        expected = mindspore_names(model)
        model.load_state_dict(ordered, strict=True, assign=True)
        constants = {*buffers, *(key for key in complete if key not in state)}
        assert {mindspore_name(key, state) for key in state} == {*expected} - constants, name
