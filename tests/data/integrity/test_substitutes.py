"""Which image stands for a broken one that is met in training: no other changes its place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from isotune.data.batches import Batches
from isotune.data.integrity.broken import BrokenImageError
from isotune.data.transforms.random_crop import RandomCropSpec
from isotune.errors import DatasetError
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.spec.mixing import MixingSpec
from isotune.spec.values import Sampler

SINGLE = np.arange(40, dtype=np.int32) % 3
SEVERAL = np.eye(4, dtype=np.float32)[np.arange(40) % 4] + np.eye(4, dtype=np.float32)[0]
RARE = np.concatenate([np.ones((1, 4), np.float32), np.eye(4, dtype=np.float32)[np.arange(39) % 4]])


class Noise(ImageSource):
    """Images of noise, some of which are broken."""

    def __init__(self, labels: np.ndarray, broken: set[int]) -> None:
        self.classes, self.labels, self.broken = ("a", "b", "c", "d"), labels, broken

    def load(self, index: int) -> Image.Image:
        if index in self.broken:
            raise OSError("lens cap on")
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    def identify(self, index: int) -> str:
        return f"noise {index}"


def epoch(
    labels: np.ndarray,
    broken: set[int],
    sampler: Sampler | None,
    workers: int = 3,
    mixing: MixingSpec | None = None,
) -> tuple[list[Batch], list[int], np.ndarray]:
    """Returns the batches of an epoch, which images they have skipped, and the epoch's order."""
    met: set[int] = set()
    batches = Batches(
        Noise(labels, broken),
        (RandomCropSpec(size=6),),
        8,
        seed=5,
        workers=workers,
        sampler=sampler,
        mixing=mixing,
        skip=lambda error: met.add(error.index),
    )
    return list(batches.epoch(2)), sorted(met), batches.order(2)


@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
@pytest.mark.parametrize("labels", [SINGLE, SEVERAL], ids=["single", "several"])
def test_the_next_readable_image_of_the_same_label_stands_for_a_broken_one(
    labels: np.ndarray, sampler: Sampler
) -> None:
    whole, _, order = epoch(labels, set(), sampler)
    broken = {int(order[3]), int(order[39]), 11}
    found, met, _ = epoch(labels, broken, sampler)
    again, _, _ = epoch(labels, broken, sampler, workers=1)
    assert met == sorted(broken & set(order.tolist()))
    shown, images, same = (
        np.concatenate([batch.images for batch in each]) for each in (whole, found, again)
    )
    assert (images == same).all()
    assert [len(batch) for batch in found] == [len(batch) for batch in whole]
    assert all((a.labels == b.labels).all() for a, b in zip(whole, found, strict=True))
    for place, index in enumerate(order.tolist()):
        expected = place
        while int(order[expected]) in broken or (labels[order[expected]] != labels[index]).any():
            expected = (expected + 1) % len(order)
        assert (images[place] == shown[expected]).all()


def test_what_stands_for_a_broken_image_is_mixed_in_its_place() -> None:
    mixing = MixingSpec(mixup=1.0, cutmix=1.0)
    mixed = [epoch(SINGLE, {3, 11}, "shuffled", workers, mixing) for workers in (1, 3)]
    plain, _, _ = epoch(SINGLE, {3, 11}, "shuffled")
    for (one, other), batch in zip(
        zip(*(found for found, *_ in mixed), strict=True), plain, strict=True
    ):
        assert (one.images == other.images).all()
        assert (one.labels == other.labels).all()
        shares = np.sort(one.labels, axis=1)[:, -2:].sum(axis=1)
        assert shares == pytest.approx(1)
        assert (one.labels[np.arange(8), batch.labels] > 0).all()


def test_where_a_set_of_labels_is_rare_any_image_may_stand_for_it_with_its_own_labels() -> None:
    found, met, order = epoch(RARE, {0}, "shuffled")
    place = order.tolist().index(0)
    labels = np.concatenate([batch.labels for batch in found])
    assert met == [0]
    assert (labels[place] == RARE[order[(place + 1) % 40]]).all()
    assert (np.delete(labels, place, 0) == RARE[np.delete(order, place)]).all()


def test_an_evaluation_leaves_broken_images_out_and_its_batches_stay_full() -> None:
    whole, _, _ = epoch(SINGLE, set(), None)
    found, met, _ = epoch(SINGLE, {0, 9, *range(16, 24)}, None)
    assert met == [0, 9, *range(16, 24)]
    assert [len(batch) for batch in found] == [8, 8, 8, 6]
    kept = np.isin(np.arange(40), met, invert=True)
    for part in ("images", "labels"):
        before, after = (
            np.concatenate([getattr(batch, part) for batch in each]) for each in (whole, found)
        )
        assert (after == before[kept]).all()


def test_an_evaluation_without_any_readable_image_is_an_error() -> None:
    with pytest.raises(DatasetError, match="none of the images to evaluate can be read"):
        epoch(SINGLE, set(range(40)), None)


def test_a_class_without_any_readable_image_is_an_error() -> None:
    with pytest.raises(DatasetError, match=r"no training image of this one's class .*lens cap on"):
        epoch(SINGLE, set(range(1, 40, 3)), "shuffled")


def test_lack_of_memory_breaks_no_image() -> None:
    source = Noise(SINGLE, set())

    def short(index: int) -> Image.Image:
        raise MemoryError

    source.load = short  # type: ignore[method-assign]
    batches = Batches(source, (), 1, seed=0, sampler=None, skip=lambda error: None)
    with pytest.raises(DatasetError, match="not enough memory") as raised:
        batches.image(0, 0)
    assert not isinstance(raised.value, BrokenImageError)
