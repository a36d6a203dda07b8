"""Certifying from Python: both sides here, and how a certificate looks."""

from __future__ import annotations

from pathlib import Path

import pytest

import isotune
import zoo
from tiny import experiment, make_images


def test_a_mapping_is_certified_and_shows_itself(tmp_path: Path) -> None:
    spec = experiment(make_images(tmp_path))
    certificate = isotune.certify(
        spec, ("numpy", "numpy:cpu"), drift=2, predictions=2, plugins=zoo.plugins("numpy")
    )
    assert certificate.verdict == "equal"
    assert repr(certificate).startswith("Equal. ")
    assert certificate._repr_markdown_().startswith("# Certificate: ")


@pytest.mark.parametrize("on", ["numpy", ("numpy",), ("numpy", "numpy,lr=1")])
def test_two_sides_are_asked_for(on: tuple[str, str]) -> None:
    with pytest.raises(isotune.SpecError, match=r"should be two sides|should be FIELD=VALUE"):
        isotune.certify({}, on)
