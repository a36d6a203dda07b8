from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from augmenting import DRAWS, assert_same, generator, noise
from isotune.data.transforms.pipeline import fixed_part, transform
from isotune.randomness import Purpose, stream
from isotune.spec.transforms import Pipeline, flattened, output_size


def pipeline(*items: Any) -> Any:
    return TypeAdapter(Pipeline).validate_python(list(items))


def test_all_of_the_transforms_are_applied_in_order_or_none() -> None:
    image = noise(21, 15)
    inner = ["random_horizontal_flip", {"pad": 3}, {"random_crop": [9, 8]}, {"rotation": 20}]
    around = pipeline({"random_apply": {"transforms": inner, "p": 0.3}})
    applied = 0
    for index in range(DRAWS // 10):
        rng = stream(5, Purpose.AUGMENTATION, 0, index)
        result = transform(image, around, stream(5, Purpose.AUGMENTATION, 0, index))
        if rng.random() < 0.3:  # the next numbers of the same stream are those of the transforms
            assert_same(result, transform(image, pipeline(*inner), rng))
            applied += 1
        else:
            assert result is image
    assert 60 < applied < 120


@pytest.mark.parametrize(
    ("items", "size"),
    [
        ([{"letterbox": 8}, {"random_apply": ["grayscale", {"gaussian_blur": 3}]}], (8, 8)),
        ([{"letterbox": 8}, {"random_apply": [{"pad": 1}, {"random_crop": 8}]}], (8, 8)),
        ([{"letterbox": 8}, {"random_apply": [{"pad": 1}]}], None),
        ([{"letterbox": 8}, {"random_apply": [{"letterbox": 9}]}, {"center_crop": 7}], (7, 7)),
        ([{"resize": 9}, {"random_apply": [{"letterbox": 8}]}], None),
        ([{"random_apply": {"transforms": [{"letterbox": 8}], "p": 1}}], (8, 8)),
        ([{"letterbox": 8}, {"random_apply": {"transforms": [{"pad": 1}], "p": 0}}], (8, 8)),
        ([{"pad": 1}], None),
        ([{"resize": [4, 5]}, {"pad": [1, 2, 3, 4]}, "perspective"], (10, 9)),
    ],
)
def test_the_size_is_known_if_both_ways_end_in_it(items: Any, size: Any) -> None:
    assert output_size(pipeline(*items)) == size


def test_transforms_around_others_are_random_and_seen_through() -> None:
    nested = {"random_apply": {"transforms": ["grayscale", {"random_apply": [{"pad": 2}]}]}}
    loaded = pipeline({"letterbox": 9}, nested, "random_erasing")
    assert fixed_part(loaded) == 1
    names = [getattr(spec, "name", None) for spec in flattened(loaded)]
    inner = ["grayscale", "random_apply", "pad"]
    assert names == ["letterbox", "random_apply", *inner, "random_erasing"]
    image = noise(40, 30)
    for seed in range(20):
        assert transform(image, loaded, generator(seed)).mode == "RGB"
