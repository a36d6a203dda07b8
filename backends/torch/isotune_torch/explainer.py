"""Explainer: outputs, inputs and gradients of modules, by forward hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.explainer import Explainer, missing_part, no_tensor, unused_part
from isotune_torch.arrays import to_array, to_tensor


class TorchExplainer(Explainer):
    """Gradients end at the part in question: nothing before it is differentiated."""

    def maps_and_gradients(
        self, model: nn.Module, path: str, batch: DeviceBatch, score_weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the output of the module at `path`, and the scores' gradients.

        Raises:
            BackendError: there is no such module, evaluation does not use it, or its output is
                not one tensor.
        """
        module, found = _part(model, path), list[Tensor]()

        def observe(module: nn.Module, inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise no_tensor(model, path, output)
            found[:] = [output.detach().clone().requires_grad_()]
            return found[0].clone()  # the next layer may work in place

        with _evaluating(model), torch.enable_grad():
            handle = module.register_forward_hook(observe)
            try:
                logits = model(batch.images)
            finally:
                handle.remove()
            maps = _used(found, model, path)
            weights = to_tensor(score_weights).to(logits.device)
            scores = (logits.float() * weights).sum()
            (gradients,) = torch.autograd.grad(
                scores, maps, allow_unused=True, materialize_grads=True
            )
        return to_array(maps.float()), to_array(gradients.float())

    def inputs(
        self, model: nn.Module, paths: Sequence[str], batch: DeviceBatch
    ) -> list[NDArray[np.float32]]:
        """Returns the first input of each module.

        Raises:
            BackendError: there is no such module, or evaluation does not use it.
        """
        parts: list[list[Tensor]] = [[] for _ in paths]
        modules, handles = [_part(model, path) for path in paths], []

        def observer(found: list[Tensor]) -> Any:
            def observe(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                found[:] = [inputs[0].detach().clone()]

            return observe

        with _evaluating(model), torch.no_grad():
            try:
                for module, found in zip(modules, parts, strict=True):
                    handles.append(module.register_forward_pre_hook(observer(found)))
                model(batch.images)
            finally:
                for handle in handles:
                    handle.remove()
        pairs = zip(parts, paths, strict=True)
        return [to_array(_used(found, model, path).float()) for found, path in pairs]


def _part(model: nn.Module, path: str) -> nn.Module:
    modules = dict(model.named_modules())
    if path and path in modules:
        return modules[path]
    raise missing_part(model, path, modules, (name for name, _ in model.named_children()))


def _used(found: list[Tensor], model: nn.Module, path: str) -> Tensor:
    if found:
        return found[0]
    raise unused_part(model, path)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each module has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
