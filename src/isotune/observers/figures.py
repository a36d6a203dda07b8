"""Figures of a finished run for trackers."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from isotune.errors import IsotuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.interfaces.events import RunFinished


def figures(event: RunFinished) -> Iterator[tuple[str, Figure]]:
    """Yields names and figures: the confusion matrix and the worst mistakes, where they can be.

    Without matplotlib there are none, and where images may have several labels no matrix.
    """
    if event.run is None:
        return
    run: Any = event.run()
    shown = {"confusion": run.show_confusion, "mistakes": run.show_mistakes}
    for name, show in shown.items():
        try:
            figure = show()
        except IsotuneError:  # which says that there is none
            continue
        yield name, figure


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=80)
    return stream.getvalue()
