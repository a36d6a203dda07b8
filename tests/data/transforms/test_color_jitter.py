from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isotune.data.transforms.color_jitter import ColorJitter

FACTORS = st.none() | st.floats(0, 3)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(list(permutations(range(4)))),
    FACTORS,
    FACTORS,
    FACTORS,
    st.none() | st.floats(-0.5, 0.5),
)
@settings(max_examples=100)
def test_color_jitter_is_torchvisions(
    seed: int, order: Any, brightness: Any, contrast: Any, saturation: Any, hue: Any
) -> None:
    functional = pytest.importorskip("torchvision.transforms.functional")
    pixels = np.random.default_rng(seed).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    image = theirs = Image.fromarray(pixels)
    steps = [
        (functional.adjust_brightness, brightness),
        (functional.adjust_contrast, contrast),
        (functional.adjust_saturation, saturation),
        (functional.adjust_hue, hue),
    ]
    for adjust, value in (steps[number] for number in order):
        if value is not None:
            theirs = adjust(theirs, value)
    ours = ColorJitter(order, brightness, contrast, saturation, hue).apply(image)
    assert ours.tobytes() == theirs.tobytes()
