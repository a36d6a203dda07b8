"""A third party's backbone is built by its own function, given itself or by name."""

from __future__ import annotations

import pytest

from isotune.errors import BackendError
from isotune.interfaces.backbone import BackboneEntry
from isotune.models.build import build_backbone
from numpy_backend.backbone import Net, linear_layer
from numpy_backend.backend import NumpyBackend


def small() -> Net:
    return Net(fc=linear_layer(5, 2))


@pytest.mark.parametrize("builder", [small, f"{__name__}:small"])
def test_a_builder_is_a_function_or_its_name(builder: object) -> None:
    entry = BackboneEntry("mine", "fc", builders={"numpy": builder})  # type: ignore[dict-item]
    model = build_backbone(entry, NumpyBackend("cpu"))
    assert model.parameters()["fc.weight"].shape == (2, 5)


@pytest.mark.parametrize("builder", ["absent.module:f", f"{__name__}:absent"])
def test_a_name_that_cannot_be_imported_is_named(builder: str) -> None:
    entry = BackboneEntry("mine", "fc", builders={"numpy": builder})
    with pytest.raises(BackendError, match=f"'mine': its builder {builder} cannot be imported"):
        build_backbone(entry, NumpyBackend("cpu"))
    with pytest.raises(BackendError, match="does not have backbone 'yours'; it has: linear"):
        build_backbone(BackboneEntry("yours", "fc"), NumpyBackend("cpu"))
