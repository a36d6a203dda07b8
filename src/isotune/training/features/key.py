"""Names features by everything they depend on: equal names mean equal features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.data.decode import RULES
from isotune.interfaces.checkpoint import digest
from isotune.interfaces.versions import versions
from isotune.spec.dataset import DatasetSpec
from isotune.spec.transforms import TRANSFORMS, flattened
from isotune.training.features.cut import Cut
from isotune.training.session import Session

COMPUTING = {"normalization", "precision", "compile"}
"""Fields of a spec that affect how a model computes."""

RULES_OF_BACKENDS = 2
"""Raised when a backend computes features in another way: their last bits may be others.

1: as the model trains. 2: BatchNorm may be folded into convolutions.
"""

FINDING = set(DatasetSpec.model_fields) - {"format"}
"""Fields of a dataset that say where its images are, and which of them are refused. The others,
those of one format, may affect what an image looks like."""


class FeatureKeys:
    """Names the features of one model.

    Args:
        session: The experiment.
        cut: Where the model is cut.
        state: The tensors before the cut.
        batch_size: Images a batch, which the order of float sums may depend on.
    """

    def __init__(
        self, session: Session, cut: Cut, state: Mapping[str, NDArray[Any]], batch_size: int
    ) -> None:
        spec, backend = session.spec, session.backend
        self._seed = spec.seed
        self._known = {
            "backbone": spec.backbone.name,
            "cut": cut.path,
            "state": digest(state),
            "backend": [backend.name, backend.device, backend.threads(), batch_size],
            "rules": RULES_OF_BACKENDS,
            "versions": versions(backend),
            "computing": spec.model_dump(mode="json", include=COMPUTING),
            "decoding": [RULES, spec.dataset.model_dump(mode="json", exclude=FINDING)],
        }
        self._images: dict[int, str | None] = {}

    def key(self, batches: Batches, view: int) -> str | None:
        """Returns the name of the features of one view of all images in their source's order.

        It is None if images could change unnoticed: those of a source without fingerprints, or
        after a transform of a plugin, whose next version may do something else.
        """
        images = self._fingerprints(batches)
        own = all(TRANSFORMS.is_own(type(spec)) for spec in flattened(batches.pipeline))
        if images is None or not own:
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
