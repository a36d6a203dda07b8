"""Broken copies of the example backend: batches and losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.dataset import Batch
from numpy_backend import loss
from numpy_backend.dataset import NumpyDataset


def drops_the_short_last_batch(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def without(self: Any, batches: Any, normalization: Any) -> Any:
        fed = list(feed(self, batches, normalization))
        return (each for each in fed if each.size == fed[0].size)

    patch.setattr(NumpyDataset, "feed", without)


def normalizes_blue_as_red(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def swapped(self: Any, batches: Any, normalization: Any) -> Any:
        mean, std = normalization.mean[::-1], normalization.std[::-1]
        return feed(self, batches, replace(normalization, mean=mean, std=std))

    patch.setattr(NumpyDataset, "feed", swapped)


def swaps_height_and_width(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def transposed(self: Any, batches: Any, normalization: Any) -> Any:
        for each in feed(self, batches, normalization):
            yield replace(each, images=each.images.transpose(0, 1, 3, 2))

    patch.setattr(NumpyDataset, "feed", transposed)


def reads_the_whole_epoch_first(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed
    patch.setattr(NumpyDataset, "feed", lambda self, batches, n: feed(self, list(batches), n))


def normalizes_the_images_of_the_core_in_place(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def overwriting(self: Any, batches: Any, normalization: Any) -> Any:
        for batch in batches:
            yield from feed(self, [Batch(batch.images.copy(), batch.labels)], normalization)
            batch.images[...] = 0

    patch.setattr(NumpyDataset, "feed", overwriting)


def counts_classes_from_the_last(patch: pytest.MonkeyPatch) -> None:
    original = loss.cross_entropy

    def reversed_(z: Any, labels: Any, plan: Any) -> Any:
        return original(z, labels if labels.ndim == 2 else z.shape[1] - 1 - labels, plan)

    patch.setitem(loss.LOSSES, "cross_entropy", reversed_)


def divides_weighted_losses_by_their_number(patch: pytest.MonkeyPatch) -> None:
    original = loss.cross_entropy

    def plain(logits: Any, labels: Any, plan: Any) -> Any:
        value, gradient = original(logits, labels, plan)
        weights = plan.class_weights
        soft = weights is None or labels.ndim == 2
        factor = 1 if soft else weights[labels].sum() / np.float32(len(labels))
        return value * factor, gradient * factor

    patch.setitem(loss.LOSSES, "cross_entropy", plain)


def divides_losses_of_shares_by_their_weights(patch: pytest.MonkeyPatch) -> None:
    original = loss.cross_entropy

    def divided(logits: Any, labels: Any, plan: Any) -> Any:
        value, gradient = original(logits, labels, plan)
        hard = plan.class_weights is None or labels.ndim == 1
        factor = 1 if hard else np.float32(len(labels)) / (labels @ plan.class_weights).sum()
        return value * factor, gradient * factor

    patch.setitem(loss.LOSSES, "cross_entropy", divided)


def takes_shares_for_several_labels(patch: pytest.MonkeyPatch) -> None:
    original = loss.binary_cross_entropy

    def several(logits: Any, labels: Any, plan: Any) -> Any:
        there = labels.ndim == 2 and labels.shape == logits.shape
        return original(logits, labels, replace(plan, multi_label=there))

    patch.setitem(loss.LOSSES, "binary_cross_entropy", several)


def smooths_over_the_other_classes_only(patch: pytest.MonkeyPatch) -> None:
    original = loss.cross_entropy

    def others(logits: Any, labels: Any, plan: Any) -> Any:
        classes = logits.shape[1]
        smoothing = plan.label_smoothing * classes / (classes - 1)
        return original(logits, labels, replace(plan, label_smoothing=smoothing))

    patch.setitem(loss.LOSSES, "cross_entropy", others)


def gives_a_single_logit_to_the_first_class(patch: pytest.MonkeyPatch) -> None:
    original = loss.binary_cross_entropy

    def flipped(logits: Any, labels: Any, plan: Any) -> Any:
        single = logits.shape[1] == 1
        return original(logits, 1 - labels if single else labels, plan)

    patch.setitem(loss.LOSSES, "binary_cross_entropy", flipped)


def overflows_at_large_logits(patch: pytest.MonkeyPatch) -> None:
    def naive(logits: Any, labels: Any, plan: Any) -> Any:
        value, gradient = original(logits, labels, plan)
        if labels.ndim == 2:
            return value, gradient
        with np.errstate(all="ignore"):
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            classes = logits.shape[1]
            weights = plan.class_weights if plan.class_weights is not None else np.ones(classes)
            targets = np.eye(classes)[labels] * (1 - plan.label_smoothing)
            targets = (targets + plan.label_smoothing / classes) * weights / weights[labels].sum()
            return np.float32(-(targets * np.log(p)).sum()), gradient

    original = loss.cross_entropy
    patch.setitem(loss.LOSSES, "cross_entropy", naive)
