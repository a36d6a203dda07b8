"""What a step asks PyTorch for, in each precision; devices that are not here are pretended."""

from __future__ import annotations

import pytest
import torch

from isotune.spec.values import Precision
from isotune_torch.precision import PrecisionPolicy

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("tf32", True)])
def test_tf32_is_allowed_or_forbidden_within_a_step_alone(
    precision: Precision, allowed: bool
) -> None:
    before = flags()
    with PrecisionPolicy(precision, CUDA).step():
        assert flags() == (allowed, allowed)
    assert flags() == before
    with pytest.raises(KeyError), PrecisionPolicy(precision, CUDA).step():
        raise KeyError
    assert flags() == before


def test_only_float16_scales_its_gradients() -> None:
    loss = torch.ones(())
    for precision in ("fp32", "bf16"):
        assert PrecisionPolicy(precision, CPU).scaler.scale(loss) is loss
    assert PrecisionPolicy("fp16", CPU).scaler.scale(loss) > 1


def test_the_scale_of_float16_gradients_is_remembered() -> None:
    policy, told = PrecisionPolicy("fp16", CPU), {"scale": 512.0, "growth_tracker": 3.0}
    for _ in range(2):  # before its first use, and after it
        policy.load_scaler(told)
        assert policy.scaler_state() == told
        assert policy.scaler.scale(torch.ones(())) == 512
    exact = PrecisionPolicy("fp32", CPU)
    exact.load_scaler(told)
    assert exact.scaler_state() == {}


def test_half_precision_holds_in_the_forward_pass_alone() -> None:
    square = torch.ones(2, 2)
    policy = PrecisionPolicy("bf16", CPU)
    with policy.step():
        with policy.forward():
            assert (square @ square).dtype == torch.bfloat16
        assert (square @ square).dtype == torch.float32
