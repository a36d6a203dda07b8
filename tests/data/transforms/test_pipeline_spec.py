from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from isotune.data.transforms.affine import AffineSpec
from isotune.data.transforms.auto_augment import RandAugmentSpec, TrivialAugmentWideSpec
from isotune.data.transforms.color_jitter import ColorJitterSpec
from isotune.data.transforms.crop import CenterCropSpec
from isotune.data.transforms.flip import RandomHorizontalFlipSpec, RandomVerticalFlipSpec
from isotune.data.transforms.gaussian_blur import GaussianBlurSpec
from isotune.data.transforms.grayscale import GrayscaleSpec, RandomGrayscaleSpec
from isotune.data.transforms.letterbox import LetterboxSpec
from isotune.data.transforms.pad import PadSpec
from isotune.data.transforms.perspective import PerspectiveSpec
from isotune.data.transforms.random_apply import RandomApplySpec
from isotune.data.transforms.random_crop import RandomCropSpec
from isotune.data.transforms.random_erasing import RandomErasingSpec
from isotune.data.transforms.random_resized_crop import RandomResizedCropSpec
from isotune.data.transforms.resize import ResizeSpec
from isotune.data.transforms.rotation import RotationSpec
from isotune.spec.base import SpecModel
from isotune.spec.transforms import Pipeline, output_size


class Holder(SpecModel):
    train: Pipeline


def load(text: str) -> Holder:
    return Holder.model_validate({"train": yaml.safe_load(text)})


GOOD: dict[str, Any] = {
    "random_horizontal_flip": RandomHorizontalFlipSpec(),
    "random_horizontal_flip: 0.3": RandomHorizontalFlipSpec(p=0.3),
    "random_vertical_flip: 1": RandomVerticalFlipSpec(p=1.0),
    "random_vertical_flip:": RandomVerticalFlipSpec(),
    "resize: 256": ResizeSpec(size=256),
    "resize: [3, 4]": ResizeSpec(size=(3, 4)),
    "resize: {size: 5, max_size: 9, interpolation: lanczos}": ResizeSpec(
        size=5, max_size=9, interpolation="lanczos"
    ),
    "center_crop: 224": CenterCropSpec(size=224),
    "random_crop: {size: 32, padding: [1, 2, 3, 4], padding_mode: reflect}": RandomCropSpec(
        size=32, padding=(1, 2, 3, 4), padding_mode="reflect"
    ),
    "random_crop: {size: [8, 9], fill: [1, 2, 3], pad_if_needed: true}": RandomCropSpec(
        size=(8, 9), fill=(1, 2, 3), pad_if_needed=True
    ),
    "random_resized_crop: {size: 224, scale: [0.5, 1], ratio: [0.75, 1.333]}": (
        RandomResizedCropSpec(size=224, scale=(0.5, 1.0), ratio=(0.75, 1.333))
    ),
    "color_jitter: {brightness: 1, contrast: [0.5, 2], hue: [-0.1, 0.2]}": ColorJitterSpec(
        brightness=1.0, contrast=(0.5, 2.0), hue=(-0.1, 0.2)
    ),
    "rotation: 15": RotationSpec(degrees=15.0),
    "rotation: {degrees: [-10, 20], expand: true}": RotationSpec(
        degrees=(-10.0, 20.0), expand=True
    ),
    "trivial_augment_wide": TrivialAugmentWideSpec(),
    "trivial_augment_wide: {num_magnitude_bins: 9, interpolation: bilinear, fill: 128}": (
        TrivialAugmentWideSpec(num_magnitude_bins=9, interpolation="bilinear", fill=128)
    ),
    "rand_augment": RandAugmentSpec(),
    "rand_augment: 15": RandAugmentSpec(magnitude=15),
    "rand_augment: {num_ops: 3, magnitude: 4, num_magnitude_bins: 5}": RandAugmentSpec(
        num_ops=3, magnitude=4, num_magnitude_bins=5
    ),
    "{name: center_crop, size: 3}": CenterCropSpec(size=3),
    "letterbox: 640": LetterboxSpec(size=640),
    "letterbox: {size: [4, 5], padding_mode: edge, scale_up: false}": LetterboxSpec(
        size=(4, 5), padding_mode="edge", scale_up=False
    ),
    "pad: [1, 2]": PadSpec(padding=(1, 2)),
    "affine: 5": AffineSpec(degrees=5.0),
    "affine: {translate: 0.1, scale: [0.5, 2], shear: [-1, 1, 0, 2]}": AffineSpec(
        translate=0.1, scale=(0.5, 2.0), shear=(-1.0, 1.0, 0.0, 2.0)
    ),
    "perspective: 0.3": PerspectiveSpec(distortion_scale=0.3),
    "gaussian_blur: [3, 5]": GaussianBlurSpec(kernel_size=(3, 5)),
    "grayscale": GrayscaleSpec(),
    "random_grayscale": RandomGrayscaleSpec(),
    "random_erasing: {p: 1, value: random}": RandomErasingSpec(p=1.0, value="random"),
    "random_apply: [grayscale, {pad: 3}]": RandomApplySpec(
        transforms=(GrayscaleSpec(), PadSpec(padding=3))
    ),
    "random_apply: {transforms: [random_apply: [{name: pad, padding: 3}]], p: 0.25}": (
        RandomApplySpec(
            transforms=(RandomApplySpec(transforms=(PadSpec(padding=3),)),),
            p=0.25,
        )
    ),
    "{name: random_apply, transforms: [grayscale]}": RandomApplySpec(transforms=(GrayscaleSpec(),)),
}


@pytest.fixture(scope="module")
def validator() -> Any:
    """The check of the JSON Schema of a pipeline."""
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator(Holder.model_json_schema())


@pytest.mark.parametrize("text", GOOD)
def test_short_and_long_forms_load_dump_and_fit_the_schema(text: str, validator: Any) -> None:
    data = {"train": [yaml.safe_load(text)]}
    loaded = Holder.model_validate(data)
    assert loaded.train == (GOOD[text],)
    assert Holder.model_validate_json(json.dumps(data)) == loaded
    dumped = loaded.model_dump(mode="json")
    assert Holder.model_validate(dumped) == loaded
    assert Holder.model_validate_json(json.dumps(dumped)) == loaded
    for instance in (data, dumped):
        validator.validate(instance)


BAD = {
    "[resise]": (
        "train.0",
        "no transform 'resise'. Did you mean 'resize'? Known are: affine, center_crop,",
    ),
    "[{256: 3}]": ("train.0", "no transform 256. Known are"),
    "[resize]": ("train.0", "resize needs its size"),
    "[{resize: 3, max_size: 4}]": ("train.0", "should be 'NAME'"),
    "{resize: 3}": ("train", "should be a list of transforms"),
    "[{resize: big}]": ("train.0.resize.size", "should be a whole number of pixels above 0"),
    "[{resize: true}]": ("train.0.resize.size", "should be a whole number of pixels above 0"),
    "[{resize: [1, 2, 3]}]": ("train.0.resize.size", "or [height, width]"),
    "[{resize: {sise: 3}}]": ("train.0.resize", "size"),
    "[{resize: {size: 5, max_size: 5}}]": ("train.0.resize", "max_size 5 must be above size 5"),
    "[{resize: {size: 5, interpolation: bilinaer}}]": (
        "train.0.resize.interpolation",
        "Did you mean 'bilinear'?",
    ),
    "[rotation, 3]": ("train.0", "rotation needs its degrees"),
    "[{rotation: {degrees: [3, 1]}}]": ("train.0.rotation.degrees", "[smallest, largest]"),
    "[{rotation: {degrees: 3, interpolation: lanczos}}]": (
        "train.0.rotation.interpolation",
        "should be one of nearest, bilinear, bicubic",
    ),
    "[{random_crop: {size: 3, padding: [1, 2, 3]}}]": ("train.0.random_crop.padding", "[left, top"),
    "[{color_jitter: {hue: 0.6}}]": ("train.0.color_jitter.hue", "0 to 0.5"),
    "[{trivial_augment_wide: 9}]": ("train.0", "should be 'trivial_augment_wide: {OPTION"),
    "[{trivial_augment_wide: {num_magnitude_bins: 1}}]": (
        "train.0.trivial_augment_wide.num_magnitude_bins",
        "from 2 to 1000",
    ),
    "[{rand_augment: 31}]": ("train.0.rand_augment", "magnitude 31 must be below num_magnitude"),
    "[{rand_augment: {num_ops: 0}}]": ("train.0.rand_augment.num_ops", "from 1 to 100"),
    "[{random_horizontal_flip: 1.5}]": (
        "train.0.random_horizontal_flip.p",
        "should be a probability from 0 to 1",
    ),
    "[{random_resized_crop: {size: 3, scale: [0, 1]}}]": (
        "train.0.random_resized_crop.scale",
        "shares of the image's area",
    ),
    "[{gaussian_blur: 4}]": ("train.0.gaussian_blur.kernel_size", "an odd number of pixels"),
    "[{gaussian_blur: {kernel_size: 3, sigma: 0}}]": ("train.0.gaussian_blur.sigma", "above 0"),
    "[{affine: {shear: [1, 0]}}]": ("train.0.affine.shear", "[smallest, largest] along the x"),
    "[{affine: {scale: [0, 1]}}]": ("train.0.affine.scale", "factor above 0"),
    "[{affine: {translate: 1.5}}]": ("train.0.affine.translate", "a share from 0 to 1"),
    "[{random_erasing: {value: noise}}]": ("train.0.random_erasing.value", "or random"),
    "[grayscale, {random_apply: []}]": ("train.1.random_apply.transforms", "at least 1 item"),
    "[{random_apply: grayscale}]": ("train.0.random_apply.transforms", "a list of transforms"),
    "[{random_apply: {transforms: [grayscale, {random_apply: [{resize: 0}]}], p: 0.5}}]": (
        "train.0.random_apply.transforms.1.random_apply.transforms.0.resize.size",
        "a whole number of pixels above 0",
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_value_is_one_sentence_at_its_place(text: str) -> None:
    with pytest.raises(ValidationError) as error:
        load(text)
    place, sentence = BAD[text]
    first = error.value.errors()[0]
    assert ".".join(map(str, first["loc"])) == place
    assert sentence in first["msg"]


def test_the_schema_looks_into_nested_transforms(validator: Any) -> None:
    for inner, right in (("grayscale", True), ("greyscale", False), ({"resize": 0}, False)):
        nested = {"random_apply": {"transforms": [{"random_apply": [inner]}]}}
        assert validator.is_valid({"train": [nested]}) == right


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("[]", None),
        ("[{resize: 256}]", None),
        ("[{resize: [3, 4]}, {rotation: 5}, random_horizontal_flip]", (3, 4)),
        ("[{center_crop: [3, 4]}, trivial_augment_wide, rand_augment]", (3, 4)),
        ("[{resize: 256}, {center_crop: 224}]", (224, 224)),
        ("[{center_crop: [30, 40]}, {resize: 10}]", (10, 13)),
        ("[{center_crop: [40, 30]}, {resize: {size: 10, max_size: 12}}]", (12, 9)),
        ("[{random_crop: [3, 4]}]", (3, 4)),
        ("[{random_resized_crop: 7}, {rotation: {degrees: 5, expand: true}}]", None),
    ],
)
def test_the_fixed_size_a_pipeline_ends_in(text: str, size: tuple[int, int] | None) -> None:
    assert output_size(load(text).train) == size
