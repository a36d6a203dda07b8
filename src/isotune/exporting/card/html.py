"""Renders a card as one HTML file that needs no network.

The page is a tree of elements whose serialization escapes every text and attribute, and its
Content-Security-Policy allows nothing except its own style and the images inside it.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

from typing_extensions import assert_never

from isotune.errors import IsotuneError
from isotune.exporting.card.document import (
    Block,
    Card,
    Facts,
    Gallery,
    Items,
    Listing,
    Matrix,
    Paragraph,
    Plot,
    Rows,
)
from isotune.interfaces.versions import versions
from isotune.printable import printable
from isotune.reports.drawing import check_matplotlib, styled
from isotune.reports.examples import Example
from isotune.reports.numbers import percent
from isotune.reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG = 15
"""Number of rows from which a table scrolls on a screen."""

SHADES = 10
"""Number of shades of a confusion matrix, besides white."""

QUALITY = 85
"""JPEG quality of the images of mistakes."""

PIXELS = 96
"""Pixels of CSS in an inch."""

NARROW = "(max-width: 40rem)"
"""Pages that get the narrow form of a figure; the style has the same limit."""


def as_html(card: Card) -> str:
    """Returns a card as an HTML document."""
    style = files(__package__).joinpath("style.css").read_text("utf-8")
    sections = [(f"section-{n}", section) for n, section in enumerate(card.sections, 1)]
    links = [_element("li", _element("a", s.title, href=f"#{name}")) for name, s in sections]
    body = _element(
        "body",
        _element("header", _element("h1", card.title), _element("p", "Model card")),
        _element("nav", _element("ul", *links), aria_label="Sections"),
        _element("main", *(_section(name, s.title, s.blocks) for name, s in sections)),
        _element("footer", _element("p", f"Written by Isotune {versions()['isotune']}.")),
    )
    page = _element("html", _head(card.title, style), body, lang="en")
    return f"<!DOCTYPE html>\n{tostring(page, encoding='unicode', method='html')}\n"


def _head(title: str, style: str) -> Element:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none';"
        " form-action 'none'"
    )
    return _element(
        "head",
        _element("meta", charset="utf-8"),
        _element("meta", http_equiv="Content-Security-Policy", content=policy),
        _element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _element("meta", name="referrer", content="no-referrer"),
        _element("title", f"{title}: model card"),
        _style(style),
    )


def _style(text: str) -> Element:
    element = Element("style")
    element.text = text  # its hash is that of the text, line ends included
    return element


def _section(name: str, title: str, blocks: Sequence[Block]) -> Element:
    inner = [element for block in blocks if (element := _block(block)) is not None]
    return _element("section", _element("h2", title), *inner, id=name)


def _block(block: Block) -> Element | None:
    match block:
        case Paragraph():
            return _element("p", block.text)
        case Items():
            return _element("ul", *(_element("li", text) for text in block.texts))
        case Facts():
            rows = [(_element("dt", n), _element("dd", t)) for n, t in block.rows.items()]
            return _element("dl", *(_element("div", *row) for row in rows))
        case Rows():
            return _table(block.table, block.caption)
        case Matrix():
            return _matrix(block)
        case Plot():
            return _plot(block)
        case Gallery():
            tiles = [_tile(example) for example in block.mistakes.shown]
            return _element("div", *tiles, class_="gallery", role="group", aria_label=block.caption)
        case Listing():
            return _element("pre", _code(block.text), tabindex="0")
        case _:
            assert_never(block)


def _table(table: Table, caption: str) -> Element:
    def row(tag: str, cells: Sequence[str], scope: str = "") -> Element:
        pairs = zip(cells, table.align, strict=True)
        return _element("tr", *(_element(tag, c, class_=side, scope=scope) for c, side in pairs))

    head = _element("thead", row("th", table.columns, scope="col"))
    body = _element("tbody", *(row("td", cells) for cells in table.rows))
    return _scrolling(caption, head, body, long=len(table.rows) >= LONG)


def _matrix(matrix: Matrix) -> Element:
    names = [_element("th", name, scope="col") for name in matrix.classes]
    rows = []
    for name, counts in zip(matrix.classes, matrix.counts, strict=True):
        total = sum(counts)
        cells = [_cell(number, number / total if total else 0.0) for number in counts]
        rows.append(_element("tr", _element("th", name, scope="row"), *cells))
    head = _element("thead", _element("tr", _element("td"), *names))
    return _scrolling(matrix.caption, head, _element("tbody", *rows), kind="matrix")


def _cell(number: int, share: float) -> Element:
    note = [_element("small", percent(share))] if number else []
    return _element("td", f"{number:,}", *note, class_=f"shade{round(share * SHADES)}")


def _scrolling(caption: str, *parts: Element, long: bool = False, kind: str = "") -> Element:
    classes = "scrolling long" if long else "scrolling"
    region = {"tabindex": "0", "role": "region", "aria_label": caption}
    table = _element("table", *parts, class_=kind)
    return _element(
        "div",
        _element("p", caption, class_="caption"),
        _element("div", table, class_=classes, **region),
    )


def _plot(plot: Plot) -> Element | None:
    try:
        check_matplotlib()
    except IsotuneError:
        return None
    image = _drawn("img", "src", plot.draw)
    image.set("alt", printable(plot.caption))
    if plot.narrow is not None:
        narrow = _drawn("source", "srcset", plot.narrow)
        narrow.set("media", NARROW)
        image = _element("picture", narrow, image)
    return _element("figure", image, _element("figcaption", plot.caption), class_="plot")


def _drawn(tag: str, source: str, draw: Callable[[], Figure]) -> Element:
    """Returns an element that shows a figure in its own size, or smaller if the page is."""
    stream = io.BytesIO()
    with styled():
        figure = draw()
        figure.savefig(stream, format="png")
    width, height = (str(round(inches * PIXELS)) for inches in figure.get_size_inches())
    address = _data_address("image/png", stream.getvalue())
    return _element(tag, width=width, height=height, **{source: address})


def _tile(example: Example) -> Element:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(example.image).save(stream, "JPEG", quality=QUALITY)
    source = _data_address("image/jpeg", stream.getvalue())
    text = f"{example.predicted} {percent(example.probability)} (true: {example.label})"
    note = _element("small", example.identity)
    caption = _element("figcaption", text, _element("br"), note)
    return _element("figure", _element("img", src=source, alt=example.label), caption)


def _data_address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _code(text: str) -> Element:
    """Returns an element of several lines."""
    element = Element("code")
    element.text = "\n".join(map(printable, text.split("\n")))
    return element


def _element(tag: str, *children: str | Element, **attributes: str) -> Element:
    """Returns an element.

    Args:
        tag: Its name.
        children: Its content, in order; a text, which is one line, comes before elements.
        attributes: Its attributes; an underscore is a hyphen, one at the end is left out, and so
            is an empty attribute, except ``alt``.
    """
    names = {name.rstrip("_").replace("_", "-"): text for name, text in attributes.items()}
    kept = {name: printable(text) for name, text in names.items() if text or name == "alt"}
    element = Element(tag, kept)
    for child in children:
        if isinstance(child, str):
            element.text = printable(child)
        else:
            element.append(child)
    return element
