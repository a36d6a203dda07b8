"""Draws damaged and lying weights files of every format."""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from hostile.pickles import HostilePickles, call, group, number, storage, text
from isotune.catalogue.layouts import layout
from isotune.testing.values import state
from isotune.weights.formats.ckpt.read import TRAILER
from isotune.weights.formats.protobuf import BYTES, bytes_field, number_field, varint
from isotune.weights.formats.pth.legacy import MAGIC_NUMBER, PROTOCOL_VERSION

MODEL = state(layout("lenet") or {})

Mutate = Callable[[random.Random, Path], bytes]
"""Draws a file; the path is the one that attacks try to write."""


def mutated(rng: random.Random, data: bytes, reach: int) -> bytes:
    """Flips, cuts, repeats, inserts or splices bytes, mostly in the first or last `reach`."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        start = rng.choice((0, 0, max(0, len(changed) - reach)))
        end = min(len(changed), start + reach) if rng.random() < 0.8 else len(changed)
        place = rng.randrange(start, end) if start < end else 0
        match rng.randrange(8):
            case 0:
                del changed[place:]
            case 1:
                length = rng.choice((1, 2, 8, 100))
                del changed[place : place + length]
            case 2:
                length = rng.choice((1, 8, 200))
                changed[place:place] = changed[place : place + length]
            case 3:
                changed[place:place] = rng.randbytes(rng.choice((1, 4, 16)))
            case 4:
                other = rng.randrange(len(changed) or 1)
                changed[place : place + 16] = changed[other : other + 16]
            case _:
                if changed:
                    changed[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(changed)


def model_pickle(is_legacy: bool) -> bytes:
    """Returns the pickle of a checkpoint with the model and an epoch."""
    items = []
    for key, (name, value) in enumerate(MODEL.items()):
        identity = storage(value.size, str(key))
        if is_legacy:
            identity = identity[:-1] + b"Nt"
        steps = [step // value.itemsize for step in value.strides]
        sizes = group(*map(number, value.shape)), group(*map(number, steps))
        arguments = (identity + b"Q", number(0), *sizes, b"\x89", b"N")
        items.append(text(name) + call("torch._utils._rebuild_tensor_v2", *arguments))
    model = text("state_dict") + b"}(" + b"".join(items) + b"u"
    return b"\x80\x02}(" + model + text("epoch") + number(3) + b"u."


STORAGES = [value.tobytes() for value in MODEL.values()]


def hostile_pickle(rng: random.Random, canary: Path, original: bytes) -> bytes:
    pickles = HostilePickles(rng, str(canary))
    return b"\x80\x02" + pickles.value() + b"." if rng.random() < 0.1 else pickles.mutated(original)


def zipped(pickled: bytes, storages: list[bytes], extra: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # a name that is there twice
        archive.writestr("a/data.pkl", pickled)
        for key, content in enumerate(storages):
            archive.writestr(f"a/data/{key}", content)
        for name, content in extra.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_directory_lies(rng: random.Random, data: bytes) -> bytes:
    """Overwrites fields of a zip's local headers, central directory or end."""
    changed = bytearray(data)
    marks = (b"PK\x01\x02", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
    for _ in range(rng.choice((1, 2, 5))):
        mark = rng.choice(marks)
        places = [found.start() for found in re.finditer(re.escape(mark), data)]
        place = rng.choice(places) + rng.randrange(4, 46)
        width = rng.choice((1, 2, 4))
        lie = rng.choice((0, 1, 8, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, rng.randrange(1 << 32)))
        changed[place : place + width] = (lie % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(changed)


def zip_files() -> Mutate:
    original = model_pickle(is_legacy=False)
    plain = zipped(original, STORAGES, {"a/byteorder": b"little"})
    names = (
        "../../escaped",
        "/etc/x",
        "a/data/0",
        "a/data.pkl",
        "b/data.pkl",
        "a/\x1b[2J",
        "a" * 300,
    )

    def draw(rng: random.Random, canary: Path) -> bytes:
        draw = rng.random()
        if draw < 0.6:
            extra = {rng.choice(names): rng.randbytes(8)} if rng.random() < 0.2 else {}
            storages = STORAGES if rng.random() < 0.8 else STORAGES[: rng.randrange(10)]
            return zipped(hostile_pickle(rng, canary, original), storages, extra)
        if draw < 0.8:
            return with_directory_lies(rng, plain)
        return mutated(rng, plain, 4000)

    return draw


def legacy_files() -> Mutate:
    original = model_pickle(is_legacy=True)
    start = b"".join(pickle.dumps(part, 2) for part in (MAGIC_NUMBER, PROTOCOL_VERSION, {}))
    keys = pickle.dumps([str(key) for key in range(len(STORAGES))], 2)
    contents = [struct.pack("<q", len(each) // 4) + each for each in STORAGES]
    plain = b"".join((start, original, keys, *contents))

    def draw(rng: random.Random, canary: Path) -> bytes:
        if rng.random() < 0.3:
            return mutated(rng, plain, len(start) + len(original) + len(keys) + 100)
        parts = [start, original, keys, *contents]
        which = rng.choice((0, 1, 1, 1, 1, 2))
        if which != 2 and rng.random() < 0.9:
            parts[1] = hostile_pickle(rng, canary, original)
        else:
            parts[which] = hostile_pickle(rng, canary, pickle.dumps({"a": (1, [2])}, 2))
        if rng.random() < 0.2:
            claimed = rng.choice((0, 1 << 40, (1 << 63) - 1, -1))
            parts[3] = struct.pack("<q", claimed) + STORAGES[0]
        return b"".join(parts)

    return draw


def safetensors_files() -> Mutate:
    plain = save(MODEL)
    length = int.from_bytes(plain[:8], "little")
    header, body = json.loads(plain[8 : 8 + length]), plain[8 + length :]

    def draw(rng: random.Random, canary: Path) -> bytes:
        del canary
        if rng.random() < 0.3:
            return mutated(rng, plain, 8 + length)
        lied = json.loads(json.dumps(header))
        for _ in range(rng.choice((1, 1, 2, 4))):
            lie_about_entry(rng, lied)
        written = json.dumps(lied, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.2:
            written = mutated(rng, written, len(written))
        claimed = len(written) if rng.random() < 0.8 else rng.choice(SIZES) % (1 << 64)
        return claimed.to_bytes(8, "little") + written + body[: rng.choice((len(body), 8, 0))]

    return draw


SIZES = (0, 1, 3, 8, 450, 1 << 20, 99_999_999, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, -1, -4)
NAMES = (
    "",
    "conv1.weight",
    "\x1b[2J",
    "a" * 5000,
    "\u202e",
    "é",
    "ema.x",
    "." * 99,
    "__metadata__",
)


def lie_about_entry(rng: random.Random, header: dict[str, Any]) -> None:
    nested: Any = 1
    for _ in range(rng.choice((1, 100, 900))):
        nested = [nested]
    odd = rng.choice((None, True, 1.5, "F32", [], {}, nested, 1 << 80, rng.choice(SIZES)))
    entry = rng.choice(list(header.values()) or [{}])
    if not isinstance(entry, dict):
        entry = {}
    match rng.randrange(7):
        case 0:
            entry["dtype"] = rng.choice(("F64", "BF16", "F8_E4M3", "BOOL", "U16", "\x1b", odd))
        case 1:
            entry["shape"] = [rng.choice(SIZES) for _ in range(rng.choice((0, 1, 4, 40)))]
        case 2:
            entry["data_offsets"] = [rng.choice(SIZES), rng.choice(SIZES)]
        case 3:
            entry[rng.choice(("dtype", "shape", "data_offsets", "more"))] = odd
        case 4:
            header[rng.choice(NAMES)] = odd
        case 5:
            empty = {"dtype": "F32", "shape": [0, rng.choice(SIZES)], "data_offsets": [0, 0]}
            header[rng.choice(NAMES)] = empty
        case _:
            header.pop(rng.choice(list(header) or [""]), None)


def ckpt_files() -> Mutate:
    entries = [ckpt_entry(name, value.shape, value.tobytes()) for name, value in MODEL.items()]
    plain = b"".join(entries)

    def draw(rng: random.Random, canary: Path) -> bytes:
        del canary
        if rng.random() < 0.4:
            return mutated(rng, plain, rng.choice((60, len(plain))))
        parts = list(entries)
        for _ in range(rng.choice((1, 2, 4))):
            place = rng.randrange(len(parts) + 1)
            lie = odd_entry(rng)
            parts[place : place + rng.randrange(2)] = [lie] * rng.choice((1, 1, 1, 2, 300))
        data = b"".join(parts)
        if rng.random() < 0.2:
            crc = zlib.crc32(data) if rng.random() < 0.5 else rng.randrange(1 << 32)
            data += TRAILER + crc.to_bytes(10, "big")
        return data

    return draw


def ckpt_entry(tag: str, dims: tuple[int, ...], content: bytes, dtype: str = "Float32") -> bytes:
    tensor = b"".join(number_field(1, side % (1 << 64)) for side in dims)
    tensor += bytes_field(2, dtype.encode()) + bytes_field(3, content)
    named = bytes_field(1, tag.encode("utf-8", "surrogatepass"))
    return bytes_field(1, named + bytes_field(2, tensor))


def odd_entry(rng: random.Random) -> bytes:
    tag = rng.choice((*NAMES, "epoch_num", "moments.conv1.weight", "learning_rate"))
    dtype = rng.choice(("Float32", "Float16", "BFloat16", "Bool", "Int4", "str", "", "\x1b[2J"))
    dims = tuple(rng.choice(SIZES) for _ in range(rng.choice((0, 1, 2, 40))))
    content = bytes(rng.choice((0, 1, 4, 8, 1000)))
    if rng.random() < 0.5:
        return ckpt_entry(tag, dims, content, dtype)
    parts = [
        bytes_field(rng.randrange(5), content),
        bytes_field(1, rng.randbytes(5)),
        number_field(rng.randrange(4), rng.choice(SIZES) % (1 << 64)),
        bytes_field(2, bytes_field(1, b"\xff" * rng.choice((1, 9, 400)))),
        varint(rng.randrange(1, 5) << 3 | BYTES) + varint(rng.choice(SIZES) % (1 << 64)),
        bytes([rng.randrange(256)]),
    ]
    chosen = rng.choices(parts, k=rng.randrange(1, 5))
    return bytes_field(1, b"".join(chosen)) if rng.random() < 0.8 else b"".join(chosen)
