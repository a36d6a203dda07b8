"""What an entry point of group ``isotune`` names: it offers the backend, and its backbone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isotune.hookspecs import hookimpl
from isotune.interfaces.backbone import BackboneEntry, Preprocessing
from isotune.interfaces.backend import Backend, BackendOffer

LINEAR = BackboneEntry(
    name="linear",
    classifier="fc",
    preprocessing=Preprocessing(input_size=8, resize_size=8),
    stages={"stem": ("hidden", "conv"), "head": ("fc",)},
)


class NumpyOffer(BackendOffer):
    """Known before the backend itself is imported."""

    name = "numpy"
    install = "pip install isotune"

    def versions(self) -> Mapping[str, str]:
        return {"numpy": np.__version__}

    def devices(self) -> list[str]:
        return ["cpu"]

    def open(self, device: str) -> Backend:
        from numpy_backend.backend import NumpyBackend

        return NumpyBackend(device)


@hookimpl
def isotune_backends() -> list[BackendOffer]:
    return [NumpyOffer()]


@hookimpl
def isotune_backbones() -> list[BackboneEntry]:
    return [LINEAR]
