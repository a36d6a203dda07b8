"""The features of a split's images; each view of them is computed once.

The folds of a cross-validation share the views of all their images: whichever fold needs one first
computes and stores it, and the others take their rows of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.training.accumulator import Stopwatch
from isotune.training.features.extraction import Extractor
from isotune.training.features.store import Draft, FeatureStore, Rows


@dataclass(frozen=True)
class View:
    """Features of the images of a source as they are in one epoch.

    Attributes:
        rows: Features of these images, or of those of all folds.
        indices: Where the images are in `rows`; None if they are all of it.
    """

    rows: Rows
    indices: NDArray[np.int64] | None

    def take(self, images: NDArray[np.int64]) -> Rows:
        """Returns a copy of the features of some images, given their indices in the source."""
        return self.rows[images if self.indices is None else self.indices[images]]


class FeatureCache:
    """Computes the features of all images of a source, unless the store has them.

    Args:
        extractor: Computes features.
        batches: The images.
        store: Keeps features.
        key: Names a view's features; None where later runs must not reuse them.
        views: Number of views that all folds need: if files have no room for them, each fold has
            its own features, and none in a new view for every epoch.

    Attributes:
        shared: Whether the features are those of all folds, for other folds to use.
    """

    def __init__(
        self,
        extractor: Extractor,
        batches: Batches,
        store: FeatureStore,
        key: Callable[[Batches, int], str | None],
        views: int = 1,
    ) -> None:
        self._own = batches.unshuffled().regrouped(extractor.batch_size)
        self._batches = self._own
        self._indices: NDArray[np.int64] | None = None
        origin = batches.source.origin
        self.shared = origin is not None and key(self._own.of_all_folds(), 0) is not None
        if origin is not None and self.shared:
            self._batches, self._indices = self._own.of_all_folds(), origin.indices
        self._extractor = extractor
        self._store = store
        self._key = key
        self._required = views
        self._views: dict[int, View] = {}
        self._too_large = False

    def view(self, view: int, waiting: Stopwatch) -> View | None:
        """Returns the features of all images as they are in epoch `view`, in the source's order.

        None means that there is no room for them.

        Args:
            view: The epoch, from 0.
            waiting: Measures the time spent waiting for images.
        """
        if view not in self._views and not self._too_large:
            rows = self._rows(view, waiting)
            if rows is None and self.shared:
                self.shared, self._batches, self._indices = False, self._own, None
                rows = None if self._required > 1 else self._rows(view, waiting)
            if rows is None:
                self._too_large = True
                return None
            self._views[view] = View(rows, self._indices)
        return self._views.get(view)

    def _rows(self, view: int, waiting: Stopwatch) -> Rows | None:
        """Returns the features of a view, those of the store if it has them."""
        key, count = self._key(self._batches, view), self._batches.size
        if key is None:
            return self._stored(None, view, waiting)
        before = self._store.version(key)
        if (rows := self._store.load(key, count)) is not None:
            return rows
        with self._store.computing(key):
            # Another process may have stored them since; a damaged file is looked at once.
            if self._store.version(key) != before:
                rows = self._store.load(key, count)
            return self._stored(key, view, waiting) if rows is None else rows

    def _stored(self, key: str | None, view: int, waiting: Stopwatch) -> Rows | None:
        """Computes the features of a view, and stores them under `key`."""
        draft = self._computed(view, waiting)
        if key is not None and not self._batches.source.unchanged():
            key = None  # it names what the images were before
        return None if draft is None else self._store.keep(draft, key)

    def _computed(self, view: int, waiting: Stopwatch) -> Draft | None:
        draft: Draft | None = None
        start = 0
        try:
            for batch in self._extractor.features(waiting.timing(self._batches.epoch(view))):
                if draft is None:
                    shape = (self._batches.size, *batch.features.shape[1:])
                    draft = self._store.draft(shape, self._required if self.shared else 0)
                    if draft is None:
                        return None
                draft.rows[start : start + len(batch)] = batch.features
                start += len(batch)
        except BaseException:
            if draft is not None:
                self._store.discard(draft)
            raise
        return draft
