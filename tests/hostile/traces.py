"""Traces and certificates that a stranger made: read and compared, or one sentence."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bounded import little_memory
from hostile.harness import Attack, Suite
from hostile.run_mutations import TEXTS, swap
from hostile.weight_files import lie_about_entry, mutated
from hostile.weights import watch_and_messages
from isotune.equivalence.certificates.certificate import Certificate
from isotune.equivalence.certificates.figure import certificate_figure
from isotune.equivalence.certificates.file import certificate_json, read_certificate
from isotune.equivalence.certificates.report import (
    certificate_markdown,
    certificate_text,
    place_text,
)
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.traces.file import DIGEST, DOCUMENT, read_trace, write_trace
from isotune.printable import printable
from isotune.reports.drawing import styled
from made_certificates import different
from made_traces import array, full_step, full_trace, values

DRAWN = 0.05
"""Share of certificates that are drawn: that takes a while."""

DTYPES = {"F32": "<f4", "I32": "<i4"}


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns the document and the arrays of a trace's file."""
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    document = json.loads(header.pop("__metadata__")[DOCUMENT])
    arrays = {}
    for name, entry in header.items():
        start, end = (begin + offset for offset in entry["data_offsets"])
        found = np.frombuffer(data[start:end], DTYPES[entry["dtype"]])
        arrays[name] = found.reshape(entry["shape"])
    return document, arrays


def joined(
    rng: random.Random, document: Any, arrays: dict[str, np.ndarray], lie: bool = False
) -> bytes:
    """Returns the file of a document and arrays, with the right hashes."""
    kept = sorted(name for name in arrays if not name.startswith("whole/"))
    if isinstance(document, dict) and "sha256" in document:
        body = b"".join(arrays[name].tobytes() for name in kept)
        document["sha256"] = hashlib.sha256(body).hexdigest()
    text = json.dumps(document)
    metadata = {DOCUMENT: text, DIGEST: hashlib.sha256(text.encode()).hexdigest()}
    header: dict[str, Any] = {}
    end = 0
    for name, each in arrays.items():
        code = {"f": "F32", "i": "I32"}[each.dtype.kind] if each.itemsize == 4 else "F64"
        start, end = end, end + each.nbytes
        header[name] = {"dtype": code, "shape": list(each.shape), "data_offsets": [start, end]}
    if lie:
        lie_about_entry(rng, header)
    written = json.dumps({"__metadata__": metadata, **header}).encode()
    data = b"".join(each.tobytes() for each in arrays.values())
    return len(written).to_bytes(8, "little") + written + data


def forge_array(rng: random.Random, arrays: dict[str, np.ndarray]) -> None:
    """Removes an array, or gives it another name, type, shape or other values."""
    name = rng.choice(list(arrays))
    value = arrays.pop(name)
    odd = rng.choice((np.nan, np.inf, -np.inf, 3e38, 0.0, 1e-45))
    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: arrays.update({rng.choice(list(arrays)): value}),
        lambda: arrays.update({"\x1b[2J": value}),
        lambda: arrays.update({name: value[..., None]}),
        lambda: arrays.update({name: value.reshape(-1)[:-1]}),
        lambda: arrays.update({name: value[:0]}),
        lambda: arrays.update({name: value.astype(np.int32, casting="unsafe")}),
        lambda: arrays.update({name: value.astype(np.float64)}),
        lambda: arrays.update({name: np.full(value.shape, odd, np.float32)}),
        lambda: arrays.update({name: np.where(value > 0, odd, value).astype(np.float32)}),
    )
    with np.errstate(invalid="ignore"):
        rng.choice(changes)()


NUMBERS = (0, 1, 2, 0.5, 3e38, 5e-324, 1e308, "NaN", "Infinity", "-Infinity", 1 << 52)
WORDS = (
    "",
    "x",
    "a" * 900,
    "1 ulp",
    "itself",
    "conv",
    "fc",
    "=1+1",
    "<b>|`*",
    "\u0639",
    "layer9.conv:1",
)


def forge_leaf(rng: random.Random, plain: Any) -> None:
    """Replaces a number by another number, or a text by another text."""
    while isinstance(plain, (dict, list)) and plain:
        key = rng.choice(list(plain)) if isinstance(plain, dict) else rng.randrange(len(plain))
        inner = plain[key]
        if type(inner) in (int, float):
            plain[key] = rng.choice(NUMBERS)
        elif isinstance(inner, bool):
            plain[key] = not inner
        elif isinstance(inner, str):
            plain[key] = inner[::-1] if len(inner) == 64 else rng.choice(WORDS)
        plain = inner


def draw(rng: random.Random, plain: bytes, document: Any, arrays: dict[str, np.ndarray]) -> bytes:
    if rng.random() < 0.2:
        return mutated(rng, plain, 8 + int.from_bytes(plain[:8], "little"))
    document, arrays = copy.deepcopy(document), dict(arrays)
    if rng.random() < 0.4:
        for _ in range(rng.choice((1, 1, 3))):
            forge_leaf(rng, rng.choice((document, document["steps"])))
        for _ in range(rng.choice((0, 1, 5))):
            name = rng.choice(list(arrays))
            odd = rng.choice((np.nan, np.inf, -np.inf, 3e38, 0.0, 1e-45))
            with np.errstate(invalid="ignore"):
                arrays[name] = np.where(arrays[name] > 0, odd, arrays[name]).astype(
                    arrays[name].dtype
                )
        return joined(rng, document, arrays)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.7:
            inner = rng.choice((document, document["steps"][0], document["side"]))
            swap(rng, rng.choice((inner, document.get("layers"), document.get("drift"))))
        else:
            forge_array(rng, arrays)
        if not isinstance(document.get("steps"), list) or not document["steps"]:
            break
        if not isinstance(document["steps"][0], dict) or "side" not in document:
            break
    return joined(rng, document, arrays, lie=rng.random() < 0.15)


def place(rng: random.Random, path: Path, data: bytes) -> None:
    """Writes the file, or puts something else in its place."""
    match rng.randrange(30):
        case 0:
            path.mkdir()
        case 1:
            os.mkfifo(path)
        case 2:
            (path.parent / "other").write_bytes(data)
            path.symlink_to("other")
        case 3:
            path.symlink_to(rng.choice(("/dev/zero", path.name, "nowhere")))
        case 4:
            path.write_bytes(rng.choice(TEXTS))
        case 5:
            path.write_bytes(data)
            os.truncate(path, 1 << 40)
        case _:
            path.write_bytes(data)


def show(certificate: Certificate, folder: Path) -> None:
    """Shows a certificate in every way."""
    page = certificate_markdown(certificate)
    assert all(printable(line) == line for line in page.split("\n")), page
    texts = [certificate_text(certificate)]
    texts += [place_text(place) for place in (certificate.place,) if place is not None]
    assert all(printable(line) == line for text in texts for line in text.split("\n")), texts
    (folder / "again.json").write_text(certificate_json(certificate))
    read_certificate(folder / "again.json")


def draw_figure(certificate: Certificate) -> None:
    """Lays a figure out as for writing it."""
    with styled():
        certificate_figure(certificate).draw_without_rendering()


def traces(folder: Path) -> Attack:
    watch, _ = watch_and_messages()
    whole = {"forward/conv": array("x", (2, 3)), "inputs/bn/0": array("x", (2, 3))}
    runs = {"output/bn": values()["forward/bn"]}
    step = full_step(whole=whole, runs=runs, run_yardsticks={"output/bn": 1e-8})
    write_trace(folder / "a.trace", full_trace(steps=(step, full_step(1))))
    honest = read_trace(folder / "a.trace")
    plain = (folder / "a.trace").read_bytes()
    document, arrays = parts(plain)
    show(compare(honest, honest), folder)  # imports what is imported late
    draw_figure(compare(honest, honest))  # the first figure takes seconds, for fonts

    def attack(rng: random.Random, case: Path) -> None:
        path, out = case / "a.trace", case / "out"
        out.mkdir()
        place(rng, path, draw(rng, plain, document, arrays))
        with watch.only_writes_under(out):
            with little_memory():
                found = read_trace(path)
            pairs = ((honest, found), (found, honest), (found, found))
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # one would reach the terminal
                made = [compare(one, other) for one, other in pairs]
            for certificate in made:
                show(certificate, out)
            for traced in found.steps:
                for whole in traced.whole.values():
                    assert len(whole.tobytes()) == 4 * whole.size
            write_trace(out / "again.trace", found)
        if rng.random() < DRAWN:
            draw_figure(made[0])

    return attack


def certificates(folder: Path) -> Attack:
    plain = certificate_json(different())
    (folder / "a.json").write_text(plain)
    show(read_certificate(folder / "a.json"), folder)
    draw_figure(different())

    def attack(rng: random.Random, case: Path) -> None:
        document = json.loads(plain)
        forge = rng.choice((swap, forge_leaf))
        for _ in range(rng.choice((1, 1, 2, 4))):
            forge(rng, document)
        data = json.dumps(document).encode()
        if rng.random() < 0.2:
            data = mutated(rng, data, len(data))
        place(rng, case / "a.json", data)
        found = read_certificate(case / "a.json")
        show(found, case)
        if rng.random() < DRAWN:
            draw_figure(found)

    return attack


SUITES = (Suite("traces", 2_000, traces), Suite("certificates", 2_000, certificates))
