"""Batches that threads are preparing."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.data.mixing.batch import BatchMix, Members
from isotune.interfaces.dataset import Batch, Labels


@dataclass(frozen=True)
class Chosen:
    """The images of an epoch.

    Attributes:
        epoch: The epoch, from 0.
        order: Their indices, in order: int64, shape (N,).
        earlier: How often each occurred in the epoch before: int64, shape (N,).
    """

    epoch: int
    order: NDArray[np.int64]
    earlier: NDArray[np.int64]

    def at(self, place: int) -> tuple[int, int, int]:
        """Returns the arguments of :meth:`Batches.image` for one of them."""
        return self.epoch, int(self.order[place]), int(self.earlier[place])


@dataclass(frozen=True)
class Pending:
    """A batch that threads are filling.

    Attributes:
        batch: The batch.
        there: Which of its images are not left out: bool, shape (N,).
        futures: One for each thread.
        mix: How the threads mix its images, of which none is left out then; None does not.
        members: Where it is a part of a batch that may be mixed: which images these are.
    """

    batch: Batch
    there: NDArray[np.bool_]
    futures: list[Future[None]]
    mix: BatchMix | None = None
    members: Members | None = None

    def result(self) -> Batch:
        """Returns the batch, once it is filled, without the images that are left out."""
        for future in self.futures:
            future.result()
        if self.mix is not None:
            shares = self.mix.shares(self.batch.labels, self.members)
            return Batch(self.batch.images[: len(shares)], shares)
        if self.there.all():
            return self.batch
        return Batch(self.batch.images[self.there], self.batch.labels[self.there])


@dataclass(frozen=True)
class PendingImage:
    """A batch of one image of any size that a thread is decoding.

    Attributes:
        future: The image.
        labels: Its label.
    """

    future: Future[NDArray[np.uint8]]
    labels: Labels

    def result(self) -> Batch:
        """Returns the batch, once it is decoded."""
        return Batch(self.future.result()[None], self.labels)
