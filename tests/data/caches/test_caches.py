from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

import isotune
from cifar import make_cifar10
from isotune.data import decode
from isotune.data import images as images_module
from isotune.data.caches.open import PixelCaches, open_stores
from isotune.data.sources.cifar10 import Cifar10Source
from isotune.data.sources.folder import FolderSource
from isotune.data.sources.subset import Subset
from isotune.experiment.result import Run
from isotune.spec.load import load_spec
from tiny import experiment, make_images, numpy_plugins

CACHES: dict[str, dict[str, Any]] = {
    "off": {"images": "off"},
    "memory": {},
    "disk": {"memory": 0},
    "neither": {"memory": 0, "disk": 0},
}
PIPELINES = {
    "train": [{"resize": 10}, {"random_resized_crop": 8}, "random_horizontal_flip"],
    "val": [{"resize": 9}, {"center_crop": 8}],
}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded from now on."""
    times: Counter[str] = Counter()

    def note(file: BinaryIO, name: str, max_pixels: int) -> Any:
        times[name] += 1
        return original(file, name, max_pixels)

    original = decode.decode_rgb
    monkeypatch.setattr(decode, "decode_rgb", note)
    return times


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[PixelCaches]:
    """The stores that runs open from now on."""
    found: list[PixelCaches] = []

    def note(*arguments: Any) -> PixelCaches:
        found.append(open_stores(*arguments))
        return found[-1]

    monkeypatch.setattr(images_module, "open_stores", note)
    return found


def run(images: Path, output: Path, **changes: Any) -> Run:
    # A last batch of one image would be decoded once more: BatchNorm may not train on it.
    spec = experiment(images, transforms=PIPELINES, epochs=3, batch_size=3, **changes)
    return isotune.run(spec, backend="numpy", output=output, plugins=numpy_plugins())


def is_empty(kept: PixelCaches) -> bool:
    stores = [store for store in (kept.train, kept.val) if store is not None]
    return all(store.get(0) is None and store._slabs == [] for store in stores)


def test_a_cache_changes_how_often_images_are_decoded_and_nothing_else(
    tmp_path: Path, decoded: Counter[str], opened: list[PixelCaches]
) -> None:
    images = make_images(tmp_path / "images")
    metrics, weights, times = {}, {}, {}
    for name, cache in CACHES.items():
        decoded.clear()
        found = run(images, tmp_path / name, cache=cache)
        metrics[name] = [(m.train_loss, m.val_loss, m.val_accuracy) for m in found.history]
        weights[name] = {
            key: value.tobytes()
            for key, value in found.backend.state_adapter.export_model(found.model).items()
        }
        times[name] = set(decoded.values())
        assert len(decoded) == 15
    assert times == {"off": {3}, "memory": {1}, "disk": {1}, "neither": {3}}
    for name in CACHES:
        assert metrics[name] == metrics["off"]
        assert weights[name] == weights["off"]
    assert len(opened) == len(CACHES)
    assert all(map(is_empty, opened))


def test_a_run_that_fails_gives_its_memory_back(tmp_path: Path, opened: list[PixelCaches]) -> None:
    class Impatient:
        @isotune.hookimpl
        def isotune_epoch_ended(self, event: object) -> None:
            raise KeyboardInterrupt

    images = make_images(tmp_path / "images")
    spec = experiment(images)
    with pytest.raises(KeyboardInterrupt):
        isotune.run(
            spec,
            backend="numpy",
            output=tmp_path / "run",
            plugins=numpy_plugins(),
            observers=[Impatient()],
        )
    assert opened[0].train is not None
    assert is_empty(opened[0])


def test_only_what_is_asked_for_again_is_kept(tmp_path: Path) -> None:
    images = FolderSource(make_images(tmp_path / "images"), "train")
    digits = Cifar10Source(make_cifar10(tmp_path / "cifar", records=2), "train")

    def kept(source: Any, **changes: Any) -> tuple[bool, bool]:
        stores = open_stores(load_spec(experiment(tmp_path, **changes)), source, source)
        return stores.train is not None, stores.val is not None

    assert kept(images) == kept(Subset(images, [0, 2])) == (True, True)
    assert kept(images, cache={"images": "off"}) == (False, False)
    assert kept(images, epochs=1) == (False, False)
    assert kept(images, epochs=2, evaluation={"start": 2}) == (True, False)
    assert kept(digits) == kept(Subset(digits, [0])) == (False, False)


def test_validation_has_room_for_all_its_images_and_training_the_rest(tmp_path: Path) -> None:
    images = FolderSource(make_images(tmp_path / "images"), "train")
    spec = load_spec(
        experiment(
            tmp_path,
            transforms={"val": [{"center_crop": 300}], "train": [{"random_crop": 8}]},
            cache={"memory": 2, "disk": 1},
        )
    )
    kept = open_stores(spec, images, images)
    assert kept.train is not None
    assert kept.val is not None
    large = np.zeros((300, 300, 3), np.uint8)  # nine of them are 2.3 MiB
    for number in range(9):
        kept.val.put(number, large)
        kept.train.put(number, large)
    assert sum(kept.val.get(number) is not None for number in range(9)) == 3 + 1
    assert sum(kept.train.get(number) is not None for number in range(9)) == 3 + 1
