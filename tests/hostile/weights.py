"""Mutated weights files: nothing in them runs, writes, or takes memory without bound."""

from __future__ import annotations

import codecs
import logging
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from bounded import little_memory
from hostile.harness import Attack, Suite, message_fault
from hostile.weight_files import (
    MODEL,
    Mutate,
    ckpt_files,
    legacy_files,
    safetensors_files,
    zip_files,
)
from isotune.catalogue.entries import catalogue
from isotune.errors import IsotuneError
from isotune.experiment.convert import convert
from isotune.weights.formats.read import read_weights
from isotune.weights.formats.write import write_weights
from isotune.weights.load import load_backbone, without_head

LENET = catalogue()["lenet"]
SHAPES = without_head(LENET) or {}

FORBIDDEN = frozenset(
    {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.remove", "os.rmdir", "os.symlink",
     "subprocess.Popen", "pty.spawn", "socket.connect", "pickle.find_class", "exec", "compile",
     "ctypes.dlopen", "shutil.rmtree", "webbrowser.open"}
)  # fmt: skip
"""Audit events of what an attack would do, and of what Isotune does not do while it reads."""


class Watch:
    """Notices, by Python's audit events, that something runs or is written."""

    def __init__(self) -> None:
        self._allowed: Path | None = None
        self._seen: list[str] = []
        sys.addaudithook(self._hook)

    @contextmanager
    def only_writes_under(self, folder: Path) -> Iterator[None]:
        self._allowed, self._seen = folder, []
        try:
            yield
        finally:
            self._allowed = None
        assert not self._seen, self._seen

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._allowed is None:
            return
        if event == "open":
            path, mode, _ = arguments
            if isinstance(mode, str) and set(mode) & set("wxa+"):
                self._note(event, path)
        elif event in FORBIDDEN and not self._is_own(arguments):
            self._note(event, arguments)

    def _note(self, event: str, subject: object) -> None:
        if not str(subject).startswith(str(self._allowed)):
            self._seen.append(f"{event}: {subject!r}"[:300])

    def _is_own(self, arguments: tuple[Any, ...]) -> bool:
        return bool(arguments) and str(arguments[0]).startswith(str(self._allowed))


class Messages(logging.Handler):
    """Keeps what is logged, which reaches the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@cache
def watch_and_messages() -> tuple[Watch, Messages]:
    """Returns those of this process: an audit hook stays for ever."""
    messages = Messages()
    logging.getLogger("isotune.weights").addHandler(messages)
    return Watch(), messages


def prepare(mutate: Callable[[], Mutate], folder: Path) -> Attack:
    (watch, messages), draw = watch_and_messages(), mutate()
    # Imports what is imported late.
    for encoding in ("raw_unicode_escape", "unicode_escape", "latin1"):
        codecs.lookup(encoding)
    write_weights(folder / "a.pth", MODEL)
    convert(folder / "a.pth", folder / "b.safetensors")
    convert(folder / "b.safetensors", folder / "b.ckpt")

    def attack(rng: random.Random, folder: Path) -> None:
        path, canary, out = folder / "a.bin", folder / "canary", folder / "out"
        out.mkdir()
        path.write_bytes(draw(rng, canary))
        data = path.read_bytes()
        prefix = rng.choice((None,) * 12 + ("model", "state_dict.", "\x1b[2J", "."))
        name = rng.choice((None, "lenet"))
        target = out / rng.choice(("b.pth", "b.ckpt", "b.safetensors"))
        with watch.only_writes_under(out):
            refused = [
                refusal(lambda: read(path)),
                refusal(lambda: load_backbone(path, LENET, SHAPES, prefix)),
                refusal(lambda: convert(path, target, backbone=name, prefix=prefix)),
            ]
        assert {each.name for each in folder.iterdir()} == {path.name, out.name}
        assert path.read_bytes() == data
        assert target.exists() == (refused[2] is None)
        texts = [*messages.texts, *(str(error) for error in refused if error)]
        messages.texts.clear()
        faults = [fault for each in texts if (fault := message_fault(each))]
        assert not faults, faults
        if error := next(filter(None, refused), None):
            raise error

    return attack


def refusal(function: Callable[[], object]) -> IsotuneError | None:
    try:
        function()
    except IsotuneError as error:
        return error
    return None


def read(path: Path) -> None:
    with little_memory():
        found = read_weights(path)
    assert found
    for value in found.values():
        assert isinstance(value, np.ndarray)
        assert value.flags.c_contiguous
        assert value.dtype.kind in "fiub"
        assert value.dtype.isnative


SUITES = (
    Suite("weights-pth", 5_000, partial(prepare, zip_files)),
    Suite("weights-pth-legacy", 5_000, partial(prepare, legacy_files)),
    Suite("weights-safetensors", 5_000, partial(prepare, safetensors_files)),
    Suite("weights-ckpt", 5_000, partial(prepare, ckpt_files)),
)
