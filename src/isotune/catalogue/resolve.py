"""Fills in the fields of a spec that depend on the backbone: transforms and normalization."""

from __future__ import annotations

from isotune.errors import SpecError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.dataset import Normalization
from isotune.spec.experiment import ExperimentSpec, TransformsSpec
from isotune.spec.transforms import output_size
from isotune.spec.values import NormalizationSpec


def resolve(spec: ExperimentSpec, entry: BackboneEntry) -> ExperimentSpec:
    """Returns `spec` with the transforms and normalization of the backbone where it has none.

    Raises:
        SpecError: the transforms end in images too small or too large for the backbone.
    """
    usual = entry.preprocessing
    default = TransformsSpec.model_validate(
        {
            "train": [{"random_resized_crop": usual.input_size}, "random_horizontal_flip"],
            "val": [
                {"resize": {"size": usual.resize_size, "interpolation": usual.interpolation}},
                {"center_crop": usual.input_size},
            ],
        }
    )
    transforms = TransformsSpec(
        train=spec.transforms.train or default.train, val=spec.transforms.val or default.val
    )
    _check_sizes(transforms, entry)
    default_normalization = NormalizationSpec(
        mean=usual.normalization.mean, std=usual.normalization.std
    )
    return spec.model_copy(
        update={
            "transforms": transforms,
            "normalization": spec.normalization or default_normalization,
        }
    )


def _check_sizes(transforms: TransformsSpec, entry: BackboneEntry) -> None:
    lower, upper = entry.min_input_size, entry.max_input_size
    for split, pipeline in (("train", transforms.train), ("val", transforms.val)):
        size = output_size(pipeline or ())
        if size is None or (lower <= min(size) and max(size) <= (upper or max(size))):
            continue
        limits = f"at least {lower}"
        if upper is not None:
            limits = f"{lower}" if lower == upper else f"{lower} to {upper}"
        raise SpecError(
            f"transforms.{split}: ends in images of {size[0]} x {size[1]} pixels, but"
            f" '{entry.name}' takes {limits} pixels a side."
        )


def normalization(spec: ExperimentSpec) -> Normalization:
    """Returns the normalization of a resolved spec."""
    assert spec.normalization is not None, "resolve() comes first"
    return Normalization(spec.normalization.mean, spec.normalization.std)
