"""From a folder or table of images to a trained classifier."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isotune.errors import SpecError, StoppedError
from isotune.experiment.open import open_run
from isotune.experiment.result import Run
from isotune.experiment.run import run
from isotune.fitting.backbones import Candidate
from isotune.fitting.choose import choose
from isotune.fitting.look import Data, look_at
from isotune.fitting.measure import Machine
from isotune.fitting.recognize import recognize
from isotune.fitting.select import Selection, usual_backend
from isotune.fitting.text import overridden, spec_text
from isotune.interfaces.events import EpochEnded, RunEnded, RunStarted, StepEnded, StopRequest
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.spec.document import Document, read_document
from isotune.spec.load import load_spec
from isotune.spec.overrides import apply_overrides
from isotune.storage.atomic import write_atomically

SPEC = "fit.yaml"
"""File in the run folder with the commented spec."""

MINUTES = 5.0
"""Default time budget."""

Clock = Callable[[], float]


@dataclass(frozen=True, repr=False)
class Proposal:
    """A spec for some images.

    Attributes:
        text: The spec in YAML, with the reason for each field as a comment.
        data: What is known of the images.
        backbone: The backbone.
        machine: What is known of the device, with that backbone.
    """

    text: str
    data: Data
    backbone: Candidate
    machine: Machine

    @property
    def spec(self) -> dict[str, Any]:
        """The spec as plain data, as ``isotune.run`` takes it."""
        spec: dict[str, Any] = read_document(self.text, SPEC).data
        return spec

    def __repr__(self) -> str:
        return self.text


def propose_spec(
    data: str | os.PathLike[str],
    *,
    minutes: float = MINUTES,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    plugins: Plugins = default_plugins,
    clock: Clock = time.perf_counter,
) -> Proposal:
    """Writes a spec for images, by what they and the device are like; trains nothing.

    The spec is a function of the images, the weights that are there, and the measured speed of the
    device; nothing is random.

    Args:
        data: A folder of class folders, with or without splits, a table, an archive, or shards; or
            the name of one in ``$ISOTUNE_HOME/datasets``.
        minutes: Time for all of it, training included. Downloads do not count.
        backend: Name of an installed backend; None takes one that can be used, on the best device.
        device: As for ``isotune.run``.
        overrides: ``"optimizer.lr=0.01"``, as ``--set`` on the command line. What they set is not
            chosen; ``dataset`` and ``backbone`` are heeded in all other choices.
        plugins: Where backends and backbones are found.
        clock: Returns the time in seconds.

    Raises:
        IsotuneError: one of its kinds, with a sentence that says what to change.
    """
    begin, budget = clock(), _seconds(minutes)
    overrides = tuple(overrides)
    given = apply_overrides(Document({}, "spec"), overrides).data
    facts = look_at(recognize(data, _mapping(given, "dataset")), clock)
    opened = plugins.open_backend(backend or usual_backend(plugins), device)
    selection = Selection(facts, opened, plugins, clock)
    named = _mapping(given, "backbone")
    left = budget - (clock() - begin)
    candidate, machine = selection.named(named) if "name" in named else selection.best(left)
    left = budget - (clock() - begin - selection.downloading)
    lines = overridden(choose(facts, candidate, machine, max(left, 1.0)), overrides)
    opening = (
        f"By `isotune fit`, for {minutes:g} minutes with backend {machine.backend} on"
        f" {machine.device}. `isotune run THIS_FILE --backend {machine.backend}` runs it again;"
        " without these comments it means the same.",
    )
    proposal = Proposal(spec_text(opening, lines), facts, candidate, machine)
    load_spec(proposal.spec)  # what was set by hand may be wrong
    return proposal


def fit(
    data: str | os.PathLike[str],
    *,
    minutes: float = MINUTES,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
    clock: Clock = time.perf_counter,
    progress: bool = True,
) -> Run:
    """Trains a classifier of images in a given time.

    Writes a spec (:func:`propose_spec`, which also describes the other arguments) and runs it. The
    spec with its comments is in the run folder as ``fit.yaml``; running it again gives the same
    run. When the time is over, the run stops, saved and resumable.

    Args:
        data: The images.
        minutes: Time for all of it.
        backend: Name of a backend.
        device: A device.
        overrides: What is set by hand.
        output: The run folder, new or empty; by default ``runs/NAME-BACKEND-TIME``.
        observers: As for ``isotune.run``.
        plugins: Where backends, backbones and observers are found.
        clock: Returns the time in seconds.
        progress: As for :func:`isotune.run`.

    Returns:
        The run, its model that of the best epoch.

    Raises:
        StoppedError: The run was stopped before its first evaluation, or not by its time.
        IsotuneError: one of its kinds, with a sentence that says what to change.
    """
    begin = clock()
    proposal = propose_spec(
        data,
        minutes=minutes,
        backend=backend,
        device=device,
        overrides=overrides,
        plugins=plugins,
        clock=clock,
    )
    watch = _Watch(proposal.text, minutes, begin + _seconds(minutes), clock)
    name, device = proposal.machine.backend, proposal.machine.device
    try:
        return run(
            proposal.spec,
            backend=name,
            device=device,
            output=output,
            observers=[*observers, watch],
            plugins=plugins,
            progress=progress,
        )
    except StoppedError:
        if watch.folder is None or not watch.evaluated or not watch.over:
            raise
        return open_run(watch.folder, backend=name, device=device, plugins=plugins)


class _Watch:
    """Observes a run: keeps its spec, and stops it when the time is over."""

    def __init__(self, text: str, minutes: float, end: float, clock: Clock) -> None:
        self._text, self._minutes, self._end, self._clock = text, minutes, end, clock
        self.folder: Path | None = None
        self.evaluated = self.over = False

    def isotune_run_started(self, event: RunStarted) -> None:
        """Takes note of the folder."""
        self.folder = event.folder

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Asks the run to stop, if the time is over."""
        self._check(event.stop)

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Asks the run to stop, if the time is over."""
        self.evaluated = self.evaluated or event.best
        self._check(event.stop)

    def isotune_run_ended(self, event: RunEnded) -> None:
        """Writes the spec; one in a folder of a start that came to nothing would block it."""
        if event.status != "failed":
            write_atomically(event.folder / SPEC, self._text)

    def _check(self, stop: StopRequest) -> None:
        if self._clock() >= self._end and not stop.requested:
            self.over = True
            stop.request(f"the time budget of {self._minutes:g} min")


def _seconds(minutes: float) -> float:
    if not (math.isfinite(minutes) and minutes > 0):
        raise SpecError(f"minutes: is {minutes:g}, but should be a number above 0, such as 5.")
    return 60 * minutes


def _mapping(given: Any, key: str) -> dict[str, Any]:
    """Returns what is set by hand of a part of the spec."""
    value = given.get(key, {})
    if key == "backbone" and isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict):
        raise SpecError(f"--set {key}: should set a field of it, as in --set {key}.name=VALUE.")
    if key == "dataset" and "path" in value:
        raise SpecError("--set dataset.path: the images are the argument of `isotune fit`.")
    return value
