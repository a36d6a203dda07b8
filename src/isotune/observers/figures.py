"""Figures of a finished run for trackers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.interfaces.events import RunFinished

MISTAKES = 16
"""Number of mistakes that are shown, at most."""

_drawn: WeakKeyDictionary[Callable[[], Any], dict[str, Figure]] = WeakKeyDictionary()
"""Figures of runs that have just finished, by what returns the run."""


def figures(event: RunFinished) -> dict[str, Figure]:
    """Returns the confusion matrix and the worst mistakes on the validation images, by name.

    The best model is evaluated once for both, and for all trackers of a run. Without matplotlib
    there are none, and where images may have several labels, which cannot be confused, no matrix.
    """
    if event.run is None or find_spec("matplotlib") is None:
        return {}
    if event.run not in _drawn:
        _drawn[event.run] = _draw(event.run())
    return _drawn[event.run]


def _draw(run: Any) -> dict[str, Figure]:
    from isotune.reports.confusion import confusion_figure
    from isotune.reports.mistakes import find_mistakes, mistakes_figure

    source, name, split = run.open_images(), run.spec.name, run.split_name()
    evaluation = run.evaluate_source(source)
    mistakes = find_mistakes(source, evaluation, MISTAKES, name=name, split=split)
    drawn = {"mistakes": mistakes_figure(mistakes, ())}
    if not run.spec.dataset.multi_label:
        drawn["confusion"] = confusion_figure(evaluation.confusion, run.classes, name, split)
    return drawn


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()
