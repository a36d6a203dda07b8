"""The core's own layouts are torchvision's and the contract's."""

from __future__ import annotations

import pytest

from contract.truth import TRUTH, signature
from isotune.weights.catalogue import BUILT_IN
from isotune.weights.layouts import LAYOUTS


def test_every_built_in_backbone_has_one() -> None:
    assert {entry.name for entry in BUILT_IN} <= LAYOUTS.keys()


@pytest.mark.parametrize("name", sorted(LAYOUTS.keys() & TRUTH.keys()))
def test_names_and_shapes_are_the_contracts(name: str) -> None:
    assert signature(LAYOUTS[name]()) == TRUTH[name]["signature"]


@pytest.mark.parametrize("name", sorted(LAYOUTS.keys() - {"lenet", "efficientnet_lite0"}))
def test_names_shapes_and_order_are_torchvisions(name: str) -> None:
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    theirs = {
        key: tuple(value.shape)
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert list(LAYOUTS[name]().items()) == list(theirs.items())
