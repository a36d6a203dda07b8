"""Wrong update rules, written once for both frameworks, and how each backend is made to use them.

What a rule gets and returns are tensors of the framework: it uses operators only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

Rule = Callable[[Any, Any, Any, Any, float, float], tuple[Any, Any]]
"""Takes parameter, gradient, momentum buffer, learning rate, momentum and weight decay; returns the
new parameter and buffer."""


def nesterov_before_buffer(
    p: Any, g: Any, b: Any, lr: Any, momentum: float, decay: float
) -> tuple[Any, Any]:
    """Looks ahead with the buffer from before the update."""
    g = g + decay * p
    return p - lr * (g + momentum * b), momentum * b + g


def dampened(p: Any, g: Any, b: Any, lr: Any, momentum: float, decay: float) -> tuple[Any, Any]:
    """Weighs the gradient by 1 - momentum, as Adam does."""
    b = momentum * b + (1 - momentum) * (g + decay * p)
    return p - lr * (g + decay * p + momentum * b), b


def rate_in_buffer(
    p: Any, g: Any, b: Any, lr: Any, momentum: float, decay: float
) -> tuple[Any, Any]:
    """Keeps the learning rate in the buffer, as Caffe and Keras do; the update is the same."""
    g = g + decay * p
    b = momentum * b + lr * g
    return p - (lr * g + momentum * b), b


def decay_outside_buffer(
    p: Any, g: Any, b: Any, lr: Any, momentum: float, decay: float
) -> tuple[Any, Any]:
    """Decays the parameter itself: decoupled, where the decay belongs into the gradient."""
    b = momentum * b + g
    return p - lr * (g + momentum * b + decay * p), b


RULES: dict[str, Rule] = {
    each.__name__: each
    for each in (nesterov_before_buffer, dampened, rate_in_buffer, decay_outside_buffer)
}


@contextmanager
def torch_rule(rule: Rule) -> Iterator[None]:
    """Makes trainers of torch use a rule instead of SGD with Nesterov's momentum."""
    import torch

    class Wrong(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    slot = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                    settings = group["lr"], group["momentum"], group["weight_decay"]
                    value, buffer = rule(p, p.grad, slot, *settings)
                    p.copy_(value)
                    slot.copy_(buffer)

    with patch("torch.optim.SGD", Wrong):
        yield


@contextmanager
def mindspore_rule(rule: Rule) -> Iterator[None]:
    """Makes trainers of MindSpore use a rule instead of SGD with Nesterov's momentum."""
    from mindspore import ops

    from isotune_mindspore.optimizers import MomentumSGD

    class Wrong(MomentumSGD):
        def construct(self, gradients: Any, scalars: Any) -> None:
            for i, gradient in enumerate(gradients):
                group = self.groups[i]
                value, buffer = rule(
                    self.parameters[i],
                    gradient,
                    self.buffers[i],
                    scalars[1 + group],
                    scalars[0],
                    self.decays[group],
                )
                ops.assign(self.parameters[i], value)
                ops.assign(self.buffers[i], buffer)

    with patch("isotune_mindspore.optimizers.MomentumSGD", Wrong):
        yield
