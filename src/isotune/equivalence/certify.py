"""Certifies that two sides train alike: both here, one here, or neither."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from isotune.distributed.joined import Joined, joined
from isotune.equivalence.certificates.certificate import Certificate
from isotune.equivalence.certificates.figure import certificate_figure
from isotune.equivalence.certificates.file import certificate_json
from isotune.equivalence.certificates.report import certificate_markdown
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.local.companions import CompareLocally, RecordWhole
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import NO_COMPANION, Companion, Recording
from isotune.equivalence.sides import ChosenSide, parse_side
from isotune.equivalence.traces.file import check_target, read_trace, write_trace
from isotune.equivalence.traces.trace import Trace
from isotune.errors import IsotuneError, RunError, SpecError
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.reports.drawing import check_matplotlib, write_figure
from isotune.spec.load import SpecSource, load_spec
from isotune.storage.atomic import write_atomically

log = logging.getLogger(__name__)

DEFAULT = Recording()
"""One traced step, and a short drift."""


def _silent(message: str) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Certifier:
    """Records sides of one experiment, and compares them.

    Attributes:
        spec: The experiment, as for :func:`isotune.run`.
        overrides: Overrides of its fields, for all sides.
        recording: What is recorded of a side.
        plugins: Where backends are found.
        tell: Is told what is done next, which takes a while.
    """

    spec: SpecSource
    overrides: Sequence[str] = ()
    recording: Recording = DEFAULT
    plugins: Plugins = default_plugins
    tell: Callable[[str], None] = _silent

    def here(self, one: ChosenSide, other: ChosenSide) -> Certificate:
        """Compares two sides that are both on this machine, layer by layer on the same inputs.

        Raises:
            IsotuneError: One of its kinds, with a sentence that says what to change.
        """
        with closing(RecordWhole()) as whole:
            return self._compared(self._record(one, whole), other)

    def against(self, path: Path, side: ChosenSide) -> Certificate:
        """Compares a side that is here with a recorded trace; arguments as of :meth:`here`."""
        return self._compared(read_trace(path), side)

    def to_file(self, side: ChosenSide, path: Path, *, whole: bool = False) -> None:
        """Records a side to a file.

        Where a launcher has started several processes, all of them compute, and process 0 writes.

        Args:
            side: The side.
            path: The file.
            whole: Whether to keep whole arrays, too.

        Raises:
            IsotuneError: One of its kinds, with a sentence that says what to change.
        """
        check_target(path)
        with ExitStack() as stack:
            companion = NO_COMPANION
            if whole:
                companion = stack.enter_context(closing(RecordWhole()))
            others = stack.enter_context(joined(side.backend, side.device, self.plugins))
            trace = self._record(side, companion, others)
            with others.group.reporting():
                if others.group.place.leads:
                    write_trace(path, trace)
                    self.tell(f"{path}: {path.stat().st_size / 1e6:.1f} MB.")

    def _compared(self, one: Trace, side: ChosenSide) -> Certificate:
        companion = CompareLocally(one)
        other = self._record(side, companion)
        return compare(one, other, companion.found)

    def _record(
        self, side: ChosenSide, companion: Companion, others: Joined | None = None
    ) -> Trace:
        self.tell(f"recording {side} ...")
        spec = load_spec(self.spec, (*self.overrides, *side.overrides))
        where = side.backend, side.device, self.plugins
        return record(spec, *where, self.recording, others, companion)


def certify(
    spec: SpecSource,
    on: tuple[str, str],
    *,
    overrides: Sequence[str] = (),
    steps: int = DEFAULT.steps,
    drift: int = DEFAULT.drift,
    predictions: int = DEFAULT.predictions,
    plugins: Plugins = default_plugins,
) -> Certificate:
    """Certifies that two sides of this machine train alike, or finds where they part.

    Args:
        spec: The experiment, as for :func:`isotune.run`.
        on: Both sides, each ``BACKEND:DEVICE[,precision=bf16][,compile=true]``.
        overrides: Overrides of the spec, for both sides.
        steps: Number of training steps of which everything is traced.
        drift: Number of training steps in which losses and parameters are followed.
        predictions: Number of validation images that are predicted after them.
        plugins: Where backends are found.

    Returns:
        The certificate: ``print`` shows it in short, a notebook as a page.

    Raises:
        IsotuneError: One of its kinds, with a sentence that says what to change.
    """
    if isinstance(on, str) or len(on) != 2:
        raise SpecError(f"on: is {on!r}, but should be two sides, ('BACKEND:DEVICE', ...).")
    one, other = map(parse_side, on)
    recording = Recording(steps, drift, predictions)
    return Certifier(spec, overrides, recording, plugins).here(one, other)


def certify_traces(one: Path, other: Path) -> Certificate:
    """Compares two recorded traces, without any framework.

    Raises:
        RunError: One of them is damaged, or no trace.
    """
    return compare(read_trace(one), read_trace(other))


def write_certificate(folder: Path, certificate: Certificate) -> None:
    """Writes ``certificate.json``, ``certificate.md`` and ``certificate.png`` into a folder.

    Where matplotlib is not installed, there is no figure, and a line of the log says so.

    Raises:
        RunError: They cannot be written.
    """
    page, data, figure = (folder / f"certificate{end}" for end in (".md", ".json", ".png"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(data, certificate_json(certificate))
        drawn = _draw(certificate, figure)
        write_atomically(page, certificate_markdown(certificate, figure.name if drawn else None))
    except OSError as error:
        raise RunError(f"{folder}: {error.strerror or error}") from error


def _draw(certificate: Certificate, path: Path) -> bool:
    """Writes the figure; returns False where matplotlib is not installed."""
    try:
        check_matplotlib()
    except IsotuneError as error:
        log.warning("%s: is not drawn: %s", path, error)
        return False
    write_figure(certificate_figure(certificate), path)
    return True
