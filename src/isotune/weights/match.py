"""Compares weights with a model, tensor by tensor, before any of them is used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.weights.formats.files import printable

logger = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]
Arrays = Mapping[str, NDArray[Any]]

LISTED = 10
"""Number of names of each kind that a message lists."""


def match(
    expected: Shapes, state: Arrays, entry: BackboneEntry, source: str
) -> dict[str, NDArray[np.float32]]:
    """Returns the backbone's tensors by canonical name, contiguous and float32.

    The head in `state`, if any, may have any shapes; it is left out, and its tensors are logged.

    Args:
        expected: shapes of the backbone's tensors by canonical name, without the head.
        state: arrays by canonical name.
        entry: the backbone.
        source: the file's name, for messages.

    Raises:
        WeightsError: a tensor of the backbone is missing, unexpected, of another shape or not
            floating point. The message lists them.
    """
    head = head_names(expected, state, entry)
    rest = {name: value for name, value in state.items() if name not in head}
    _check(expected, rest, source, f"backbone '{entry.name}'")
    logger.info("%s: %d head tensors left out: %s", source, len(head), ", ".join(head) or "none")
    return {name: _float32(rest[name]) for name in expected}


def match_exact(expected: Shapes, state: Arrays, source: str) -> dict[str, NDArray[np.float32]]:
    """Returns all tensors of a model, contiguous and float32, in the order of `expected`.

    Raises:
        WeightsError: names or shapes differ, or a tensor is not floating point. The message
            lists the tensors.
    """
    _check(expected, state, source, "the model")
    return {name: _float32(state[name]) for name in expected}


def head_names(backbone: Iterable[str], state: Iterable[str], entry: BackboneEntry) -> list[str]:
    """Returns the names in `state` that belong to a head, not to the backbone.

    These are the tensors of the classifier, which may have several layers, and of the last layers
    of auxiliary classifiers.

    Args:
        backbone: canonical names of the backbone's tensors.
        state: canonical names.
        entry: the backbone.
    """
    parents = tuple(f"{path}." for path in (entry.classifier_block, *entry.auxiliary))
    own = set(backbone)
    return [name for name in state if name.startswith(parents) and name not in own]


def fits(expected: Shapes, state: Arrays, entry: BackboneEntry) -> bool:
    """Whether :func:`match` accepts `state`; takes the same arguments."""
    head = set(head_names(expected, state, entry))
    return not _faults(expected, {n: v for n, v in state.items() if n not in head})


def check_finite(tensors: Arrays, source: str) -> None:
    """Refuses weights with NaN or infinite values, which train to nothing or spoil every output.

    Integers and masks, which may be infinite on purpose, are not affected.

    Args:
        tensors: arrays by name.
        source: the file's name, for messages.

    Raises:
        WeightsError: a value is not finite, or not in float32. The message lists the tensors, each
            with the number of such values.
    """
    spoiled: dict[str, int] = {}
    for name, value in tensors.items():
        if value.dtype.kind != "f" or "mask" in name.rpartition(".")[2]:
            continue
        finite = np.isfinite(_float32(value))
        if not finite.all():
            spoiled[name] = int(finite.size - np.count_nonzero(finite))
    if not spoiled:
        return
    listed = _listed(
        "spoiled",
        [*spoiled],
        lambda name: f"{_line(name)} ({spoiled[name]} of {tensors[name].size})",
    )
    raise WeightsError(
        f"'{source}' has values that are NaN or infinite: {listed}. It was saved by a training that"
        " had diverged, or is damaged; take an earlier checkpoint."
    )


def _check(expected: Shapes, state: Arrays, source: str, model: str) -> None:
    if faults := _faults(expected, state):
        raise WeightsError(f"'{source}' does not fit {model}: {'; '.join(faults)}.")


def _faults(expected: Shapes, state: Arrays) -> list[str]:
    def shape_pair(name: str) -> str:
        return f"{_line(name)} {tuple(state[name].shape)} for {tuple(expected[name])}"

    def type_of(name: str) -> str:
        return f"{_line(name)} {state[name].dtype}"

    shared = [name for name in expected if name in state]
    faults = [
        _listed("missing", [name for name in expected if name not in state]),
        _listed("unexpected", [name for name in state if name not in expected]),
        _listed(
            "of another shape (the file's for the model's)",
            [name for name in shared if tuple(state[name].shape) != tuple(expected[name])],
            shape_pair,
        ),
        _listed("not floating point", [n for n in shared if state[n].dtype.kind != "f"], type_of),
    ]
    return [fault for fault in faults if fault]


def _line(name: str) -> str:
    return printable(name, 120)


def _listed(kind: str, names: list[str], show: Callable[[str], str] = _line) -> str:
    if not names:
        return ""
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    are = "tensor is" if len(names) == 1 else "tensors are"
    return f"{len(names)} {are} {kind}: {', '.join(map(show, names[:LISTED]))}{more}"


def _float32(value: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # check_finite says it by name
        return np.require(value, dtype=np.float32, requirements="C")
