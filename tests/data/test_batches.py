from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isotune.data import reader
from isotune.data.batches import AHEAD, Batches
from isotune.data.caches.pixels import PixelStore
from isotune.data.integrity.check import clean
from isotune.data.sources.folder import FolderSource
from isotune.data.transforms.affine import AffineSpec
from isotune.data.transforms.color_jitter import ColorJitterSpec
from isotune.data.transforms.crop import CenterCropSpec
from isotune.data.transforms.flip import RandomHorizontalFlipSpec
from isotune.data.transforms.pipeline import transform
from isotune.data.transforms.random_apply import RandomApplySpec
from isotune.data.transforms.random_crop import RandomCropSpec
from isotune.data.transforms.random_erasing import RandomErasingSpec
from isotune.data.transforms.random_resized_crop import RandomResizedCropSpec
from isotune.data.transforms.resize import ResizeSpec
from isotune.errors import DatasetError, SpecError
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.interfaces.division import Division
from isotune.randomness import Purpose, epoch_order, stream
from isotune.spec.mixing import MixingSpec
from isotune.spec.transforms import TransformSpec

RANDOM = (
    RandomResizedCropSpec(size=(6, 8)),
    RandomHorizontalFlipSpec(),
    RandomApplySpec(transforms=(RandomErasingSpec(value="random"), AffineSpec(degrees=9.0))),
    ColorJitterSpec(hue=0.2),
)
PLAIN = (CenterCropSpec(size=6),)


class NoiseSource(ImageSource):
    """Images of noise of different sizes, which notes what was loaded."""

    def __init__(self, length: int, bad: int | None = None) -> None:
        self.classes = ("a", "b", "c")
        self.labels = np.arange(length, dtype=np.int32) % 3
        self.bad = bad
        self.loaded: list[int] = []

    def load(self, index: int) -> Image.Image:
        self.loaded.append(index)
        if index == self.bad:
            raise OSError("lens cap on")
        rng = np.random.default_rng(index)
        shape = (9 + index % 5, 11 + index % 7, 3)
        return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))

    def identify(self, index: int) -> str:
        return f"noise {index}"


def assert_equal(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)


def decoding_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("isotune-data")]


def test_a_batch_holds_the_transformed_images_of_the_epochs_order() -> None:
    source = NoiseSource(10)
    found = list(Batches(source, RANDOM, 4, seed=5, sampler="shuffled").epoch(3))
    order = epoch_order(5, 3, 10)
    expected = [
        np.asarray(transform(source.load(i), RANDOM, stream(5, Purpose.AUGMENTATION, 3, int(i))))
        for i in order
    ]
    assert [batch.images.shape for batch in found] == [(4, 6, 8, 3), (4, 6, 8, 3), (2, 6, 8, 3)]
    np.testing.assert_array_equal(np.concatenate([b.images for b in found]), np.stack(expected))
    np.testing.assert_array_equal(
        np.concatenate([batch.labels for batch in found]), source.labels[order]
    )
    for batch in found:
        assert batch.images.dtype == np.uint8
        assert batch.labels.dtype == np.int32
        assert batch.images.flags.c_contiguous


def test_epochs_differ_and_repeat_exactly() -> None:
    batches = Batches(NoiseSource(10), RANDOM, 10, seed=5, sampler=None)
    (first,), (second,), (again,) = (list(batches.epoch(epoch)) for epoch in (0, 1, 0))
    assert not np.array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.images, again.images)


@pytest.mark.parametrize("workers", [2, 5])
def test_the_number_of_workers_changes_nothing(workers: int) -> None:
    one, many = (
        Batches(NoiseSource(23), RANDOM, 4, seed=1, workers=count, sampler="shuffled")
        for count in (1, workers)
    )
    assert_equal(list(many.epoch(2)), list(one.epoch(2)))


@pytest.mark.parametrize("start", [0, 1, 5, 6])
def test_an_epoch_can_start_in_the_middle_without_decoding_what_is_before(start: int) -> None:
    source = NoiseSource(23)
    batches = Batches(source, RANDOM, 4, seed=1, sampler="shuffled")
    whole = list(batches.epoch(2))
    source.loaded.clear()
    assert_equal(list(batches.epoch(2, start_batch=start)), whole[start:])
    assert sorted(source.loaded) == sorted(epoch_order(1, 2, 23)[start * 4 :])


@pytest.mark.parametrize(
    ("length", "drop_last", "sizes"),
    [
        (9, False, [4, 4, 1]),
        (9, True, [4, 4]),
        (8, True, [4, 4]),
        (3, False, [3]),
        (3, True, []),
    ],
)
def test_the_last_batch_is_short_or_dropped(length: int, drop_last: bool, sizes: list[int]) -> None:
    batches = Batches(
        NoiseSource(length), PLAIN, 4, seed=1, sampler="shuffled", drop_last=drop_last
    )
    assert [len(batch) for batch in batches.epoch(0)] == sizes
    assert len(batches) == len(sizes)
    assert batches.size == sum(sizes)


def test_without_shuffling_the_order_is_the_sources() -> None:
    source = NoiseSource(7)
    batches = Batches(source, PLAIN, 3, seed=1, workers=1, sampler=None)
    assert np.concatenate([b.labels for b in batches.epoch(4)]).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert source.loaded == list(range(7))


@pytest.mark.parametrize("bounds", [(10**6, 0), (0, 10**6), (2000, 3000)])
@pytest.mark.parametrize(
    "pipeline", [RANDOM, PLAIN, (ResizeSpec(size=9), RandomCropSpec(size=8), *RANDOM)]
)
def test_keeping_images_changes_nothing(
    pipeline: tuple[TransformSpec, ...], bounds: tuple[int, int]
) -> None:
    source = NoiseSource(23)
    store = PixelStore(23, *bounds)
    kept, plain = (
        Batches(source, pipeline, 4, seed=1, workers=3, sampler="shuffled", store=each)
        for each in (store, None)
    )
    for epoch in range(3):
        assert_equal(list(kept.epoch(epoch)), list(plain.epoch(epoch)))
    source.loaded.clear()
    list(kept.epoch(3))
    assert len(source.loaded) == sum(store.get(index) is None for index in range(23))
    assert len(source.loaded) < 23
    if sum(bounds) == 10**6:
        assert source.loaded == []


def test_an_image_drawn_again_in_an_epoch_is_augmented_anew() -> None:
    source = NoiseSource(30)
    source.labels = np.array([1] * 25 + [0] * 3 + [2] * 2, np.int32)
    store = PixelStore(30, 10**6, 0)
    batches = Batches(source, RANDOM, 4, seed=5, workers=3, sampler="balanced", store=store)
    found = list(batches.epoch(3))
    order, seen, expected = batches.order(3), [0] * 30, []
    for index in order.tolist():
        # The first occurrence is augmented as in an epoch that draws each image once.
        position = (3, index, seen[index]) if seen[index] else (3, index)
        rng = stream(5, Purpose.AUGMENTATION, *position)
        expected.append(np.asarray(transform(source.load(index), RANDOM, rng)))
        seen[index] += 1
    assert max(seen) == 5
    np.testing.assert_array_equal(np.concatenate([b.images for b in found]), np.stack(expected))
    labels = np.concatenate([batch.labels for batch in found])
    np.testing.assert_array_equal(labels, source.labels[order])
    np.testing.assert_array_equal(labels, np.concatenate(list(batches.labels(3))))
    assert_equal(list(batches.epoch(3, start_batch=5)), found[5:])
    one_view = np.concatenate([b.images for b in batches.epoch(0, order=3)])
    np.testing.assert_array_equal(one_view[0], batches.image(0, int(order[0])))
    again = np.flatnonzero(order == seen.index(5))
    assert all(np.array_equal(one_view[row], one_view[again[0]]) for row in again)


def test_a_pipeline_that_draws_nothing_makes_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(reader, "stream")
    assert len(list(Batches(NoiseSource(3), PLAIN, 3, seed=1, sampler=None).epoch(0))) == 1


def test_leaving_early_ends_the_threads_and_bounds_the_work() -> None:
    source = NoiseSource(400)
    for _ in Batches(source, PLAIN, 4, seed=1, workers=3, sampler="shuffled").epoch(0):
        break
    assert decoding_threads() == []
    assert len(source.loaded) <= 4 * (1 + AHEAD)


def test_an_error_in_the_consumer_ends_the_threads() -> None:
    source = NoiseSource(400)
    epoch = Batches(source, PLAIN, 4, seed=1, workers=3, sampler="shuffled").epoch(0)
    next(epoch)
    assert decoding_threads()
    epoch.close()  # type: ignore[attr-defined]
    assert decoding_threads() == []


@pytest.mark.parametrize("workers", [1, 3])
def test_an_unreadable_image_is_an_error_in_its_batch(workers: int) -> None:
    batches = Batches(NoiseSource(40, bad=9), PLAIN, 4, seed=1, workers=workers, sampler=None)
    seen = 0
    with pytest.raises(DatasetError, match=r"noise 9: .*lens cap on"):
        for _ in batches.epoch(0):
            seen += 1
    assert seen == 2
    assert decoding_threads() == []


def test_a_image_that_is_too_small_is_named() -> None:
    batches = Batches(NoiseSource(2), (RandomCropSpec(size=10),), 2, seed=1, sampler=None)
    with pytest.raises(DatasetError, match=r"noise 0: .*random_crop"):
        list(batches.epoch(0))


def test_a_pipeline_without_a_fixed_size_is_refused() -> None:
    with pytest.raises(SpecError, match="one size"):
        Batches(NoiseSource(2), (ResizeSpec(size=8),), 2, seed=1, sampler=None)


def test_skipping_a_broken_image_equals_a_run_without_its_file(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(6):
        for folder in ("with", "without"):
            save(f"{folder}/train/a/{number}.png", seed=number)
    (tmp_path / "with/train/a/3.png").write_text("broken")
    (tmp_path / "without/train/a/3.png").unlink()
    found = []
    for folder in ("with", "without"):
        source, _ = clean(FolderSource(tmp_path / folder, "train"), "skip")
        found.append(list(Batches(source, RANDOM, 2, seed=3, sampler="shuffled").epoch(1)))
    assert_equal(*found)


@pytest.mark.parametrize("mixing", [None, MixingSpec(mixup=1.0), MixingSpec(cutmix=1.0)])
@pytest.mark.parametrize(("shards", "processes"), [(3, 1), (4, 2), (1, 3), (2, 4)])
def test_processes_decode_their_parts_of_the_same_batches(
    mixing: MixingSpec | None, shards: int, processes: int
) -> None:
    """Of 11 images in batches of 5, the last batch has one image."""
    whole = Batches(NoiseSource(11), RANDOM, 5, seed=5, sampler="shuffled", mixing=mixing)
    expected = list(whole.epoch(1, 1))
    found: list[list[Batch]] = [[] for _ in expected]
    for rank in range(processes):
        source, division = NoiseSource(11), Division(shards, processes, rank)
        own = Batches(source, RANDOM, 5, seed=5, sampler="shuffled", mixing=mixing)
        parts = list(own.epoch(1, 1, division=division))
        assert len(parts) == len(expected) * len(division.own)
        for number, part in enumerate(parts):
            found[number // len(division.own)].append(part)
        assert max(Counter(source.loaded).values()) == 1, "nothing is decoded twice"
        if mixing is None:
            assert len(source.loaded) == sum(not p.placeholder and len(p) for p in parts)
    for parts, batch in zip(found, expected, strict=True):
        sizes = [0 if part.placeholder else len(part) for part in parts]
        edges = Division(shards, processes).edges(len(batch))
        assert np.cumsum([0, *sizes]).tolist() == edges
        assert {len(part.images) for part in parts if part.placeholder} <= {1}
        own = [part for part in parts if not part.placeholder]
        joined = Batch(
            np.concatenate([part.images for part in own]),
            np.concatenate([part.labels for part in own]),
        )
        assert_equal([joined], [batch])
