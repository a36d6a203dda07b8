"""The style of all figures, and writing them to files, without a display and without pyplot."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotune.errors import IsotuneError, RunError, SpecError
from isotune.printable import printable
from isotune.storage.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

POINTS = 72
"""Points per inch, the unit of font sizes."""

CORRECT, WRONG = "#0b4fd1", "#cf1020"
"""Blue for correct and red for wrong predictions; they differ in gray as much as in color."""

INK, FAINT, RULE = "#1c1c1c", "#666666", "#d9d9d9"

HEADING = 11.0
"""Font size of a figure's heading, in points."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colors of curves: Okabe and Ito's, which color-blind people can distinguish, without yellow."""

FORMATS = (".png", ".pdf", ".svg")

_NO_GLYPH = "Glyph .* missing from"
_FAMILY = "DejaVu Sans"  # ships with matplotlib
_OTHER_SCRIPTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "Microsoft YaHei")
_STYLE: dict[str, Any] = {
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": 150,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5"
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}


def check_matplotlib() -> None:
    """Checks that figures can be drawn, before anything costly is computed for one.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure
        import matplotlib.style  # noqa: F401
    except ImportError as error:
        raise IsotuneError(
            "figures need matplotlib, which is not installed;"
            ' `pip install "isotune[plot]"` installs it.'
        ) from error


@contextmanager
def styled() -> Iterator[None]:
    """Applies Isotune's style in the block, whatever a user's matplotlibrc says."""
    check_matplotlib()
    import matplotlib.style

    fonts = {"font.family": [_FAMILY, *_other_fonts()]}
    with matplotlib.style.context(["default", _STYLE, fonts]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", _NO_GLYPH)  # logged once, by text_width
        yield


@cache
def _other_fonts() -> tuple[str, ...]:
    """Returns installed fonts for class names in scripts that matplotlib's own font lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _OTHER_SCRIPTS if name in installed)


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Returns an empty figure of `width` by `height` inches. Call it within :func:`styled`.

    A notebook shows the figure; ``savefig`` writes it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from isotune.reports.inline import InlineFigure

    figure = InlineFigure(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Returns the width of a line of text in points, at a font size of `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", _NO_GLYPH)
        properties = FontProperties(size=size, weight="bold" if bold else "normal")
        width = text_to_path.get_text_width_height_descent(text, properties, False)[0]
    if caught:
        _warn_of_missing_fonts()
    return float(width)


@cache
def _warn_of_missing_fonts() -> None:
    log.warning(
        "a name has characters that no installed font has, so the figure shows boxes; any of these"
        " fonts is used if it is installed: %s.",
        ", ".join(_OTHER_SCRIPTS),
    )


def wrap(text: str, width: float, size: float, bold: bool = False) -> str:
    """Breaks printable text into lines of at most `width` points at a font size of `size` points.

    Lines break after spaces and the characters ``/ _ -``, or anywhere in a word that is too long.
    """
    lines = [""]
    for word in re.findall(r"[^\s/_-]*[\s/_-]|[^\s/_-]+", printable(text)):
        if text_width((lines[-1] + word).rstrip(), size, bold) <= width:
            lines[-1] += word
            continue
        lines.append("")
        for character in word:
            if lines[-1] and text_width(lines[-1] + character, size, bold) > width:
                lines.append("")
            lines[-1] += character
    return "\n".join(line.rstrip() for line in lines if line.strip())


def check_figure_path(path: Path) -> None:
    """Checks the suffix of a figure's file.

    Raises:
        SpecError: the suffix is not one of :data:`FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise SpecError(f"{path}: a figure's name should end in {', '.join(FORMATS)}.")


def write_figure(figure: Figure, path: str | Path) -> Path:
    """Writes a figure atomically in the format of the file's suffix, replacing an older file.

    Returns:
        The file's path.

    Raises:
        SpecError: the suffix is not one of :data:`FORMATS`.
        RunError: the file cannot be written.
    """
    path = Path(path)
    check_figure_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with styled(), atomic_file(path) as file:
            figure.savefig(file, format=path.suffix[1:].lower())
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}.") from error
    return path
