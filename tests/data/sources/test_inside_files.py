"""Images inside a file are those of a folder: the same bytes, labels, digests and order."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

import isotune
from containers import MAKERS
from isotune.data.images import open_split
from isotune.interfaces.dataset import ImageSource
from isotune.spec.dataset import AnyDataset
from tiny import experiment, make_images, numpy_plugins

Save = Callable[..., Path]

NAMES = (
    *("train/zebra/2.jpg", "train/zebra/10.JPG", "train/zebra/deep/er/1.png"),
    *("train/zebra/deep-er/1.png", "train/zebra/.hidden.bmp", "train/Ant/a.Jpeg"),
    *("train/Ant/B.webp", "train/été/naïve café.tiff", "train/été/名前.ppm"),
    f"train/été/{'long' * 40}.png",
    *("val/zebra/1.jpg", "val/Ant/1.jpg", "val/été/1.jpg", "val/Ant/._1.jpg"),
)


def opened(options: object, split: str) -> ImageSource:
    return open_split(TypeAdapter(AnyDataset).validate_python(options), split)


@pytest.fixture
def folder(save: Save, tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        save(f"folder/{name}", seed=number)
    (tmp_path / "folder/train/zebra/notes.txt").write_text("no image")
    return tmp_path / "folder"


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_source_is_that_of_the_folder(
    maker: str, split: str, folder: Path, tmp_path: Path
) -> None:
    if maker == "parquet":
        pytest.importorskip("pyarrow", exc_type=ImportError)
    (tmp_path / "packed").mkdir()
    options = MAKERS[maker](folder, tmp_path / "packed")
    theirs, ours = opened({"path": str(folder)}, split), opened(options, split)
    assert ours.classes == theirs.classes
    assert ours.labels.dtype == theirs.labels.dtype
    assert ours.labels.tolist() == theirs.labels.tolist()
    assert np.array_equal(ours.digests(), theirs.digests())
    assert ours.unchanged()
    if options["format"] == "archive":
        names = [theirs.name(index) for index in range(len(theirs))]
        assert [ours.name(index) for index in range(len(ours))] == names
    order = [*range(len(ours))] * 5
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(8) as threads:
        for index, image in zip(order, threads.map(ours.load, order), strict=True):
            assert image.tobytes() == theirs.load(index).tobytes()


def test_a_run_is_that_of_the_folder(tmp_path: Path) -> None:
    images = make_images(tmp_path / "folder")
    made: dict[str, dict[str, bytes]] = {}
    for name in ("folder", "zip", "webdataset"):
        (tmp_path / name).mkdir(exist_ok=True)
        dataset = MAKERS[name](images, tmp_path / name) if name in MAKERS else {"path": str(images)}
        run = tmp_path / f"{name} run"
        spec = experiment(images, dataset=dataset)
        isotune.run(spec, backend="numpy", output=run, plugins=numpy_plugins())
        tensors = sorted(run.glob("checkpoints/*/*.safetensors"))
        made[name] = {str(path.relative_to(run)): path.read_bytes() for path in tensors}
        made[name]["images"] = (run / "images.jsonl").read_bytes()
    assert len(made["folder"]) == 5
    assert made["zip"] == made["folder"]
    for name in made["folder"].keys() - {"images"}:  # shards have names of their own
        assert made["webdataset"][name] == made["folder"][name]
