"""Out-of-fold predictions on disk: read as they were written, whatever happens to the files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.errors import RunError
from isotune.runs.out_of_fold import (
    FoldPredictions,
    predictions_path,
    read_out_of_fold,
    write_predictions,
)

CLASSES = ("ants", "bees", "cats")


def made(positions: list[int], several: bool = False) -> FoldPredictions:
    """Returns made-up predictions of the images at these positions."""
    generator = np.random.default_rng(positions)
    shape = (len(positions), len(CLASSES)) if several else len(positions)
    labels = generator.integers(0, 2 if several else 3, shape)
    kind = np.float32 if several else np.int32
    return FoldPredictions(
        CLASSES,
        np.array(positions),
        [f"ants/{position}\udc80.png" for position in positions],
        [f"{position:032x}" for position in positions],
        labels.astype(kind),
        (1 - labels).clip(0).astype(kind),
        generator.random((len(positions), 3), np.float32),
        {"accuracy": 0.1 + 0.2, "roc_auc": math.nan},
    )


@pytest.mark.parametrize("several", [False, True])
def test_predictions_are_read_in_the_order_of_the_dataset(several: bool, tmp_path: Path) -> None:
    parts = made([3, 0], several), made([1, 4, 2], several)
    for number, part in enumerate(parts, 1):
        write_predictions(tmp_path, number, part)
    read = read_out_of_fold(tmp_path, 2)
    assert read.classes == CLASSES
    assert read.folds.tolist() == [1, 2, 2, 1, 2]
    assert read.names == [f"ants/{position}\udc80.png" for position in range(5)]
    assert [int(digest, 16) for digest in read.digests] == list(range(5))
    order = [1, 2, 4, 0, 3]
    for name in ("labels", "predicted", "probabilities"):
        whole = np.concatenate([getattr(part, name) for part in parts])[order]
        np.testing.assert_array_equal(getattr(read, name), whole, strict=True)
    assert read.metrics[1]["accuracy"] == 0.1 + 0.2
    assert math.isnan(read.metrics[0]["roc_auc"])


def test_missing_folds_and_damaged_files_are_named(tmp_path: Path) -> None:
    write_predictions(tmp_path, 1, made([0, 1]))
    with pytest.raises(RunError, match=r"fold 2 has not ended; isotune resume .* goes on"):
        read_out_of_fold(tmp_path, 2)
    write_predictions(tmp_path, 2, made([1, 2]))
    with pytest.raises(RunError, match=r"predictions: is damaged: .* not hold every image once"):
        read_out_of_fold(tmp_path, 2)
    path = predictions_path(tmp_path, 2)
    whole = path.read_bytes()
    for data in (b"", whole[:-1], whole[8:], whole.replace(b"ants/1", b'nts"1/')):
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"fold-2.safetensors: is damaged: \w+"):
            read_out_of_fold(tmp_path, 2)
    path.unlink()
    path.symlink_to(predictions_path(tmp_path, 1))
    with pytest.raises(RunError, match="is a link"):
        read_out_of_fold(tmp_path, 2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": np.array([0, 1], np.int32)}, "'labels' has the type int32 or the shape"),
        ({"labels": np.array([3], np.int32)}, "a label is no class"),
        ({"probabilities": np.full((1, 3), np.nan, np.float32)}, r"a probability is not in \[0, 1"),
    ],
)
def test_values_are_checked(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    write_predictions(tmp_path, 1, replace(made([0]), **changes))
    with pytest.raises(RunError, match=f"fold-1.safetensors: is damaged: {says}"):
        read_out_of_fold(tmp_path, 1)
