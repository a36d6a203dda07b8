"""The losses and class weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from isotune.errors import SpecError
from isotune.spec.loss import LOSSES, LossSpec, binary_cross_entropy, cross_entropy
from isotune.training.plan import class_weights

SEEDS = st.integers(0, 2**32 - 1)


def samples(seed: int, count: int, scale: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(count, 4)) * scale).astype(np.float32)
    return logits, generator.integers(0, 4, count).astype(np.int32)


@given(
    seed=SEEDS,
    count=st.integers(1, 9),
    scale=st.sampled_from([0.0, 1.0, 100.0, 1e30]),
    smoothing=st.floats(0, 0.99),
    weighted=st.booleans(),
)
def test_cross_entropy_is_pytorchs(
    seed: int, count: int, scale: float, smoothing: float, weighted: bool
) -> None:
    torch = pytest.importorskip("torch")
    logits, labels = samples(seed, count, scale)
    weights = np.array([0.5, 2, 1, 3], np.float32) if weighted else None
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).double(),
        torch.from_numpy(labels).long(),
        weight=None if weights is None else torch.from_numpy(weights).double(),
        label_smoothing=smoothing,
    )
    total, weight = cross_entropy(logits, labels, smoothing, weights)
    assert total / weight == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)


@settings(max_examples=30)
@given(
    seed=SEEDS,
    count=st.integers(1, 9),
    smoothing=st.floats(0, 0.99),
    weighted=st.booleans(),
)
def test_losses_of_shares_are_pytorchs(
    seed: int, count: int, smoothing: float, weighted: bool
) -> None:
    """Those of images that were mixed, as PyTorch's losses of class probabilities."""
    torch = pytest.importorskip("torch")
    logits, _ = samples(seed, count, 3.0)
    shares = np.random.default_rng(seed).dirichlet(np.ones(4), count).astype(np.float32)
    weights = np.array([0.5, 2, 1, 3], np.float32) if weighted else None
    z, t = torch.from_numpy(logits).double(), torch.from_numpy(shares).double()
    w = torch.ones(4).double() if weights is None else torch.from_numpy(weights).double()
    expected = torch.nn.functional.cross_entropy(z, t, weight=w, label_smoothing=smoothing)
    total, weight = cross_entropy(logits, shares, smoothing, weights)
    assert total / weight == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)
    binary = torch.nn.functional.binary_cross_entropy_with_logits
    smooth = t * (1 - smoothing) + smoothing / 4
    losses, image_weights = binary(z, smooth, reduction="none").mean(1), t @ w
    image_weights = image_weights if weighted else torch.ones(count).double()
    total, weight = binary_cross_entropy(logits, shares, smoothing, weights)
    assert weight == pytest.approx(image_weights.sum().item(), rel=1e-6)
    expected = (losses * image_weights).sum() / image_weights.sum()
    assert total / weight == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)
    single = binary_cross_entropy(logits[:, :1], np.stack([1 - shares[:, 0], shares[:, 0]], 1))
    assert single[0] / single[1] == pytest.approx(binary(z[:, :1], t[:, :1]).item(), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_shares_of_one_class_are_labels(loss: Callable[..., tuple[float, float]]) -> None:
    """Weighted cross entropy divides by their number, as PyTorch does; nothing else differs."""
    logits, labels = samples(1, 6, 3.0)
    hot = np.eye(4, dtype=np.float32)[labels]
    assert loss(logits, hot, 0.2) == pytest.approx(loss(logits, labels, 0.2))
    weights = np.array([0.5, 2, 1, 3], np.float32)
    assert loss(logits, hot, 0.2, weights)[0] == pytest.approx(
        loss(logits, labels, 0.2, weights)[0]
    )


@given(seed=SEEDS, split=st.integers(0, 8))
def test_sums_of_batches_add_up(seed: int, split: int) -> None:
    logits, labels = samples(seed, 8, 3.0)
    weights = np.array([0.5, 2, 1, 3], np.float32)
    whole = cross_entropy(logits, labels, 0.1, weights)
    parts = [
        cross_entropy(logits[part], labels[part], 0.1, weights)
        for part in (slice(split), slice(split, None))
    ]
    assert np.sum(parts, axis=0) == pytest.approx(whole)


@given(
    seed=SEEDS,
    count=st.integers(1, 9),
    scale=st.sampled_from([0.0, 1.0, 100.0, 1e30]),
    smoothing=st.floats(0, 0.99),
    single=st.booleans(),
)
@example(seed=0, count=1, scale=1e30, smoothing=2.220446049250313e-16, single=False)
def test_binary_cross_entropy_is_pytorchs(
    seed: int, count: int, scale: float, smoothing: float, single: bool
) -> None:
    torch = pytest.importorskip("torch")
    logits, labels = samples(seed, count, scale)
    if single:
        logits, labels = logits[:, :1], labels % 2
    classes = 2 if single else 4
    hot = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), classes).double()
    hot = hot[:, 1:] if single else hot
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits).double(), hot * (1 - smoothing) + smoothing / classes
    )
    total, weight = binary_cross_entropy(logits, labels, smoothing)
    assert total / weight == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)


@given(seed=SEEDS, smoothing=st.floats(0, 0.99))
def test_a_single_logit_is_the_second_of_two(seed: int, smoothing: float) -> None:
    """A sigmoid is the softmax of 0 and its logit, so that both losses agree, weighted or not."""
    logits, labels = samples(seed, 6, 3.0)
    single, labels = logits[:, :1], labels % 2
    pair = np.concatenate([np.zeros_like(single), single], axis=1)
    assert binary_cross_entropy(single, labels, smoothing) == pytest.approx(
        cross_entropy(pair, labels, smoothing)
    )
    weights = np.array([0.5, 2], np.float32)
    assert binary_cross_entropy(single, labels, 0.0, weights) == pytest.approx(
        cross_entropy(pair, labels, 0.0, weights)
    )


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0, 0, 0, 2], np.int32)
    found = class_weights(LossSpec(class_weights="balanced"), ("a", "b", "c"), labels)
    assert found is not None
    assert found.dtype == np.float32
    assert found[[0, 2]] == pytest.approx([4 / (3 * 3), 4 / (3 * 1)])
    assert np.isfinite(found).all()


def test_weights_by_name_come_in_label_order() -> None:
    spec = LossSpec(class_weights={"bees": 2.0, "ants": 0.5})
    found = class_weights(spec, ("ants", "bees"), np.zeros(1, np.int32))
    assert found is not None
    assert found.tolist() == [0.5, 2.0]
    assert class_weights(LossSpec(), ("ants", "bees"), np.zeros(1, np.int32)) is None
    with pytest.raises(SpecError, match="has no weight for wasps"):
        class_weights(spec, ("ants", "bees", "wasps"), np.zeros(1, np.int32))
