"""Runs an experiment: a spec and a backend in, a finished run out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from isotune.experiment.result import Run
from isotune.experiment.session import Fit, Setup, Start
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.runs.folder import RunFolder
from isotune.spec.load import SpecSource, load_spec


def run(
    spec: SpecSource,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
) -> Run:
    """Runs an experiment.

    Args:
        spec: the path of a YAML file, the name of a recipe, a mapping, or a spec.
        backend: ``torch``, ``mindspore`` or another that is installed; None takes the only
            one there is.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``ascend:0`` ...
        overrides: ``"optimizer.lr=0.01"``, as ``--set`` on the command line.
        output: the run folder, new or empty; by default ``runs/NAME-BACKEND-TIME``.
        observers: objects with methods of :mod:`isotune.hookspecs`, told of this run.
        plugins: where backends, backbones and observers are found.

    Returns:
        The finished run, its model restored to the best epoch's weights.

    Raises:
        IsotuneError: one of its kinds, with a sentence that says what to change.
    """
    loaded = load_spec(spec, overrides)
    setup = Setup.open(loaded, backend or plugins.only_usable(), device, plugins)
    fit = Fit.prepare(setup, setup.new_model(), Start())
    folder = RunFolder.create(setup.spec, setup.backend.name, Path(output) if output else None)
    try:
        return fit.run(folder, lambda hook, event: plugins.notify(hook, event, observers))
    finally:
        folder.release()
