"""The features of a split's images; each view of them is computed once.

The folds of a cross-validation share the views of all their images: whichever fold needs one first
computes and stores it, and the others take their rows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.distributed.group import Group
from isotune.interfaces.dataset import Batch, FeatureBatch
from isotune.training.accumulator import Stopwatch
from isotune.training.features.extraction import Extractor
from isotune.training.features.store import Draft, FeatureStore, Rows
from isotune.training.turns import features_in_turn


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
        group: The processes that compute features in turn. All keep them, or none does.
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
        group: Group,
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
        self._group = group
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
        key = self._key(self._batches, view)
        # Devices, which are part of the name, differ; what process 0 calls them serves all.
        key = self._group.share((key or "").encode()).decode() or None
        if key is None:
            return self._stored(None, view, waiting)
        before = self._store.version(key)
        if (rows := self._loaded(key)) is not None:
            return rows
        with self._alone(key):
            # Another run may have stored them since; a damaged file is looked at once.
            changed = self._store.version(key) != before
            if self._group.share(b"changed" if changed else b""):
                rows = self._loaded(key)
            return self._stored(key, view, waiting) if rows is None else rows

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Lets one run at a time compute features of a name.

        Process 0 waits for other runs; the others of its run wait for it.
        """
        with self._group.reporting(), ExitStack() as held:
            if self._group.place.leads:
                held.enter_context(self._store.computing(key))
            yield

    def _loaded(self, key: str) -> Rows | None:
        """Returns the features of a name if all processes find them."""
        rows = self._store.load(key, self._batches.size)
        if all(self._group.exchange(b"" if rows is None else b"found")):
            return rows
        if rows is not None:
            self._store.release(rows)
        return None

    def _stored(self, key: str | None, view: int, waiting: Stopwatch) -> Rows | None:
        """Computes the features of a view, and stores them under `key`, once on each machine."""
        with self._group.reporting():
            draft = self._computed(view, waiting)
            if self._group.place.local_rank > 0:
                key = None
            if key is not None and not self._batches.source.unchanged():
                key = None  # it names what the images were before
            return None if draft is None else self._store.keep(draft, key)

    def _computed(self, view: int, waiting: Stopwatch) -> Draft | None:
        def compute(images: Iterable[Batch]) -> Iterator[FeatureBatch]:
            return self._extractor.features(waiting.timing(iter(images)))

        draft: Draft | None = None
        start = 0
        try:
            for batch in features_in_turn(self._group, self._batches, compute, view):
                if draft is None:
                    shape = (self._batches.size, *batch.features.shape[1:])
                    draft = self._store.draft(shape, self._required if self.shared else 0)
                    if not all(self._group.exchange(b"" if draft is None else b"room")):
                        self._discard(draft)
                        return None
                    assert draft is not None, "this process is one of those that have room"
                draft.rows[start : start + len(batch)] = batch.features
                start += len(batch)
        except BaseException:
            self._discard(draft)
            raise
        return draft

    def _discard(self, draft: Draft | None) -> None:
        if draft is not None:
            self._store.discard(draft)
