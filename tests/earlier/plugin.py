"""What the earlier runs need beside Isotune: a backbone of their own, and the NumPy backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import isotune
import numpy_backend.plugin
from isotune import hookimpl
from isotune.interfaces.backbone import BackboneEntry, Preprocessing


class SmallNet:
    """Offers ``small``, which no other test needs, so that no other test changes it."""

    @hookimpl
    def isotune_backbones(self) -> list[BackboneEntry]:
        return [
            BackboneEntry(
                name="small",
                classifier="fc",
                preprocessing=Preprocessing(input_size=8, resize_size=8),
                builders={
                    framework: f"earlier.net_{framework}:small"
                    for framework in ("torch", "mindspore")
                },
                stages={"stem": ("conv", "bn"), "head": ("fc",)},
            )
        ]


@contextmanager
def registered() -> Iterator[None]:
    """Has the default plugins offer both."""
    plugins, small = isotune.plugins.plugins, SmallNet()
    plugins.register(numpy_backend.plugin, "numpy")
    plugins.register(small)
    try:
        yield
    finally:
        plugins.unregister(small)
        plugins.unregister(numpy_backend.plugin)
