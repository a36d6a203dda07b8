"""Class weights in a run: what they weigh, and which of them are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import CLASSES, experiment, make_images
from zoo import ALL, run

WEIGHTS = dict(zip(CLASSES, (5.0, 1.0, 0.2), strict=True))


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_the_training_loss_does_not_depend_on_how_a_batch_is_divided(
    backend: str, loss: str, tmp_path: Path
) -> None:
    images = make_images(tmp_path / "images", train=5, val=1)
    weighted = {"name": loss, "class_weights": WEIGHTS, "label_smoothing": 0.1}
    losses = []
    for size in (15, 4):
        spec = experiment(images, loss=weighted, batch_size=size, accumulate=4)
        history = run(backend, spec, tmp_path / str(size)).history
        losses.append([metrics.train_loss for metrics in history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
