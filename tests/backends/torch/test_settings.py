"""Runs under a caller's settings of PyTorch, and these settings after them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import isotune
from isotune.errors import TrainingError
from isotune_torch.settings import GROUPS, OPERATORS, default_settings
from tiny import experiment, make_images
from zoo import plugins, run

CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_run_is_the_same_within(name: str, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    spec = experiment(images, backbone={"name": "tiny_bn", "weights": "none"}, drop_last=True)
    image = images / "val/ants/0.png"
    outside = run("torch", spec, tmp_path / "outside")
    with CONTEXTS[name]():
        inside = run("torch", spec, tmp_path / "inside")
        opened = isotune.open_run(inside.path, plugins=plugins("torch"))
        assert opened.predict(image) == inside.predict(image)
        features = opened.features([image])
        longer = isotune.resume(inside.path, overrides=["epochs=3"], plugins=plugins("torch"))
    assert [each.values for each in longer.history[:2]] == [e.values for e in outside.history]
    assert opened.predict(image) == outside.predict(image)
    np.testing.assert_array_equal(features, outside.features([image]))
    outputs = longer.model(torch.zeros(1, 3, 8, 8))
    outputs.sum().backward()  # no inference tensor


def test_settings_are_the_callers_between_predictions_and_after_a_failure(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    spec = experiment(images)
    with torch.no_grad(), torch.random.fork_rng([]):
        torch.manual_seed(5)
        drawn = torch.rand(1)
        torch.manual_seed(5)
        for prediction in run("torch", spec, tmp_path / "run").predict_each([images / "none.png"]):
            assert isinstance(prediction, isotune.DatasetError)
            assert not torch.is_grad_enabled()
        with pytest.raises(TrainingError):
            run("torch", {**spec, "optimizer": {"name": "sgd", "lr": 3e38}}, tmp_path / "failed")
        assert not torch.is_grad_enabled()
        assert torch.rand(1) == drawn


def precisions() -> list[str]:
    """Returns the precision of everything that has one; older functions' last, if they agree."""
    found = [getattr(torch.backends, "fp32_precision", "")]
    for path in (*GROUPS[1:], *OPERATORS):
        place: Any = torch.backends
        for name in path.split("."):
            place = getattr(place, name, None)
        found.append(getattr(place, "fp32_precision", ""))
    for older in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            found.append(str(older()))
        except RuntimeError:
            found.append("disagrees")
    return found


def set_at(*places: Any) -> Callable[[str], None]:
    def set_all(precision: str) -> None:
        for place in places:
            place.fp32_precision = precision

    return set_all


NEWER = pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="PyTorch 2.9")


@pytest.mark.parametrize(
    ("set_precision", "values"),
    [
        (torch.set_float32_matmul_precision, ("high", "highest")),
        (torch.set_float32_matmul_precision, ("medium", "highest")),
        *(
            pytest.param(set_at(*places), ("tf32", "none"), marks=NEWER)
            for places in (
                (torch.backends,),
                (torch.backends.cudnn,),
                (torch.backends.cuda.matmul,),
                (torch.backends.mkldnn.matmul,),
                (torch.backends, torch.backends.cuda.matmul),
            )
        ),
    ],
)
def test_float32_is_exact_whatever_precision_was_set(
    set_precision: Callable[[str], None], values: tuple[str, str]
) -> None:
    start = precisions()
    set_precision(values[0])
    try:
        before = precisions()
        assert before != start
        with default_settings(torch.device("cpu")):
            *newer, matmul, cudnn = precisions()
            assert not set(newer) & {"tf32", "bf16"}
            assert (matmul, cudnn) == ("highest", "False")
        assert precisions() == before
    finally:
        set_precision(values[1])
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
