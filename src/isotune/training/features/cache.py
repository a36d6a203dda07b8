"""The features of a split's images; each view of them is computed once."""

from __future__ import annotations

from collections.abc import Callable

from isotune.data.batches import Batches
from isotune.training.accumulator import Stopwatch
from isotune.training.features.extraction import Extractor
from isotune.training.features.store import Draft, FeatureStore, Rows


class FeatureCache:
    """Computes the features of all images of a source, unless the store has them.

    Args:
        extractor: Computes features.
        batches: The images.
        store: Keeps features.
        key: Names a view's features; None where later runs must not reuse them.
    """

    def __init__(
        self,
        extractor: Extractor,
        batches: Batches,
        store: FeatureStore,
        key: Callable[[Batches, int], str | None],
    ) -> None:
        self._extractor = extractor
        self._batches = batches.unshuffled().regrouped(extractor.batch_size)
        self._store = store
        self._key = key
        self._views: dict[int, Rows] = {}
        self._too_large = False

    def view(self, view: int, waiting: Stopwatch) -> Rows | None:
        """Returns the features of all images as they are in epoch `view`, in the source's order.

        None means that there is no room for them.

        Args:
            view: The epoch, from 0.
            waiting: Measures the time spent waiting for images.
        """
        if view not in self._views and not self._too_large:
            key = self._key(self._batches, view)
            rows = None if key is None else self._store.load(key, self._batches.size)
            if rows is None:
                draft = self._computed(view, waiting)
                if key is not None and not self._batches.source.unchanged():
                    key = None  # it names what the images were before
                rows = None if draft is None else self._store.keep(draft, key)
            if rows is None:
                self._too_large = True
                return None
            self._views[view] = rows
        return self._views.get(view)

    def _computed(self, view: int, waiting: Stopwatch) -> Draft | None:
        draft: Draft | None = None
        start = 0
        try:
            for batch in self._extractor.features(waiting.timing(self._batches.epoch(view))):
                if draft is None:
                    draft = self._store.draft((self._batches.size, *batch.features.shape[1:]))
                    if draft is None:
                        return None
                draft.rows[start : start + len(batch)] = batch.features
                start += len(batch)
        except BaseException:
            if draft is not None:
                self._store.discard(draft)
            raise
        return draft
