"""Fills in what a spec leaves to its backbone: transforms and normalization."""

from __future__ import annotations

from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.dataset import Normalization
from isotune.spec.experiment import ExperimentSpec, TransformsSpec
from isotune.spec.parts import NormalizationSpec


def resolve(spec: ExperimentSpec, entry: BackboneEntry) -> ExperimentSpec:
    """Returns `spec` with nothing left open that depends on the backbone `entry`."""
    usual = TransformsSpec.model_validate(
        {
            "train": [{"random_resized_crop": entry.input_size}, "random_horizontal_flip"],
            "val": [{"resize": entry.resize_size}, {"center_crop": entry.input_size}],
        }
    )
    transforms = TransformsSpec(
        train=spec.transforms.train or usual.train, val=spec.transforms.val or usual.val
    )
    usual_normalization = NormalizationSpec(
        mean=entry.normalization.mean, std=entry.normalization.std
    )
    return spec.model_copy(
        update={
            "transforms": transforms,
            "normalization": spec.normalization or usual_normalization,
        }
    )


def normalization(spec: ExperimentSpec) -> Normalization:
    """Returns the normalization of a resolved spec."""
    assert spec.normalization is not None, "resolve() comes first"
    return Normalization(spec.normalization.mean, spec.normalization.std)
