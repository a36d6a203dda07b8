"""Reads the pickles in PyTorch files without Python's unpickler.

Python's unpickler calls any function that a file names. This interpreter supports only the few
instructions that checkpoints need. It decodes them with :mod:`pickletools`, which executes
nothing, and looks names up in a table. It imports nothing, accesses no attribute and calls nothing
outside that table: other names become :class:`~isotune.weights.formats.pth.inert.Inert`.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

from isotune.weights.formats.files import Unreadable, printable
from isotune.weights.formats.pth.inert import Buildable, Inert, runs_code

MAX_INSTRUCTIONS = 2_000_000
"""Largest number of instructions, which takes a few seconds; a state dict has about 60 per
tensor, and a logged number in a checkpoint about 5."""

TOO_LONG = "its pickle is too long for a checkpoint"


@dataclass(frozen=True, eq=False)
class Global:
    """The meaning of a name in a pickle: a value, or a function to call with its arguments."""

    value: Any = None
    call: Callable[..., Any] | None = None


Globals = Mapping[tuple[str, str], Global]

# fmt: off
_PUSH_ARGUMENT = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})
# fmt: on
_PUSH_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSH_NEW: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SKIP = frozenset({"PROTO", "FRAME"})
_KEYS = (str, bytes, int, float, type(None))
_SIZED = (str, bytes, list, tuple, dict)


class PickleSource(Protocol):
    """The methods of a binary file that reading a pickle needs."""

    def read(self, size: int, /) -> bytes:
        """Returns the next `size` bytes, fewer at the end."""

    def readline(self) -> bytes:
        """Returns the bytes up to the end of a line."""

    def tell(self) -> int:
        """Returns the position."""


def read_pickle(
    file: PickleSource, names: Globals, persistent: Callable[[Any], Any] | None = None
) -> Any:
    """Reads one pickle from the current position of `file`, and stops right after it.

    Args:
        file: the open file.
        names: known names and their meanings, by (module, name).
        persistent: converts a persistent id to an object.

    Returns:
        Plain Python objects, those of `names` and `persistent`, and :class:`Inert` for what other
        names would make. Sets become lists.

    Raises:
        Unreadable: the pickle is damaged, too long, or uses a name that runs code.
    """
    machine = _Machine(names, persistent)
    try:
        start = file.tell()
        instructions = enumerate(pickletools.genops(cast("IO[bytes]", file)))
        for count, (opcode, argument, position) in instructions:
            if count == MAX_INSTRUCTIONS:
                raise Unreadable(TOO_LONG)
            machine.step(opcode.name, argument, (position or 0) - start)
        return machine.result()
    except (ValueError, OverflowError, struct.error, IndexError) as error:
        raise Unreadable("its pickle is damaged or cut off") from error


class _Machine:
    """The stack, the marks and the memo while reading one pickle."""

    def __init__(self, names: Globals, persistent: Callable[[Any], Any] | None) -> None:
        self._names = names
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._copied = 0
        self._position = 0

    def step(self, name: str, argument: Any, position: int) -> None:
        self._position = position
        if name in _PUSH_ARGUMENT:
            self._stack.append(argument)
        elif name in _PUSH_CONSTANT:
            self._stack.append(_PUSH_CONSTANT[name])
        elif name in _PUSH_NEW:
            self._stack.append(_PUSH_NEW[name]())
        elif name in _TUPLES:
            self._tuple_of(_TUPLES[name])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[argument] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._get(argument)
        elif name == "GLOBAL":
            self._global(*argument.split(" ", 1))
        elif name == "INST":
            self._named_instance(*argument.split(" ", 1))
        elif name not in _SKIP:
            handler = _HANDLERS.get(name)
            if handler is None:
                raise Unreadable(f"its pickle uses {name}, which no checkpoint needs")
            handler(self)

    def result(self) -> Any:
        return self._stack[-1]

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise Unreadable("its pickle is damaged: it repeats an object that it never had")
        self._stack.append(self._memo[index])

    def _tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._stack.append(items)

    def _global(self, module: str, name: str) -> None:
        meaning = self._names.get((module, name))
        if meaning is not None:
            self._stack.append(meaning if meaning.call else meaning.value)
            return
        path = f"{module}.{name}"
        if runs_code(module, name):
            raise Unreadable(
                f"it asks for '{printable(path, 80)}', which is refused: with this, malicious files"
                " run code. Nothing was run"
            )
        self._stack.append(Inert(path))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise Unreadable("its pickle is damaged: a name is not text")
        self._global(module, name)

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _items(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _pop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Inert):
            target.parts.extend(items)
        else:
            raise Unreadable("its pickle is damaged: it appends to what is no list")

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Inert):
            target = target.content
        if not isinstance(target, dict) or len(items) % 2:
            raise Unreadable("its pickle is damaged: it sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a tuple of tuples of tuples ... would overflow the stack.
            target[key if isinstance(key, _KEYS) else Inert("key")] = value

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._call(function, arguments)

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(arguments, tuple):
            raise Unreadable("its pickle is damaged: it calls a function without arguments")
        if isinstance(function, Inert):
            self._stack.append(Inert(function.name, arguments))
            return
        if not isinstance(function, Global) or function.call is None:
            raise Unreadable("its pickle is damaged: it calls what is no function")
        self._count_copies(arguments)
        try:
            result = function.call(*arguments)
        except TypeError:
            raise Unreadable("its pickle is damaged: a call has the wrong arguments") from None
        self._stack.append(result)

    def _count_copies(self, arguments: Any) -> None:
        # One large object, passed again and again, would be copied each time.
        if isinstance(arguments, tuple):
            self._copied += sum(len(each) for each in arguments if isinstance(each, _SIZED))
        if self._copied > MAX_INSTRUCTIONS + 2 * self._position:
            raise Unreadable(TOO_LONG)

    def _reduce_with_keywords(self) -> None:
        keywords = self._stack.pop()
        if not isinstance(keywords, dict):
            raise Unreadable("its pickle is damaged: it calls a function without arguments")
        self._reduce()

    def _instance(self) -> None:
        function, *arguments = self._items()
        self._call(function, tuple(arguments))

    def _named_instance(self, module: str, name: str) -> None:
        arguments = self._items()
        self._global(module, name)
        self._call(self._stack.pop(), tuple(arguments))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif isinstance(target, Buildable):
            self._count_copies(state)
            target.build(state)

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise Unreadable("its pickle refers to data outside it")
        self._stack.append(self._persistent(self._stack.pop()))

    def _set_items_from_mark(self) -> None:
        items = self._items()
        self._set_items(items)

    def _dict_from_mark(self) -> None:
        items = self._items()
        self._stack.append({})
        self._set_items(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _append_from_mark(self) -> None:
        items = self._items()
        self._append(items)

    def _append_one(self) -> None:
        item = self._stack.pop()
        self._append([item])

    def _stop(self) -> None:
        if len(self._stack) != 1:
            raise Unreadable("its pickle is damaged: it does not end with one object")


_HANDLERS: Mapping[str, Callable[[_Machine], Any]] = {
    "MARK": _Machine._mark,
    "POP": _Machine._pop,
    "POP_MARK": _Machine._items,
    "STOP": _Machine._stop,
    "DUP": lambda machine: machine._stack.append(machine._stack[-1]),
    "MEMOIZE": lambda machine: machine._memo.update({len(machine._memo): machine._stack[-1]}),
    "TUPLE": lambda machine: machine._stack.append(tuple(machine._items())),
    "LIST": lambda machine: machine._stack.append(machine._items()),
    "DICT": _Machine._dict_from_mark,
    "FROZENSET": lambda machine: machine._stack.append(machine._items()),
    "APPEND": _Machine._append_one,
    "APPENDS": _Machine._append_from_mark,
    "ADDITEMS": _Machine._append_from_mark,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items_from_mark,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _Machine._reduce,
    "NEWOBJ_EX": _Machine._reduce_with_keywords,
    "OBJ": _Machine._instance,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent_id,
}
