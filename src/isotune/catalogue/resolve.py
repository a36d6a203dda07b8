"""Fills in what a spec leaves to its backbone: transforms and normalization."""

from __future__ import annotations

from isotune.errors import SpecError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.dataset import Normalization
from isotune.spec.experiment import ExperimentSpec, TransformsSpec
from isotune.spec.transforms import output_size
from isotune.spec.values import NormalizationSpec


def resolve(spec: ExperimentSpec, entry: BackboneEntry) -> ExperimentSpec:
    """Returns `spec` with nothing left open that depends on the backbone `entry`.

    Raises:
        SpecError: the transforms end in images too small or too large for the backbone.
    """
    usually = entry.preprocessing
    usual = TransformsSpec.model_validate(
        {
            "train": [{"random_resized_crop": usually.input_size}, "random_horizontal_flip"],
            "val": [
                {"resize": {"size": usually.resize_size, "interpolation": usually.interpolation}},
                {"center_crop": usually.input_size},
            ],
        }
    )
    transforms = TransformsSpec(
        train=spec.transforms.train or usual.train, val=spec.transforms.val or usual.val
    )
    _check_sizes(transforms, entry)
    usual_normalization = NormalizationSpec(
        mean=usually.normalization.mean, std=usually.normalization.std
    )
    return spec.model_copy(
        update={
            "transforms": transforms,
            "normalization": spec.normalization or usual_normalization,
        }
    )


def _check_sizes(transforms: TransformsSpec, entry: BackboneEntry) -> None:
    least, most = entry.min_input_size, entry.max_input_size
    for split, pipeline in (("train", transforms.train), ("val", transforms.val)):
        size = output_size(pipeline or ())
        if size is None or (least <= min(size) and max(size) <= (most or max(size))):
            continue
        limits = f"at least {least}"
        if most is not None:
            limits = f"{least}" if least == most else f"{least} to {most}"
        raise SpecError(
            f"transforms.{split}: ends in images of {size[0]} x {size[1]} pixels, but"
            f" '{entry.name}' takes {limits} pixels a side."
        )


def normalization(spec: ExperimentSpec) -> Normalization:
    """Returns the normalization of a resolved spec."""
    assert spec.normalization is not None, "resolve() comes first"
    return Normalization(spec.normalization.mean, spec.normalization.std)
