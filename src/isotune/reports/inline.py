"""A figure that a notebook shows without being told to. Imports matplotlib."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class InlineFigure(Figure):
    """A figure apart from pyplot, which therefore appears once, where it is returned."""

    def _repr_png_(self) -> bytes:
        # IPython's protocol; of a plain Figure it shows only the type, but for %matplotlib inline.
        from isotune.reports.drawing import styled

        stream = io.BytesIO()
        with styled():
            self.savefig(stream, format="png", dpi=self.dpi)
        return stream.getvalue()
