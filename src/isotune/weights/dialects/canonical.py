"""Renames tensors of other tools to the canonical names, which are torchvision's.

The dialects are rows of :mod:`isotune.weights.dialects.tables`. All rows that recognize a file are
applied in order, each to the result of the one before: one row may remove a prefix, another rename
the layers, a third the parameters of a layer.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.names import NO_STATE
from isotune.weights.dialects.adapt import adapt
from isotune.weights.dialects.dialect import HEAD, Dialect, Layers
from isotune.weights.dialects.equal import joined, rescaled
from isotune.weights.dialects.not_weights import is_weight
from isotune.weights.dialects.tables import DIALECTS
from isotune.weights.formats.files import printable

PREFIXES = ("module.", "_orig_mod.", "state_dict.", "model.", "network.", "net.", "_backbone.")
"""Prefixes that wrappers add to every name: DataParallel, torch.compile, Lightning, and MindSpore's
cells around a network (``TrainOneStepCell``, ``WithLossCell``)."""

WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts that PyTorch's wrappers of single layers add within names: of compiled, sharded and
recomputed ones."""

LISTED = 5
"""Number of names that a message lists."""


@dataclass(frozen=True)
class Canonical:
    """A weights file's tensors under canonical names.

    Attributes:
        tensors: arrays by canonical name.
        dialects: the recognized dialects; empty if the names were canonical.
        dropped: names in the file that are not weights.
        notes: sentences about other changes, and about differences to the file's original model.
    """

    tensors: dict[str, NDArray[Any]]
    dialects: tuple[str, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...]


def to_canonical(
    state: Mapping[str, NDArray[Any]],
    entry: BackboneEntry,
    source: str,
    expected: Mapping[str, tuple[int, ...]],
) -> Canonical:
    """Renames a file's tensors, and leaves out those that are not weights.

    The backbone's own names and names that no dialect knows do not change;
    :func:`isotune.weights.match.match` reports the latter.

    Args:
        state: arrays by name, as read.
        entry: the backbone.
        source: the file's name, for messages.
        expected: the backbone's shapes by canonical name.

    Raises:
        WeightsError: two names refer to the same parameter.
    """
    weights = {n: v for n, v in state.items() if n in expected or is_weight(n, state)}
    dropped = tuple(name for name in state if name not in weights)
    bare = _without_prefix(weights, expected)
    unwrapped = {n: n if n in expected else WRAPPED.sub("", n) for n in bare}
    names, dialects = _renamed(unwrapped, entry, expected, source)
    dropped += tuple(name for name in bare if name not in names)
    tensors: dict[str, NDArray[Any]] = {}
    origins: dict[str, str] = {}
    for original, name in names.items():
        if name.rpartition(".")[2] in NO_STATE:
            continue
        if name in tensors:
            both = printable(f"'{origins[name]}' and '{original}' are both '{name}'", 300)
            raise WeightsError(f"'{source}': {both} of {entry.name}.")
        tensors[name], origins[name] = bare[original], original
    tensors, notes = adapt(joined(tensors), expected, entry)
    for dialect in dialects:
        if dialect.epsilon is not None:
            tensors, changes = rescaled(tensors, dialect.epsilon, entry.name)
            notes += changes
        notes += [dialect.note] if dialect.note else []
    return Canonical(tensors, tuple(d.name for d in dialects), dropped, tuple(notes))


def _without_prefix(
    state: Mapping[str, NDArray[Any]], expected: Container[str]
) -> Mapping[str, NDArray[Any]]:
    """Returns `state` without the :data:`PREFIXES` that all its names have."""
    for prefix in PREFIXES:
        if state and all(n.startswith(prefix) and n not in expected for n in state):
            return _without_prefix({n[len(prefix) :]: v for n, v in state.items()}, expected)
    return state


def _renamed(
    names: Mapping[str, str], entry: BackboneEntry, expected: Container[str], source: str
) -> tuple[Mapping[str, str], list[Dialect]]:
    """Returns names, made canonical and without unused ones, and the recognized dialects."""
    recognized = []
    for dialect in _dialects(entry.name):
        if not _uses(names.values(), dialect, expected, source):
            continue
        recognized.append(dialect)
        rules = [(re.compile(p), r.replace(HEAD, entry.classifier)) for p, r in dialect.rules]
        layers, unused = dialect.layers(entry.name), re.compile(dialect.unused or "(?!)")
        names = {
            original: name if name in expected else _rename(name, rules, layers)
            for original, name in names.items()
            if name in expected or not unused.search(name)
        }
    return names, recognized


@cache
def _dialects(backbone: str) -> tuple[Dialect, ...]:
    return tuple(each for each in DIALECTS if re.fullmatch(each.backbones, backbone))


def _uses(names: Iterable[str], dialect: Dialect, expected: Container[str], source: str) -> bool:
    mark = re.compile(dialect.mark)
    return bool(re.search(dialect.files, source)) and any(
        mark.search(name) and name not in expected for name in names
    )


def _rename(name: str, rules: Iterable[tuple[re.Pattern[str], str]], layers: Layers) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    layer, dot, parameter = name.rpartition(".")
    return f"{layers.get(layer, layer)}{dot}{parameter}"


def describe_left_out(names: Sequence[str], entries: Sequence[str] = ()) -> str:
    """Returns a sentence about what stands beside the weights in a file.

    Args:
        names: names of tensors that were left out.
        entries: names of other entries of the file.
    """
    tensors = f"{len(names)} tensor{'s' * (len(names) > 1)} ({_listed(_groups(names))})"
    parts = [tensors] * bool(names) + [_listed([printable(each, 60) for each in entries])]
    return f"left out beside the weights: {'; '.join(filter(None, parts))}"


def _groups(names: Sequence[str]) -> list[str]:
    """Returns names, with one item for all those that begin alike."""
    shared, groups = "", _grouped(names, "")
    for _ in range(LISTED):
        first = names[0][len(shared) :].partition(".")[0] if names else ""
        shared = f"{shared}{first}."
        if len(names) < 2 or not all(name.startswith(shared) for name in names):
            break
        deeper = _grouped(names, shared)
        groups = deeper if 1 < len(deeper) <= LISTED else groups
    return groups


def _grouped(names: Sequence[str], shared: str) -> list[str]:
    by_first: dict[str, list[str]] = {}
    for name in names:
        by_first.setdefault(name[len(shared) :].partition(".")[0], []).append(name)
    return [
        printable(members[0], 60)
        if len(members) == 1
        else f"{printable(shared + first, 60)}.* ({len(members)})"
        for first, members in by_first.items()
    ]


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return f"{', '.join(items[:LISTED])}{more}"
