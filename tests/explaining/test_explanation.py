from __future__ import annotations

import numpy as np
import pytest

from isotune.explaining.explanation import Explanation, colored


def test_an_overlay_brightens_what_counts_and_darkens_what_does_not():
    image = np.full((2, 3, 3), 100, np.uint8)
    heat = np.array([[0, 0.5, 1], [0, 0, 0]], np.float32)
    explanation = Explanation(image, heat, "ants", 0.9, "ants", "Grad-CAM", "stage5")
    overlay = explanation.overlay()
    assert overlay.shape == image.shape and overlay.dtype == np.uint8
    gray = overlay.mean(axis=-1)
    assert gray[0, 0] < 100 < gray[0, 2]
    assert (explanation.overlay(0) == image).all()
    assert overlay[0, 2].tolist() == np.rint(0.4 * 100 + 0.6 * np.array([252, 255, 164])).tolist()


def test_colors_become_brighter_from_0_to_1():
    luma = colored(np.linspace(0, 1, 101, dtype=np.float32)) @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) > 0).all()
    assert luma[0] == pytest.approx(0.456) and luma[-1] > 240
