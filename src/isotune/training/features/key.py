"""What features depend on, as a name for them: equal names mean equal features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.interfaces.backend import Backend
from isotune.interfaces.versions import versions
from isotune.spec.experiment import ExperimentSpec
from isotune.training.features.cut import Cut

COMPUTING = {"normalization", "precision", "compile"}
"""Fields of a spec that decide how a model computes."""


class FeatureKeys:
    """Names the features of one model.

    Args:
        spec: the resolved spec.
        backend: what computes them.
        cut: where the model is cut.
        state: the tensors before the cut.
        batch_size: images a batch, on which the order of float sums may depend.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        backend: Backend,
        cut: Cut,
        state: Mapping[str, NDArray[Any]],
        batch_size: int,
    ) -> None:
        self._seed = spec.seed
        self._known = {
            "backbone": spec.backbone.name,
            "cut": cut.path,
            "state": _digest(state),
            "backend": [backend.name, backend.device, backend.threads(), batch_size],
            "versions": versions(backend),
            "computing": spec.model_dump(mode="json", include=COMPUTING),
        }
        self._images: dict[int, str | None] = {}

    def key(self, batches: Batches, view: int) -> str | None:
        """Returns the name of the features of one view of all images in their source's order.

        It is None where images could change without a sign of it.
        """
        images = self._fingerprints(batches)
        if images is None:
            return None
        known = {
            **self._known,
            "images": images,
            "transforms": [spec.model_dump(mode="json") for spec in batches.pipeline],
            "view": [self._seed, view] if batches.random else None,
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def _fingerprints(self, batches: Batches) -> str | None:
        source = batches.source
        if id(source) not in self._images:
            fingerprints = source.fingerprints()
            text = None if fingerprints is None else json.dumps([len(source), *fingerprints])
            self._images[id(source)] = text and hashlib.sha256(text.encode()).hexdigest()
        return self._images[id(source)]


def _digest(state: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(json.dumps([name, str(value.dtype), value.shape]).encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()
