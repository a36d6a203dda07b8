"""Update rules and clipping compile for models of any depth."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Parameter, Tensor
from numpy.linalg import norm
from numpy.testing import assert_allclose

from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import StepPlan
from isotune.spec.optimizer import AdamSpec, OptimizerSpec, SGDSpec
from isotune_mindspore.arrays import zeros_like
from isotune_mindspore.clipping import Clipping
from isotune_mindspore.optimizers import GroupKey, scalars, update_rule
from isotune_mindspore.step import graph_mode

MANY = 510
"""Parameters, of which ResNet-152 has 467. MindSpore nests 1,000 calls at most."""


@pytest.mark.parametrize(
    "spec",
    [SGDSpec(), SGDSpec(momentum=0.9), AdamSpec(name="adam")],
    ids=["sgd", "momentum", "adam"],
)
def test_many_parameters_compile_and_move(backend: Backend, spec: OptimizerSpec) -> None:
    parameters = [Parameter(Tensor(np.ones(1, np.float32)), name=f"p{i}") for i in range(MANY)]
    slots = [{s: zeros_like(p, f"{p.name}/{s}") for s in spec.slots} for p in parameters]
    groups = {
        GroupKey(0, 1.0, 0.0): list(range(0, MANY, 2)),
        GroupKey(0, 1.0, 0.1): list(range(1, MANY, 2)),
    }
    steep = np.arange(MANY, dtype=np.float32) + 0.5
    cell = Clipping(update_rule(spec, parameters, slots, groups), 0.5 * float(norm(steep)))
    gradients = tuple(Tensor(each) for each in steep.reshape(-1, 1))
    values = tuple(Tensor(value) for value in scalars(spec, StepPlan(0, 0.25), groups))
    with graph_mode():
        assert_allclose(cell(gradients, values).asnumpy(), norm(steep), rtol=1e-6)
    decay = np.tile([0.0, 0.1], MANY // 2)
    moved = 0.25 * (0.5 * steep + decay) if isinstance(spec, SGDSpec) else np.full(MANY, 0.25)
    found = [float(parameter.asnumpy()[0]) for parameter in parameters]
    assert_allclose(found, 1 - moved, rtol=1e-5)
