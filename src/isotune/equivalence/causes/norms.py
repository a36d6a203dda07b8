"""What a normalization layer divides by: epsilon, kind of variance, and whose statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import fits, number
from isotune.equivalence.causes.evidence import Array, Evidence

Wide = NDArray[np.float64]

NOISE = 1e-6
"""Relative error of a group's divisor, as measured in float32 outputs."""

STRAIGHT = 1e-4
"""Largest relative difference of a group's output from a multiple of its centered input."""

MOST = 1 << 22
"""Largest number of elements to look at."""


@dataclass(frozen=True, eq=False)
class _Groups:
    """Elements that are normalized together, one group a row.

    Attributes:
        x: The input.
        outputs: Both sides' outputs.
        weight: The weight of each element.
        bias: The bias of each element.
        channels: The channel of each row, where a row has one; None otherwise.
        shape: Shape of weight and bias.
    """

    x: Wide
    outputs: tuple[Wide, Wide]
    weight: Wide
    bias: Wide
    channels: NDArray[np.int64] | None
    shape: tuple[int, ...]


def other_epsilon(evidence: Evidence) -> str | None:
    """Finds that both sides fit different epsilons, or that one divides by the unbiased variance.

    An output less the bias is a multiple of the centered input times the weight. The square of
    its inverse is ``divisor + eps``, where the divisor should be the biased variance.
    """
    groups = _groups(evidence)
    if groups is None:
        return None
    found = [_divisor(groups, output) for output in groups.outputs]
    both = [each for each in found if each is not None]
    if len(both) < 2:
        return None
    (one, unbiased), (other, also) = both
    first, second = evidence.labels
    if unbiased != also:
        side, rest = (first, second) if unbiased else (second, first)
        return (
            f"{side} fits division by the unbiased variance, over n - 1 of"
            f" {groups.x.shape[1]} elements, {rest} by the biased one."
        )
    if abs(one - other) <= 0.05 * max(one, other):
        return None
    shown = [number(eps) if eps else "0" for eps in (one, other)]
    return f"It fits eps {shown[0]} in {first} and {shown[1]} in {second}."


def other_mode(evidence: Evidence) -> str | None:
    """Finds that one side's BatchNorm uses its running statistics, and the other the batch's."""
    groups = _groups(evidence)
    mean, variance = evidence.parameter("running_mean"), evidence.parameter("running_var")
    if groups is None or groups.channels is None or mean is None or variance is None:
        return None
    if not mean.shape == variance.shape == groups.shape:
        return None
    eps = evidence.setting("eps")
    eps = eps if isinstance(eps, float) else 1e-5
    own = [each.astype(np.float64)[groups.channels][:, None] for each in (mean, variance)]
    batch = [groups.x.mean(1, keepdims=True), groups.x.var(1, keepdims=True)]
    expected = {
        name: (groups.x - stats[0]) / np.sqrt(stats[1] + eps) * groups.weight + groups.bias
        for name, stats in (("running", own), ("batch", batch))
    }
    between = _between(groups)
    modes = [
        next((name for name, each in expected.items() if fits(each, output, between)), None)
        for output in groups.outputs
    ]
    if None in modes or modes[0] == modes[1]:
        return None
    running, rest = evidence.labels if modes[0] == "running" else evidence.labels[::-1]
    return f"{running} fits BatchNorm with its running statistics, {rest} with those of the batch."


def _between(groups: _Groups) -> float:
    one, other = groups.outputs
    return float(np.linalg.norm(one - other) / (np.linalg.norm(one) or 1.0))


def _divisor(groups: _Groups, output: Wide) -> tuple[float, bool] | None:
    """Returns the epsilon that a side fits, and whether its variance is the unbiased one."""
    centered = (groups.x - groups.x.mean(1, keepdims=True)) * groups.weight
    plain = output - groups.bias
    squares, variances = (centered**2).sum(1), groups.x.var(1)
    some = (squares > 0) & (variances > 1e-12)
    if some.sum() < 2:
        return None
    scales = (centered * plain).sum(1)[some] / squares[some]
    rest = plain[some] - centered[some] * scales[:, None]
    if (scales <= 0).any() or np.linalg.norm(rest) > STRAIGHT * np.linalg.norm(plain[some]):
        return None
    size = groups.x.shape[1]
    for unbiased in (False, True) if size > 1 else (False,):
        eps = _constant(1 / scales**2, variances[some] * (size / (size - 1) if unbiased else 1.0))
        if eps is not None:
            return eps, unbiased
    return None


def _constant(divisors: Wide, variances: Wide) -> float | None:
    """Returns by how much all divisors exceed the variances; None if that is not constant."""
    errors = NOISE * divisors
    weights = 1 / errors**2
    excess = divisors - variances
    eps = float((excess * weights).sum() / weights.sum())
    straight = np.abs(excess - eps) <= 5 * errors + 0.01 * abs(eps)
    error = 3 / math.sqrt(float(weights.sum()))
    if straight.mean() < 0.95 or eps < -error:
        return None
    return eps if eps > error else 0.0


def _groups(evidence: Evidence) -> _Groups | None:
    """Returns input and outputs by groups, if the layer normalizes and its parameters are known."""
    outputs, inputs = evidence.outputs(), evidence.inputs()
    weight, bias = evidence.parameter("weight"), evidence.parameter("bias")
    if outputs is None or len(inputs) != 1 or inputs[0].shape != outputs[0].shape:
        return None
    if weight is None or bias is None or weight.shape != bias.shape or not weight.size:
        return None
    for kind in evidence.kinds:
        if kind.startswith("BatchNorm") and inputs[0].shape[1:2] == weight.shape:
            return _of_channels(inputs[0], outputs, weight, bias)
        if kind == "LayerNorm2d" and inputs[0].ndim > 1:
            along = [np.moveaxis(each, 1, -1) for each in (inputs[0], *outputs)]
            return _of_last(along, weight, bias)
        if kind.startswith("LayerNorm"):
            return _of_last([inputs[0], *outputs], weight, bias)
    return None


def _of_channels(x: Array, outputs: tuple[Array, Array], weight: Array, bias: Array) -> _Groups:
    channels = x.shape[1]
    step = max(1, -(-x.size // MOST))
    chosen = np.arange(0, channels, min(step, max(1, channels // 2)), dtype=np.int64)

    def rows(array: Array) -> Wide:
        moved = np.moveaxis(array[:, chosen], 1, 0)
        return moved.reshape(len(chosen), -1).astype(np.float64)

    wide, one, other = rows(x), rows(outputs[0]), rows(outputs[1])
    own = [each.astype(np.float64)[chosen][:, None] for each in (weight, bias)]
    return _Groups(wide, (one, other), own[0], own[1], chosen, weight.shape)


def _of_last(arrays: list[Array], weight: Array, bias: Array) -> _Groups | None:
    if arrays[0].shape[-weight.ndim :] != weight.shape:
        return None
    size = weight.size
    step = max(1, -(-arrays[0].size // MOST))
    x, one, other = (each.reshape(-1, size)[::step].astype(np.float64) for each in arrays)
    own = [each.astype(np.float64).reshape(1, -1) for each in (weight, bias)]
    return _Groups(x, (one, other), own[0], own[1], None, weight.shape)
