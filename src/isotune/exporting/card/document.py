"""A card as it is before it becomes Markdown or HTML: sections of plain text, tables and figures.

All text is plain; whoever renders it escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isotune.reports.mistakes import Mistakes
from isotune.reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and what there is to say of each.

    Attributes:
        rows: Text by name.
    """

    rows: Mapping[str, str]


@dataclass(frozen=True)
class Rows:
    """A table.

    Attributes:
        table: Its cells.
        caption: What it shows.
    """

    table: Table
    caption: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix of few classes.

    Attributes:
        classes: Class names, in label order.
        counts: Number of images of each true class (rows) and predicted class (columns).
        caption: What it shows.
    """

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    caption: str


@dataclass(frozen=True)
class Plot:
    """A figure. A table beside it says the same, so it may be left out.

    Attributes:
        draw: Draws it; raises IsotuneError if matplotlib is not installed.
        caption: What it shows.
        narrow: Draws it for a narrow page; None if it is the same there.
    """

    draw: Callable[[], Figure]
    caption: str
    narrow: Callable[[], Figure] | None = None


@dataclass(frozen=True)
class Gallery:
    """Images that a model is wrong about.

    Attributes:
        mistakes: The images and predictions.
        caption: What they show.
    """

    mistakes: Mistakes
    caption: str


@dataclass(frozen=True)
class Listing:
    """Lines of code.

    Attributes:
        text: The lines.
        language: Their language, for highlighting.
    """

    text: str
    language: str


Block = Paragraph | Items | Facts | Rows | Matrix | Plot | Gallery | Listing


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        title: Its heading, which no other section has.
        blocks: What it holds.
    """

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        title: The name of the experiment.
        metadata: What a page on the Hugging Face Hub reads, as plain data.
        sections: The sections in order.
    """

    title: str
    metadata: Mapping[str, Any]
    sections: Sequence[Section]
