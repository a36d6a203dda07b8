"""The same image in both splits: counted, shown by an example, refused when that is asked for."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

import isotune
from cifar import make_cifar10
from isotune.data.duplicates import check_duplicates
from isotune.data.sources.cifar10 import Cifar10Source
from isotune.errors import DatasetError
from isotune.spec.dataset import Splits
from tiny import experiment, make_images, numpy_plugins


def test_a_run_says_so_in_one_line_or_stops_or_ignores_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = make_images(tmp_path / "images")
    spec = experiment(images, epochs=1)

    def lines(duplicates: str, output: str) -> list[str]:
        caplog.clear()
        isotune.run(
            spec,
            backend="numpy",
            overrides=[f"dataset.duplicates={duplicates}"],
            output=tmp_path / output,
            plugins=numpy_plugins(),
        )
        return caplog.messages

    assert lines("error", "all different") == []
    for name, copy in (("ants/0", "ants/0"), ("bees/1", "bees/1"), ("bees/2", "ants/1")):
        shutil.copyfile(images / f"train/{name}.png", images / f"val/{copy}.png")
    os.utime(images / "val/ants/0.png", ns=(1, 1))
    found = (
        "3 images are in both 'train' and 'val', 1 of them in another class:"
        " train/ants/0.png = val/ants/0.png"
    )
    expected = [f"{found}; the model may know them by heart, so validation flatters it."]
    assert lines("warn", "warned") == expected
    assert lines("ignore", "ignored") == []
    with pytest.raises(DatasetError, match=re.escape(f"{found}; remove them from one of")):
        lines("error", "refused")
    assert not (tmp_path / "refused").exists()


def test_images_in_files_of_many_are_compared_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_cifar10(tmp_path / "cifar")
    train, val = Cifar10Source(root, "train"), Cifar10Source(root, "val")
    check_duplicates(train, val, Splits(), "warn")
    assert caplog.messages == []
    with (root / "test_batch.bin").open("ab") as file:
        file.write((root / "data_batch_2.bin").read_bytes()[3073:6146])
    check_duplicates(train, Cifar10Source(root, "val"), Splits(), "warn")
    (line,) = caplog.messages
    same = "train/data_batch_2.bin[1] = val/test_batch.bin[3]"
    assert line.startswith(f"1 image is in both 'train' and 'val': {same};")
