"""A naming scheme of parameters, as a row of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

HEAD = "{head}"
"""Placeholder in a rule for the path of the backbone's last linear layer."""

Layers = Mapping[str, str]
Rules = tuple[tuple[str, str], ...]


def no_layers(backbone: str) -> Layers:
    """Returns no layers: the rules alone rename."""
    return {}


@dataclass(frozen=True)
class Dialect:
    """A naming scheme of parameters. A name is a layer's path, a dot, and a parameter.

    A name that ends in ``[0]``, ``[1]`` or ``[2]`` after the rules is a part of a tensor that the
    backbone has in one piece: the projections to queries, keys and values of an attention.

    Attributes:
        name: its name for the user.
        mark: pattern that matches some name in a file if and only if the file uses the dialect.
        rules: patterns and their replacements, applied in order.
        layers: returns canonical paths by path in the dialect, after the rules, for a backbone's
            name; others do not change.
        backbones: pattern of the names of the backbones that it applies to.
        files: pattern that matches the file's path, if the names alone do not tell.
        unused: pattern of names that are no weights of the backbone: constants, and layers that
            belong to neither backbone nor classifier.
        epsilon: what the dialect's model adds to the variances of BatchNorms, or None for what the
            backbone adds.
        note: differences of the model that uses the dialect, or an empty string.
    """

    name: str
    mark: str
    rules: Rules = ()
    layers: Callable[[str], Layers] = no_layers
    backbones: str = ".*"
    files: str = ""
    unused: str = ""
    epsilon: float | None = None
    note: str = ""
