"""Samplers: which images an epoch draws, as a pure function of the seed and the epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_never

from isotune.interfaces.dataset import Labels
from isotune.randomness import Purpose, epoch_order, stream
from isotune.spec.values import Sampler

CYCLES, ORDER = 0, 1
"""Streams of the balanced sampler: the order of a class's images, and that of an epoch."""


def sampled(sampler: Sampler, seed: int, epoch: int, labels: Labels) -> NDArray[np.int64]:
    """Returns the indices of the images of an epoch, in its order: int64, shape (N,).

    Args:
        sampler: ``shuffled``: each image once; ``balanced``: as :func:`balanced_order`.
        seed: The experiment's seed.
        epoch: The epoch, from 0.
        labels: The labels of the N images.
    """
    match sampler:
        case "shuffled":
            return epoch_order(seed, epoch, len(labels))
        case "balanced":
            return balanced_order(seed, epoch, labels)
        case _:
            assert_never(sampler)


def balanced_order(seed: int, epoch: int, labels: Labels) -> NDArray[np.int64]:
    """Returns the order of an epoch in which every class is drawn equally often.

    There are as many draws as images, as usual with PyTorch's ``WeightedRandomSampler``, but they
    are dealt out instead of random: classes take turns, and each class goes through its own
    images in a shuffled cycle that continues in the next epoch. Within an epoch, and over any
    number of epochs, classes differ by at most one draw, and so do the images of a class. Where
    images may have several labels, a class's images are those that have its label, and images
    without any label form one more class. Classes without images are left out.

    Args:
        seed: The experiment's seed.
        epoch: The epoch, from 0.
        labels: The labels of the N images.

    Returns:
        Indices of images, int64, shape (N,); some occur several times, others not at all.
    """
    classes, images = _members(labels)
    words = stream(seed, Purpose.SAMPLER, 0, CYCLES).bit_generator.random_raw(len(images))
    cycles = images[np.lexsort((words, classes))]
    _, starts, sizes = np.unique(classes, return_index=True, return_counts=True)
    turn, chosen = np.divmod(epoch * len(labels) + np.arange(len(labels)), max(len(sizes), 1))
    drawn: NDArray[np.int64] = cycles[starts[chosen] + turn % sizes[chosen]]
    words = stream(seed, Purpose.SAMPLER, epoch, ORDER).bit_generator.random_raw(len(labels))
    return drawn[np.argsort(words, kind="stable")]


def repeats(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how many times each entry of `order` has occurred before it: int64, shape (N,)."""
    if not len(order) or np.bincount(order).max() == 1:  # a fiftieth of the time of what follows
        return np.zeros_like(order)
    by_image = np.argsort(order, kind="stable")
    _, starts, counts = np.unique(order[by_image], return_index=True, return_counts=True)
    earlier = np.empty_like(order)
    earlier[by_image] = np.arange(len(order)) - np.repeat(starts, counts)
    return earlier


def _members(labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns every pair of a class and one of its images, ordered by class."""
    if labels.ndim == 2:
        without = labels.sum(axis=1, keepdims=True) == 0
        classes, images = np.nonzero(np.concatenate([labels, without], axis=1).T)
        return classes, images
    images = np.argsort(labels, kind="stable")
    return labels[images].astype(np.int64), images
