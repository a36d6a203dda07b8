"""Standard streams that any call survives: closed ones, full ones, and narrow encodings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from isotune.errors import IsotuneError, RunError


class OutputError(IsotuneError):
    """Standard output cannot be written."""


def prepare_streams() -> None:
    """Opens streams that are closed, and has them escape what their encoding lacks.

    Python has no stream where the caller closed it (``>&-``), and the next file that is opened
    would get its descriptor, and with it whatever native code prints.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            _open_null(descriptor)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = _Output(
            sys.stdout.detach(),
            sys.stdout.encoding,
            errors="backslashreplace",
            line_buffering=sys.stdout.line_buffering,
        )


def write_to(output: int, errors: int) -> None:
    """Lets Python write standard output and standard error to these descriptors.

    What native code prints still goes where it did.
    """
    sys.stdout.flush()
    encoding, escaped = sys.stdout.encoding, "backslashreplace"
    terminal = os.isatty(output)
    if terminal and (width := os.get_terminal_size(output).columns):
        os.environ.setdefault("COLUMNS", str(width))
    out, err = open(output, "wb"), open(errors, "wb")  # noqa: SIM115
    sys.stdout = _Output(out, encoding, escaped, line_buffering=terminal)
    sys.stderr = TextIOWrapper(err, encoding, escaped, line_buffering=True)


def discard_output() -> None:
    """Discards what Python still writes to standard output when it exits."""
    if isinstance(sys.stdout, _Output):
        _open_null(sys.stdout.fileno())


class _Output(TextIOWrapper):
    """Standard output whose errors can be told from those of other files."""

    def write(self, text: str) -> int:
        with self._errors():
            return super().write(text)

    def flush(self) -> None:
        with self._errors():
            super().flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            discard_output()
            raise OutputError(f"standard output cannot be written: {error.strerror}.") from error


def _open_null(descriptor: int) -> None:
    """Opens the null device as this descriptor."""
    handle = os.open(os.devnull, os.O_RDWR)
    if handle != descriptor:
        os.dup2(handle, descriptor)
        os.close(handle)


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """Yields a text file in UTF-8 that appears only when it is complete.

    Raises:
        RunError: It cannot be written.
    """
    from isotune.storage.atomic import atomic_file

    try:
        if path.is_dir():
            raise RunError(f"{path}: is a folder; name a file.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            stream = TextIOWrapper(file, encoding="utf-8")
            yield stream
            stream.detach()
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}.") from error
