"""The contract's nets as backbones of a third party, built natively for each framework."""

from __future__ import annotations

from dataclasses import replace

from isotune.testing.nets import NETS

FRAMEWORKS = ("torch", "mindspore")

ENTRIES = {
    name: replace(
        net.entry,
        builders={framework: f"contract.nets_{framework}:{name}" for framework in FRAMEWORKS},
    )
    for name, net in NETS.items()
}
"""``linear`` the NumPy backend also builds by itself."""
