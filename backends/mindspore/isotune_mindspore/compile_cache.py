"""Keeps compiled graphs for later processes, each under a key of everything that decides it.

MindSpore (2.10) has a compile cache, but finds graphs again by the order in which a process
compiles them, after a look at the entry script's imports. So it only ever finds one graph here:
around one compilation its cache is on, in a folder of this process that holds the graph of the
right key or nothing. Its folder is the same for the life of a process, and the files in it are
numbered; a graph that is not the expected number's is not found, and compiled.

Graphs are files in ``$ISOTUNE_HOME/cache/graphs``, checked by their SHA-256 before
MindSpore sees them.
"""

from __future__ import annotations

import atexit
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore.common import seed

from isotune import __version__
from isotune.errors import BackendError
from isotune.storage.caches import ABANDONED, GRAPHS
from isotune.storage.sealed import cache_sealed, open_sealed
from isotune_mindspore.fingerprint import Description, Indescribable

log = logging.getLogger(__name__)

VARIABLE = "ISOTUNE_COMPILE_CACHE"
"""Size of all graphs in MiB; 0 keeps none."""

DEFAULT_SIZE = 512
MEBIBYTE = 1 << 20

PREFIX = "isotune-graphs-"
"""How the names of processes' folders begin."""

ENABLE, FOLDER = "MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"
"""MindSpore's own variables. If the user has set one, he uses its cache himself."""

NOT_COMPILED = frozenset({FOLDER, "MS_OM_PATH"})
PROGRESS = frozenset(
    {
        "enable_compile_cache",
        "compile_cache_path",
        "save_graphs_path",
        "cur_step_num",
        "need_ckpt",
        "save_checkpoint_steps",
        "last_triggered_step",
    }
)
"""MindSpore's settings that change no graph."""

_lock = threading.Lock()


def compile_cell(cell: nn.Cell, inputs: tuple[Tensor, ...]) -> None:
    """Compiles a cell for inputs of these shapes, or takes the graph that an earlier process did.

    In graph mode. Where the cache cannot be used, the first call compiles the cell as always.
    """
    limit = size_limit()
    with _lock:
        if not limit or not _usable() or (described := _described(cell, inputs)) is None:
            return
        description, key = described
        file = GRAPHS.folder / f"{key}.graph"
        found = open_sealed(file, key, np.uint8)
        graph = None if found is None else found.tobytes()
        compiled = _compile(cell, inputs, graph)
        with suppress(OSError):
            if compiled is None:
                os.utime(file)  # the most recently used is removed last
            elif len(compiled) <= limit and description.unchanged():
                cache_sealed(file, key, np.frombuffer(compiled, np.uint8))
                GRAPHS.make_room(file, limit)


def size_limit() -> int:
    """Returns how many bytes of graphs are kept.

    Raises:
        BackendError: The variable is not a number.
    """
    text = os.environ.get(VARIABLE, "").strip() or str(DEFAULT_SIZE)
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise BackendError(
            f"{VARIABLE} is '{text[:50]}', but should be a number of MiB such as {DEFAULT_SIZE};"
            " 0 keeps no compiled graphs."
        )
    return int(text) * MEBIBYTE


def _usable() -> bool:
    """Whether graphs of this process can be cached.

    Not where the user has turned MindSpore's cache on or off, which fixes its folder. Not in one
    of several processes, whose graphs name their groups. On an Ascend NPU, and with fused kernels,
    MindSpore keeps more than the graph.
    """
    if not {ENABLE, FOLDER, "MS_ROLE"}.isdisjoint(os.environ) or not _Workplace.numbered:
        return False
    if getattr(ms.context._context(), "enable_compile_cache", False) is not None:
        return False
    return ms.get_context("device_target") == "CPU" and not ms.get_context("enable_graph_kernel")


def _described(cell: nn.Cell, inputs: tuple[Tensor, ...]) -> tuple[Description, str] | None:
    """Returns the description of a graph, and its digest; None if it cannot be described."""
    description = Description()
    try:
        description.add(_surroundings())
        for each in inputs:
            if type(each) is not Tensor:
                raise Indescribable(f"an input of type {type(each).__qualname__}")
            description.add((each.shape, str(each.dtype)))
        description.add(cell)
        # MindSpore finds parameters again by their names, among those of the cell.
        named = {id(each) for each in cell.parameters_dict().values()}
        if not all(id(each) in named for each in description.parameters):
            raise Indescribable("a parameter that the cell does not have under a name of its own")
        return description, description.digest()
    except Exception as error:
        # Also what a user's attributes raise, and other versions of MindSpore.
        log.debug("the graph of %s is not cached: it uses %s", type(cell).__name__, error)
        return None


def _surroundings() -> tuple[Any, ...]:
    """Returns what decides graphs beside cells: versions, settings, seeds and variables."""
    context, parameters = ms.context._context(), _parameters()
    settings = {
        name: context.get_param(member)
        for name, member in parameters.__members__.items()
        if name not in PROGRESS
    }
    # What functions such as ops.dropout draw their seeds from while they are compiled.
    seeds = {name: each for name, each in vars(seed).items() if type(each) in (int, dict)}
    variables = {
        name: text
        for name, text in sorted(os.environ.items())
        if name.startswith("MS_") and name not in NOT_COMPILED
    }
    versions = (ms.__version__, __version__, np.__version__, sys.version, platform.machine())
    return "mindspore", 1, versions, settings, ms.get_seed(), seeds, variables


def _parameters() -> Any:
    from mindspore._c_expression import ms_ctx_param

    return ms_ctx_param


def _compile(cell: nn.Cell, inputs: tuple[Tensor, ...], graph: bytes | None) -> bytes | None:
    """Compiles a cell, unless `graph` is its graph.

    Returns:
        The graph that was compiled; None if `graph` was used, or nothing was compiled.
    """
    try:
        return _Workplace.open().compile(cell, inputs, graph)
    except Exception as error:
        # No folder, a graph that is none, or one that MindSpore cannot write. A cell that does not
        # compile says so when it is called.
        log.debug("the graph of %s is not cached: %s", type(cell).__name__, error)
        return None


class _Workplace:
    """The folder in which MindSpore looks for graphs and puts them, one at a time.

    Attributes:
        opened: That of this process.
        numbered: Whether MindSpore has put all graphs there.
    """

    opened: ClassVar[_Workplace | None] = None
    numbered: ClassVar[bool] = True

    def __init__(self) -> None:
        _remove_abandoned(Path(tempfile.gettempdir()))
        self._root = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._folder = self._root / "rank_0" / "graph_cache"
        self._number = 0
        atexit.register(shutil.rmtree, self._root, ignore_errors=True)

    @classmethod
    def open(cls) -> _Workplace:
        """Returns that of this process.

        Raises:
            OSError: It cannot be created.
        """
        if cls.opened is None:
            cls.opened = cls()
        return cls.opened

    def compile(
        self, cell: nn.Cell, inputs: tuple[Tensor, ...], graph: bytes | None
    ) -> bytes | None:
        """Compiles a cell with at most one graph to be found; returns another graph than it."""
        expected = self._folder / f"compile_cache_{self._number}.mindir"
        self._number += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            if graph is not None:
                expected.write_bytes(graph)
            before = _version(expected)
            with _caching(self._root):
                cell.compile(*inputs)
            return self._taken(before)
        finally:
            for file in self._folder.glob("*.mindir"):
                file.unlink(missing_ok=True)

    def _taken(self, before: tuple[int, ...] | None) -> bytes | None:
        """Returns the graph that MindSpore has put into the folder, and follows its numbers."""
        for file in self._folder.glob("*.mindir"):
            number = re.fullmatch(r"compile_cache_([0-9]{1,9})\.mindir", file.name)
            if number is None:
                continue
            expected = int(number[1]) == self._number - 1
            if not expected or _version(file) != before:
                self._number = int(number[1]) + 1
                return file.read_bytes()
        if before is None:  # MindSpore had chosen another folder, or cannot write the graph
            _Workplace.numbered = False
        return None


def _remove_abandoned(temporary: Path) -> None:
    """Removes the folders of processes that were killed; one that lives makes its folder anew."""
    for folder in temporary.glob(f"{PREFIX}????????"):
        with suppress(OSError):
            status = folder.lstat()
            if S_ISDIR(status.st_mode) and time.time() - status.st_mtime > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)


def _version(file: Path) -> tuple[int, ...] | None:
    """Returns numbers that differ once a file has been written again; None if it is missing."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def _caching(folder: Path) -> Iterator[None]:
    """Turns MindSpore's cache on, without its look at the imports of the entry script.

    MindSpore reads the variable the first time; other processes must not inherit it.
    """
    context, enabled = ms.context._context(), _parameters().enable_compile_cache
    before = context.get_param(enabled)
    context.set_param(enabled, 1)
    os.environ[FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[FOLDER]
        context.set_param(enabled, before)
