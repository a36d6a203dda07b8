"""The core's own layouts are torchvision's and the contract's."""

from __future__ import annotations

import pytest

from contract.truth import TRUTH, WITH_LOGITS, signature
from isotune.catalogue.layouts import layout


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_names_and_shapes_are_the_contracts(name: str) -> None:
    shapes = layout(name)
    assert shapes is not None
    assert signature(shapes) == TRUTH[name]["signature"]


@pytest.mark.parametrize("name", sorted({*WITH_LOGITS} - {"lenet", "efficientnet_lite0"}))
def test_the_file_is_what_this_torchvision_says(name: str) -> None:
    pytest.importorskip("torchvision")
    from catalogue.make_layouts import layout as torchvisions

    assert list((layout(name) or {}).items()) == list(torchvisions(name).items())
