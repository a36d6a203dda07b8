"""A figure that notebooks display without pyplot. Imports matplotlib."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class InlineFigure(Figure):
    """A figure that pyplot does not manage, so that a notebook shows it exactly once."""

    def _repr_png_(self) -> bytes:
        # IPython's protocol. Without %matplotlib inline it shows only the type of a plain Figure.
        from isotune.reports.drawing import styled

        stream = io.BytesIO()
        with styled():
            self.savefig(stream, format="png", dpi=self.dpi)
        return stream.getvalue()
