"""Which attributes of cells, classes and other objects may decide a compiled graph."""

from __future__ import annotations

from typing import Any

from mindspore import nn

from isotune_mindspore.libraries import is_foreign

BOOKKEEPING = frozenset(
    {
        "_create_time",
        "arguments_key",
        "_compile_cache",
        "_phase_cache",
        "_compile_phase",
        "_id",
        "_compiled",
        "_exist_objs",
        "_exist_names",
        "_init_flag",
        "_is_check_and_refresh",
        "is_top_cell",
        "_lazy_construct_sig",
        "_cell_init_args",
        "_lazy_user_parameters",
        "_has_mutable_args_list",
        "_primitives",
        "_scope",
        "sequence_modified",
        "current_phase",
        "compile_phase",
        "__compile_cell_hook__",
        "_parameter_layout_dict",
        "_parallel_parameter_name_list",
        "_parallel_parameter_merge_net_dict",
    }
)
"""Attributes in which MindSpore (2.10) notes what it has compiled, or by when; never compiled in.
Names that another version adds are described."""

NOT_COMPILED = frozenset(
    {
        "__init__",
        "__repr__",
        "__str__",
        "extend_repr",
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__abstractmethods__",
        "_abc_impl",
        "__orig_bases__",
        "__parameters__",
        "__static_attributes__",
        "__firstlineno__",
    }
)
"""Names in a class's namespace that no compiled code reads. What ``__init__`` does is in the
attributes of the cell."""

POINTER = 8
HEAP_TYPE = 1 << 9
"""``Py_TPFLAGS_HEAPTYPE``: the flag of classes that are written in Python."""


def attributes(cell: nn.Cell) -> dict[str, Any]:
    """Returns the attributes of a cell that may be compiled in."""
    # A hook that was removed leaves an empty dictionary.
    return {
        name: value
        for name, value in vars(cell).items()
        if name not in BOOKKEEPING and not (name.startswith("_lazy_") and not value)
    }


def state(value: object) -> dict[str, Any]:
    """Returns the attributes of an object whose classes are written in Python."""
    names = [name for kind in type(value).__mro__ for name in _slots(kind)]
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return {**found, **getattr(value, "__dict__", {})}


def written_in_python(kind: type) -> bool:
    """Whether objects of a class have nothing but attributes.

    Those of a class written in C have more, and so are larger than a dictionary, a list of weak
    references and slots.
    """
    slots = sum(len(_slots(each)) for each in kind.__mro__)
    return kind.__basicsize__ <= object.__basicsize__ + POINTER * (2 + slots) and all(
        each is object or (each.__flags__ & HEAP_TYPE and not is_foreign(each))
        for each in kind.__mro__
    )


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
