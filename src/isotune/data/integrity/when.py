"""Whether images are checked before training, or while it goes on."""

from __future__ import annotations

from isotune.errors import SpecError
from isotune.spec.dataset import DatasetSpec
from isotune.spec.experiment import ExperimentSpec

CHECKED_BEFORE = 100_000
"""Number of images up to which all are checked before training, unless the spec says otherwise."""


def checked_during_training(spec: ExperimentSpec, images: int) -> bool:
    """Whether the images of an experiment are checked while it trains.

    Args:
        spec: The experiment.
        images: Number of its training and validation images.
    """
    if spec.dataset.check is None:
        # Features of frozen layers save more, but are known by the contents of all images.
        features = spec.freeze.parameters != "none" and spec.cache.features == "auto"
        return images > CHECKED_BEFORE and not features
    return spec.dataset.check == "during_training"


def refuse_during_training(dataset: DatasetSpec, keeps: str) -> None:
    """Checks that a spec does not ask for what cannot be, where images are divided.

    Args:
        dataset: What the spec says of it.
        keeps: Subject and verb of who keeps identical images together.

    Raises:
        SpecError: Images would have to be divided before they are read.
    """
    if dataset.check == "during_training":
        raise SpecError(
            f"dataset.check: is 'during_training', but {keeps} identical images together, for which"
            " all are read before; leave it out."
        )
