"""Assembles pickles, and draws hostile ones; each function returns instructions for one object."""

from __future__ import annotations

import pickletools
import random
import struct
from itertools import pairwise


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(digits)]) + digits


def group(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def name(path: str) -> bytes:
    module, _, attribute = path.rpartition(".")
    return f"c{module}\n{attribute}\n".encode("utf-8", "surrogatepass")


def call(path: str, *arguments: bytes) -> bytes:
    return name(path) + group(*arguments) + b"R"


def storage(elements: int, key: str = "0", dtype: str = "FloatStorage") -> bytes:
    return group(text("storage"), name(f"torch.{dtype}"), text(key), text("cpu"), number(elements))


def tensor(
    elements: int, offset: int, shape: list[int], strides: list[int], key: str = "0"
) -> bytes:
    sizes = group(*map(number, shape)), group(*map(number, strides))
    return call(
        "torch._utils._rebuild_tensor_v2",
        storage(elements, key) + b"Q",
        number(offset),
        *sizes,
        b"\x89",
        b"N",
    )


def state(*tensors: bytes) -> bytes:
    """Returns a whole pickle: a dict of `tensors` named a, b, ..."""
    items = [text(chr(ord("a") + i)) + value for i, value in enumerate(tensors)]
    return b"\x80\x02}(" + b"".join(items) + b"u."


FUNCTIONS = (
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state", "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_qtensor", "torch._utils._rebuild_sparse_tensor", "torch.Size",
    "torch.FloatStorage", "torch.BFloat16Storage", "torch.ComplexFloatStorage", "torch.float32",
    "torch.device", "collections.OrderedDict", "collections.defaultdict", "_codecs.encode",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "numpy.ndarray",
    "numpy.dtype", "numpy._core.numeric._frombuffer", "__builtin__.bytes", "builtins.getattr",
    "copyreg._reconstructor", "pathlib.PosixPath", "omegaconf.dictconfig.DictConfig",
    "functools.partial", "operator.attrgetter", "pickle.loads", "torch.load", "torch.hub.load",
    "torch.nn.modules.linear.Linear", "__main__.Net", "a.b.c.d.e", "a.__reduce__", ".x", "x.", ".",
    "\x1b[2J.\x07", "\u202e.\ud800", "é.蚂", "a b.c d", "n" * 3000 + ".m",
)  # fmt: skip

ATTACKS = ("os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval",
           "builtins.exec", "builtins.__import__", "runpy.run_path", "shutil.rmtree",
           "builtins.open", "webbrowser.open", "os.path.os.system")  # fmt: skip

NUMBERS = (0, 1, 2, 6, 8, 255, -1, 1 << 31, (1 << 31) - 1, 1 << 40, 1 << 59, (1 << 62) - 1, 1 << 63,
           1 << 64, -(1 << 63), 1 << 1000)  # fmt: skip

TEXTS = (
    "", "0", "1", "../../0", "cpu", "storage", "latin1", "f4", "O", "a" * 200, "\x00", "\x1b]0;",
    "state_dict", "model", "conv1.weight", "__setstate__", "_modules", "_parameters", "\ud83d",
    "." * 50, "ema.conv1.weight", "fc3.bias", "weight",
)  # fmt: skip


class HostilePickles:
    """Draws instructions.

    Args:
        rng: random numbers.
        canary: path of a file that attacks try to write.
    """

    def __init__(self, rng: random.Random, canary: str) -> None:
        self._rng = rng
        self._canary = canary

    def value(self, depth: int = 0) -> bytes:
        """Returns instructions that push one object, mostly valid ones."""
        kinds = (
            *(self._text, self._number, self._constant, self._name),
            *(self._collection, self._call, self._build, self._memo) * (2 if depth < 4 else 0),
            *(self._lie, self._attack, self._odd) * self._rng.randrange(2),
        )
        return self._rng.choice(kinds)(depth)

    def mutated(self, pickled: bytes) -> bytes:
        """Returns a pickle with some instructions replaced, repeated, lost or inserted."""
        ends = [position or 0 for _, _, position in pickletools.genops(pickled)] + [len(pickled)]
        parts = [pickled[start:end] for start, end in pairwise(ends)]
        for _ in range(self._rng.choice((1, 1, 1, 2, 5))):
            place = self._rng.randrange(1, len(parts))
            match self._rng.randrange(10):
                case 0:
                    parts[place] = self.value()
                case 1:
                    parts[place] = parts[self._rng.randrange(len(parts))]
                case 2:
                    del parts[place]
                case 3:
                    parts.insert(place, self._rng.choice(parts))
                case 4 | 5:
                    parts.insert(place, self.value() + b"0")
                case _ if b"(" in parts:
                    # Beside the weights: after the mark of the outermost dict.
                    parts.insert(parts.index(b"(") + 1, self._text(0) + self.value())
        return b"".join(parts)

    def _text(self, _: int) -> bytes:
        return text(self._rng.choice(TEXTS))

    def _number(self, _: int) -> bytes:
        value = self._rng.choice(NUMBERS)
        return self._rng.choice((number(value), b"L" + str(value).encode() + b"L\n"))

    def _constant(self, _: int) -> bytes:
        return self._rng.choice(
            (b"N", b"\x88", b"\x89", b")", b"}", b"]", b"\x8f", b"G" + bytes(8))
        )

    def _name(self, _: int) -> bytes:
        path = self._rng.choice(FUNCTIONS)
        module, _dot, attribute = path.rpartition(".")
        return self._rng.choice((name(path), text(module) + text(attribute) + b"\x93"))

    def _lie(self, _: int) -> bytes:
        draw, pick = self._rng.randrange(4), lambda: self._rng.choice(NUMBERS[:-1])
        sides = [pick() for _ in range(self._rng.randrange(4))]
        steps = [pick() for _ in sides]
        if draw < 2:
            return tensor(pick(), pick(), sides, steps, self._rng.choice(TEXTS[:4]))
        dtype = call("numpy.dtype", text(self._rng.choice(("f4", "O", "V8", ">f4", "b1"))), b"\x89")
        shape = group(*map(number, sides))
        if draw == 2:
            return call("numpy._core.numeric._frombuffer", b"C\x08" + bytes(8), dtype, shape)
        made = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), b")", b"N")
        return made + group(number(1), shape, dtype, b"\x89", b"C\x08" + bytes(8)) + b"b"

    def _collection(self, depth: int) -> bytes:
        items = [self.value(depth + 1) for _ in range(self._rng.randrange(4))]
        match self._rng.randrange(6):
            case 0:
                return group(*items)
            case 1:
                return b"](" + b"".join(items) + b"e"
            case 2:
                return b"\x8f(" + b"".join(items) + b"\x90"
            case 3:
                return b"(" + b"".join(items) + b"\x91"
            case 4:
                return b")" + b"\x85" * self._rng.choice((1, 50, 30_000))
            case _:
                return b"}(" + b"".join(self.value(depth + 1) + item for item in items) + b"u"

    def _call(self, depth: int) -> bytes:
        items = [self.value(depth + 1) for _ in range(self._rng.randrange(5))]
        function = self._name(depth)
        match self._rng.randrange(5):
            case 0:
                return function + group(*items) + b"\x81"
            case 1:
                return function + group(*items) + self._collection(4) + b"\x92"
            case 2:
                return b"(" + function + b"".join(items) + b"o"
            case 3:
                return (
                    b"(" + b"".join(items) + b"i" + function[1:] if function[:1] == b"c" else b"N"
                )
            case _:
                return function + group(*items) + b"R"

    def _attack(self, _: int) -> bytes:
        """Returns what runs a shell command, or opens a file, in Python's unpickler."""
        path = self._rng.choice(ATTACKS)
        harm = f"touch {self._canary}"
        if path.endswith(("eval", "exec")):
            harm = f"open({self._canary!r}, 'w')"
        if path.endswith("open"):
            harm = self._canary
        module, _dot, attribute = path.rpartition(".")
        function = self._rng.choice((name(path), text(module) + text(attribute) + b"\x93"))
        match self._rng.randrange(4):
            case 0:
                return b"(" + text(harm) + f"i{module}\n{attribute}\n".encode()
            case 1:
                return b"(" + function + text(harm) + b"o"
            case 2:
                inner = call("builtins.getattr", name("a.b"), text("__globals__"))
                return name("builtins.getattr") + group(inner, text(attribute)) + b"R" + b")R"
            case _:
                return function + group(text(harm)) + self._rng.choice((b"R", b"\x81"))

    def _build(self, depth: int) -> bytes:
        state = self._collection(depth)
        modules = text("_modules") + b"}" + text("_parameters") + b"}" + text("_buffers") + b"}"
        return self._call(depth) + self._rng.choice((state, b"}(" + modules + b"u")) + b"b"

    def _memo(self, depth: int) -> bytes:
        place = self._rng.randrange(4)
        if self._rng.random() < 0.3:  # a dict in itself
            return b"}q" + bytes([place]) + self._text(0) + b"h" + bytes([place]) + b"s"
        far = b"r" + struct.pack("<I", self._rng.choice((0, 70_000, 0xFFFFFFFF)))
        put = self._rng.choice((b"q" + bytes([place]), far, b"\x94"))
        return self.value(depth + 1) + put + self._rng.choice((b"", b"0h" + bytes([place])))

    def _odd(self, depth: int) -> bytes:
        return self._rng.choice(
            (
                b"\x82\x01",
                b"\x97",
                b"PX\n",
                self.value(depth + 1) + b"Q",
                self.value(depth + 1) + self.value(depth + 1) + b"\x93",
                self.value(depth + 1) + self.value(depth + 1) + b"R",
                self.value(depth + 1) + b"2\x86",
                b"\x8b" + struct.pack("<i", self._rng.choice((-1, 0, 1 << 30))),
                b"X" + struct.pack("<I", self._rng.choice((1 << 31, 0xFFFFFFFF, 5))) + b"abc",
                b"\x8d" + struct.pack("<Q", self._rng.choice((1 << 40, (1 << 64) - 1, 1))) + b"a",
                b"I" + b"9" * 5000 + b"\n",
                b"V\\UFFFFFFFF\n",
                b"S'\\x'\n",
            )
        )
