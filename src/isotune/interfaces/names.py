"""Canonical tensor names: torchvision's, such as ``layer4.1.bn2.running_mean``."""

from __future__ import annotations

NO_STATE = frozenset({"num_batches_tracked", "relative_position_index", "relative_coords_table"})
"""Last parts of names in PyTorch's state dicts that are left out of a model's state.

The first has no effect while BatchNorm has a momentum; the others, of Swin Transformers and
MaxViT, are constants of the architecture.
"""


def is_under(path: str, name: str) -> bool:
    """Whether a canonical tensor name lies under `path`."""
    return name.startswith(f"{path}.")


def is_parameter(name: str) -> bool:
    """Whether a canonical tensor name is that of a parameter, not of a BatchNorm statistic."""
    return not name.endswith((".running_mean", ".running_var"))
