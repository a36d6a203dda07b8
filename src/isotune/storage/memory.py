"""Memory of the process: what the C library keeps, garbage collection, and a lack of it."""

from __future__ import annotations

import ctypes
import errno
import functools
import gc
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` (``malloc.h`` of the GNU C library)."""

MMAP_THRESHOLD = 1 << 30
TRIM_THRESHOLD = (1 << 31) - 1
ENVIRONMENT_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


FRAMEWORK_BYTES = 4 << 30
"""Address space that PyTorch 2.15 and MindSpore 2.10 need to load, with room for a small model.
With about 3 and 1 GB they sometimes abort; with less they raise exceptions."""

MAX_CAUSES = 8

log = logging.getLogger(__name__)

SHORTAGE = re.compile(
    r"failed to map segment|(cannot|can't|could not) allocate|not enough memory|out of memory"
    r"|bad_alloc",
    re.IGNORECASE,
)
"""How the dynamic linker, C++ and the frameworks say that memory is short."""

NOT_MEMORY = re.compile(r"not permitted|permission denied", re.IGNORECASE)
"""What the linker adds if the library is on a disk that must not hold programs."""


def describe_shortage(error: BaseException) -> str | None:
    """Returns that memory is short, with the limit of the process, if that is what `error` means.

    Returns:
        The part of a sentence without a period, or None for any other error.
    """
    causes: list[BaseException] = [error]
    while len(causes) < MAX_CAUSES and (cause := causes[-1].__cause__ or causes[-1].__context__):
        causes.append(cause)  # NumPy wraps the linker's message in one of its own
    short = [cause for cause in causes if _is_short(cause)]
    if not short:
        return None
    text = _one_line(short[-1])
    limit = address_space_limit()
    known = "" if limit is None else f"; this process may use {limit >> 20} MiB (`ulimit -v`)"
    return f"there is not enough memory{f' ({text})' if text else ''}{known}"


def _is_short(error: BaseException) -> bool:
    text = _one_line(error)
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (SHORTAGE.search(text) is not None and NOT_MEMORY.search(text) is None)
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


def address_space_limit() -> int | None:
    """Returns how many bytes the process may map, or None without such a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


@functools.cache
def warn_of_limit() -> None:
    """Warns, once, if the process may map less than a framework needs to load."""
    limit = address_space_limit()
    if limit is not None and limit < FRAMEWORK_BYTES:
        log.warning(
            "this process may use %d MiB (`ulimit -v`); a framework may need more to load, and"
            " may end the process without a message.",
            limit >> 20,
        )


def keep_freed_memory() -> bool:
    """Raises two thresholds of the GNU C library's ``malloc``; does nothing with other libraries.

    By default memory is reused for tensors below 32 MiB at most; every larger tensor is a new
    mapping, whose pages the system fills with zeros one by one. With a threshold of 1 GiB for
    mappings and of 2 GiB for memory that is kept, a training step of MobileNetV2 at 224 pixels on
    2 cores of an x86 CPU (torch 2.15, fp32) took 0.58 of the time with 32 images and 0.9 with 4,
    inference 0.48 and 0.73, with 1.09 of the peak memory. With MindSpore 2.10 a training step of
    ResNet-50 took 0.96 to 0.99 of the time.

    Returns:
        Whether the thresholds were raised. They are not if the environment sets them already.
    """
    if sys.platform != "linux" or any(name in os.environ for name in ENVIRONMENT_VARIABLES):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    raised = mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD) and mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    return bool(raised)


_own_process = False


def own_process() -> None:
    """Lets garbage collection pass over what the first :func:`collection_paused` has imported.

    For a process that is Isotune's alone: what a caller held by then would not be collected either.
    Otherwise later collections, and that at the end, go through all objects of a framework again.
    """
    global _own_process
    _own_process = True


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses garbage collection during an import, which creates no garbage.

    Collection takes a seventh of the import time of torch, and a sixth of that of mindspore.
    """
    global _own_process
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _own_process:  # once: later there are models among the objects
            _own_process = False
            gc.freeze()
        if was_enabled:
            gc.enable()
