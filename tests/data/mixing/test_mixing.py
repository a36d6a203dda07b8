"""Mixed batches: what timm computes, by numbers that follow from the seed and the step."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from isotune.data.batches import Batches
from isotune.data.mixing.batch import BatchMix, partners
from isotune.data.mixing.beta import symmetric_beta
from isotune.data.mixing.cutmix import CutMix, Paste
from isotune.data.mixing.mixup import Blend
from isotune.data.transforms.random_crop import RandomCropSpec
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.randomness import Purpose, stream
from isotune.spec.mixing import MIXING_RULES, MixingSpec

BOTH = MixingSpec(mixup=0.4, cutmix=1.0, switch=0.3, probability=0.6)


class Noise(ImageSource):
    """23 images of noise."""

    classes = ("a", "b", "c")

    def __init__(self, labels: NDArray[np.int32] | NDArray[np.float32]) -> None:
        self.labels = labels

    def load(self, index: int) -> Image.Image:
        pixels = np.random.default_rng(index).integers(0, 256, (8, 9, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    def identify(self, index: int) -> str:
        return f"noise {index}"


SINGLE = Noise(np.arange(23, dtype=np.int32) % 3)
SEVERAL = Noise(np.random.default_rng(1).integers(0, 2, (23, 3)).astype(np.float32))


def batches(mixing: MixingSpec | None, source: ImageSource = SINGLE, **changes: object) -> Batches:
    settings = {"seed": 7, "sampler": "shuffled", "workers": 3, **changes}
    return Batches(source, (RandomCropSpec(size=(7, 8)),), 4, mixing=mixing, **settings)  # type: ignore[arg-type]


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    return len(ours) == len(theirs) and all(
        a.images.tobytes() == b.images.tobytes() and a.labels.tobytes() == b.labels.tobytes()
        for a, b in zip(ours, theirs, strict=True)
    )


def timms_module() -> Any:
    """Returns timm's module of mixing by itself: all of timm takes seconds to import."""
    timm = importlib.util.find_spec("timm")
    if timm is None or timm.origin is None:
        pytest.skip("timm is not installed")
    file = Path(timm.origin).parent / "data" / "mixup.py"
    spec = importlib.util.spec_from_file_location("timms_mixup", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Numbers:
    """Stands in for a generator: returns the given numbers."""

    def __init__(self, *numbers: float) -> None:
        self.left: Iterator[float] = iter(numbers)

    def random(self) -> float:
        return next(self.left)


@pytest.mark.parametrize("alpha", [0.002, 0.2, 0.5, 1.0, 3.0, 200.0])
def test_draws_have_the_moments_of_the_beta_distribution(alpha: float) -> None:
    rng = stream(0, Purpose.MIXING, 1)
    drawn = np.array([symmetric_beta(rng, alpha) for _ in range(4000)])
    assert ((drawn >= 0) & (drawn <= 1)).all()
    variance = 1 / (4 * (2 * alpha + 1))
    fourth = 3 * (variance**2) * (2 * alpha + 1) / (2 * alpha + 3)  # the fourth central moment
    assert drawn.mean() == pytest.approx(0.5, abs=4 * math.sqrt(variance / 4000))
    spread = math.sqrt((fourth - variance**2) / 4000)
    assert drawn.var() == pytest.approx(variance, abs=4 * spread)


@pytest.mark.parametrize(
    ("alpha", "distribution"),
    [
        (1.0, lambda x: x),
        (0.5, lambda x: 2 / math.pi * np.arcsin(np.sqrt(x))),
        (2.0, lambda x: x * x * (3 - 2 * x)),
    ],
)
def test_draws_are_of_the_beta_distribution(alpha: float, distribution: object) -> None:
    rng = stream(0, Purpose.MIXING, 2)
    drawn = np.sort([symmetric_beta(rng, alpha) for _ in range(4000)])
    expected = distribution(drawn)  # type: ignore[operator]
    distance = np.abs(expected - (np.arange(4000) + 0.5) / 4000).max()
    assert distance < 1.63 / math.sqrt(4000)  # 1 % of all seeds are further off (Kolmogorov)


def test_the_ends_of_the_uniform_numbers_are_shares() -> None:
    last = 1 - 2.0**-53
    for alpha in (1e-6, 0.2, 1.0, 1e6, 1e300):
        for numbers in ((0.0, 0.0), (0.0, 0.5), (last, 0.0), (last, 0.25), (0.0, last)):
            assert 0 <= symmetric_beta(Numbers(*numbers), alpha) <= 1  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["mixup", "cutmix"])
def test_they_are_timms_bytes(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, mixup = pytest.importorskip("torch"), timms_module()
    rng = np.random.default_rng(3)
    labels = np.array([0, 1, 2, 2, 1, 0], np.int32)
    for sides in ((0.9, 0.1), (0.3, 0.7), (0.5, 0.02)):
        images = rng.integers(0, 256, (6, 11, 14, 3), dtype=np.uint8)
        centers = [int(side * length) for side, length in zip(sides, (11, 14), strict=True)]
        share = symmetric_beta(Numbers(0.4, 0.3), 1.0)  # type: ignore[arg-type]
        drawn = MIXING_RULES.find(rule)(1.0).draw(Numbers(0.4, 0.3, *sides), (11, 14))  # type: ignore[arg-type, misc]
        theirs = mixup.FastCollateMixup(label_smoothing=0.0, num_classes=3)
        numbers = iter(centers)
        monkeypatch.setattr(theirs, "_params_per_batch", lambda s=share: (s, rule == "cutmix"))
        monkeypatch.setattr(np.random, "randint", lambda *_, n=numbers, **__: next(n))
        expected, shares = theirs(
            [
                (image.transpose(2, 0, 1).copy(), int(label))
                for image, label in zip(images, labels, strict=True)
            ]
        )
        mix = BatchMix(3, drawn)
        mix.mix_images(images)
        assert (images.transpose(0, 3, 1, 2) == expected.numpy()).all()
        assert (mix.shares(labels) == shares.to(torch.float32).numpy()).all()


def test_every_image_of_an_odd_batch_is_mixed_with_another() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 3), dtype=np.uint8)
    before = images.astype(np.float32)
    share = np.float32(0.7)
    BatchMix(3, Blend(0.7)).mix_images(images)
    assert partners(5).tolist() == [4, 3, 0, 1, 0]
    blended = before * share + before[partners(5)] * np.float32(1 - 0.7)
    assert (images == np.rint(blended)).all()


def test_a_box_is_cut_off_at_the_border_and_its_share_is_what_is_left() -> None:
    whole = CutMix(1.0).draw(Numbers(0.0, 0.5, 0.5, 0.5), (10, 20))  # type: ignore[arg-type]
    assert (whole.share, whole.rows, whole.columns) == (0, slice(0, 10), slice(0, 20))
    corner = CutMix(1.0).draw(Numbers(0.0, 0.5, 0.0, 0.95), (10, 20))  # type: ignore[arg-type]
    assert (corner.rows, corner.columns) == (slice(0, 5), slice(9, 20))
    assert corner.share == 1 - 55 / 200
    image, partner = np.zeros((10, 20, 3), np.uint8), np.full((10, 20, 3), 9, np.uint8)
    Paste(corner.share, corner.rows, corner.columns).apply(image, partner)
    assert (image == 9).mean() == pytest.approx(55 / 200)


@pytest.mark.parametrize("source", [SINGLE, SEVERAL], ids=["single", "several"])
def test_batches_are_mixed_alike_by_any_threads_from_any_start(source: ImageSource) -> None:
    whole = list(batches(BOTH, source).epoch(2))
    assert same(list(batches(BOTH, source, workers=1).epoch(2)), whole)
    assert same(list(batches(BOTH, source).epoch(2, start_batch=3)), whole[3:])
    assert not same(list(batches(BOTH, source, seed=8).epoch(2)), whole)
    planned = batches(BOTH, source).labels(2)
    assert all((a == b.labels).all() for a, b in zip(planned, whole, strict=True))
    plain = list(batches(None, source).epoch(2))
    mixer = batches(BOTH, source)._mixer
    assert mixer is not None
    for number, (mixed, before) in enumerate(zip(whole, plain, strict=True)):
        mix = mixer.draw(2, number, len(before))
        mix.mix_images(before.images)
        assert (mixed.images == before.images).all()
        assert (mixed.labels == mix.shares(before.labels)).all()
        assert mixed.labels.dtype == np.float32


def test_rules_and_their_absence_have_the_given_probabilities() -> None:
    mixer = batches(BOTH)._mixer
    assert mixer is not None
    found = [type(mixer.draw(epoch, n, 4).mix) for epoch in range(300) for n in range(6)]
    share = {kind: found.count(kind) / len(found) for kind in (type(None), Blend, Paste)}
    assert share[type(None)] == pytest.approx(0.4, abs=0.04)
    assert share[Paste] == pytest.approx(0.6 * 0.3, abs=0.04)
    assert share[Blend] == pytest.approx(0.6 * 0.7, abs=0.04)
    again = [type(mixer.draw(epoch, n, 4).mix) for epoch in range(300) for n in range(6)]
    assert again == found


def test_a_batch_of_one_image_has_the_share_of_its_class() -> None:
    always = MixingSpec(mixup=1.0)
    single = Noise(np.array([0, 1, 2, 0, 1], np.int32))
    *_, last = batches(always, single).epoch(0)
    *_, plain = batches(None, single).epoch(0)
    assert (last.images == plain.images).all()
    assert last.labels.tolist() == np.eye(3)[plain.labels].tolist()


def test_batches_without_mixing_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a number was drawn")

    monkeypatch.setattr("isotune.data.mixing.batch.stream", refuse)
    assert [batch.labels.dtype for batch in batches(None).epoch(0)] == [np.int32] * 6
    assert next(batches(BOTH).unshuffled().labels(0)).tolist() == [0, 1, 2, 0]
