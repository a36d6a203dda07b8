"""Finds the weights in what a PyTorch file holds: beside them may be an epoch, an optimizer, paths.

Dicts in dicts become names with dots, as PyTorch names the parts of a module. Modules that were
saved whole, and other classes that hold tensors by name, are dicts as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from isotune.weights.formats.files import Unreadable, printable
from isotune.weights.formats.pth.inert import Inert, UnsupportedTensor
from isotune.weights.formats.pth.numpy import Array
from isotune.weights.formats.pth.tensors import Storage, Tensor

WRAPPERS = ("state_dict", "model", "model_state_dict", "network", "net", "model_state", "module")
"""Keys under which training scripts store the state dict, beside the epoch for example."""

OPTIMIZER = re.compile(
    r"(\w*_)?(opt|optim|optimizers?|optimizer_states?|schedulers?|lr_schedulers?|scaler|amp|callbacks"
    r"|loops|rng_states?|history|message_hub|meta|hparams|hyper_parameters)(_state)?(_dicts?)?"
)
"""Keys of what belongs to the training, and may hold tensors by name."""

_PARTS = (Tensor, Storage, UnsupportedTensor)

MAX_WRAPPERS = 4
MAX_DEPTH = 12
MAX_LIST = 1000
MAX_KEY = 500
MAX_CHARACTERS = 8 << 20
MAX_BESIDE = 10_000
"""Bounds of the dicts that are looked into, of all names together, and of the names beside."""


@dataclass
class Contents:
    """What a file holds.

    Attributes:
        tensors: tensors and arrays by name.
        unsupported: names of the tensors that cannot be read, each with what it is.
        beside: names of other entries.
    """

    tensors: dict[str, Tensor | Array] = field(default_factory=dict)
    unsupported: dict[str, str] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    _characters: int = 0

    def count(self, name: str) -> None:
        """Counts the characters of a name: nested long keys would multiply.

        Raises:
            Unreadable: all names together are too long.
        """
        self._characters += len(name)
        if self._characters > MAX_CHARACTERS:
            raise Unreadable("the names in it are too long")

    def add(self, name: str, value: Tensor | Array | Inert) -> None:
        """Adds a tensor.

        Raises:
            Unreadable: its name is there already.
        """
        if name in self.tensors or name in self.unsupported:
            raise Unreadable(f"tensor '{printable(name, 80)}' is there twice")
        if isinstance(value, Inert):
            self.unsupported[name] = value.name
        else:
            self.tensors[name] = value

    def set_aside(self, name: str) -> None:
        """Adds the name of another entry, up to a number that nobody reads."""
        if name and len(self.beside) < MAX_BESIDE:
            self.beside.append(name)


def find_weights(root: Any, prefix: str | None = None) -> Contents:
    """Returns the tensors by name in what a file holds.

    If exactly one of the keys :data:`WRAPPERS` holds tensors, only those under it are taken,
    unless there are none whose names begin with `prefix`.

    Args:
        root: the content of the file's pickle.
        prefix: what the names of the wanted tensors begin with, or None if that is unknown.

    Raises:
        Unreadable: there are no tensors.
    """
    if _is_value(root):
        raise Unreadable("it holds one tensor, not a state dict (a dict of tensors by name)")
    found = _unwrapped(root)
    if prefix is not None and not any(name.startswith(prefix) for name in found.tensors):
        found = _flatten(root, all_of_it=True)
    if found.unsupported and not found.tensors:
        name, kind = next(iter(found.unsupported.items()))
        raise Unreadable(describe_unsupported(name, kind))
    if not found.tensors:
        raise Unreadable(_nothing(root))
    found.beside = _topmost(found)
    return found


def _topmost(found: Contents) -> list[str]:
    """Returns names of what is beside the tensors, each with all that is in it."""
    above = {""}
    for name in (*found.tensors, *found.unsupported):
        parts = name.split(".", MAX_DEPTH)
        above.update(".".join(parts[:end]) for end in range(1, len(parts)))
    names: dict[str, None] = {}
    for name in found.beside:
        parts = name.split(".", MAX_DEPTH)
        starts = (".".join(parts[:end]) for end in range(1, len(parts)))
        names[next((start for start in starts if start not in above), name)] = None
    return list(names)


def describe_unsupported(name: str, kind: str) -> str:
    """Returns a sentence about a tensor of a kind that is not read."""
    return f"tensor '{printable(name, 80)}' is not supported: it is {printable(kind, 80)}"


def _unwrapped(root: Any) -> Contents:
    beside: list[str] = []
    barren: set[int] = set()
    for _ in range(MAX_WRAPPERS):
        mapping = _mapping(root) or {}
        if any(_is_value(value) for value in mapping.values()):
            break
        inner = [key for key in WRAPPERS if _holds_tensors(mapping.get(key), barren)]
        if len(inner) != 1:
            break
        beside += [key for key in mapping if isinstance(key, str) and key != inner[0]]
        root = mapping[inner[0]]
    found = _flatten(root)
    found.beside = beside + found.beside
    return found


def _holds_tensors(root: Any, barren: set[int]) -> bool:
    """Whether there is a tensor in an object; adds to `barren` the ids of objects without."""
    seen = set(barren)
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if _is_value(value):
            return True
        if id(value) not in seen and (mapping := _mapping(value)) is not None:
            seen.add(id(value))
            waiting += mapping.values()
    barren |= seen
    return False


def _flatten(root: Any, *, all_of_it: bool = False) -> Contents:
    found = Contents()
    seen: set[int] = set()
    waiting = [("", root, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if _is_value(value):
            found.add(path, value)
            continue
        is_known = id(value) in seen or depth > MAX_DEPTH
        mapping = None if is_known else _mapping(value)
        if mapping is None:
            found.set_aside(path)
            continue
        seen.add(id(value))
        waiting += reversed([*_children(path, mapping, depth, all_of_it, found)])
    return found


def _children(
    path: str, mapping: dict[Any, Any], depth: int, all_of_it: bool, found: Contents
) -> Iterator[tuple[str, Any, int]]:
    for key, value in mapping.items():
        if not isinstance(key, (str, int)) or len(name := str(key)) > MAX_KEY:
            continue
        name = f"{path}.{name}" if path else name
        is_kept = all_of_it or _is_value(value) or _is_module(value)
        is_plain = not isinstance(value, (Tensor, Array, Inert, dict, list, tuple))
        if is_plain or (OPTIMIZER.fullmatch(str(key)) and not is_kept):
            found.set_aside(name)
        else:
            found.count(name)
            yield name, value, depth + 1


def _is_value(value: Any) -> bool:
    if isinstance(value, Array):
        return value.value is not None
    if not isinstance(value, Inert):
        return isinstance(value, Tensor)
    # An unknown function of tensors, such as one that makes a quantized or sparse tensor.
    groups = [each if isinstance(each, tuple) else (each,) for each in value.arguments[:4]]
    return isinstance(value, UnsupportedTensor) or any(
        isinstance(each, (Tensor, Storage, UnsupportedTensor))
        for group in groups
        for each in group[:4]
    )


def _is_module(value: Any) -> bool:
    state = value.state if isinstance(value, Inert) else None
    return isinstance(state, dict) and "_parameters" in state and "_modules" in state


def _mapping(value: Any) -> dict[Any, Any] | None:
    """Returns a dict, or what is like one: a list, a module, an object with attributes."""
    if isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value)) if len(value) <= MAX_LIST else None
    if not isinstance(value, Inert) or isinstance(value, UnsupportedTensor):
        return None
    if _is_module(value):
        return _module(value.attributes)
    return value.content or value.attributes or None


def _module(attributes: dict[Any, Any]) -> dict[Any, Any]:
    """Returns the entries of a module's state dict, and its children."""
    lost = attributes.get("_non_persistent_buffers_set")
    if isinstance(lost, Inert):  # set([...])
        lost = lost.arguments[0] if lost.arguments else ()
    skipped = set(filter(_is_text, lost)) if isinstance(lost, (list, tuple)) else set()
    groups = [
        _mapping(attributes.get(key)) or {} for key in ("_parameters", "_buffers", "_modules")
    ]
    groups[1] = {key: value for key, value in groups[1].items() if key not in skipped}
    return {key: value for group in groups for key, value in group.items() if value is not None}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _nothing(root: Any) -> str:
    """Returns a sentence about a file without tensors."""
    mapping = _mapping(root)
    if isinstance(root, dict) and not root:
        return "its state dict is empty"
    if isinstance(root, Inert):
        return (
            f"it holds an object of '{printable(root.name, 80)}' in which no tensor is found by"
            " name; save model.state_dict() instead"
        )
    if not isinstance(root, dict) or not mapping:
        return "it holds no state dict (a dict of tensors by name)"
    name, value = next(iter(mapping.items()))
    shown = f"'{printable(name, 80)}'" if isinstance(name, str) else "(not named by text)"
    kind = f" (it is a '{printable(value.name, 80)}')" if isinstance(value, Inert) else ""
    return (
        f"its entry {shown} is no tensor{kind}; save model.state_dict() alone,"
        " or in a dict under 'state_dict'"
    )
