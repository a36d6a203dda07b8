"""Markdown and HTML show every text as it is, and nothing in it becomes part of the page."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporting.card.conftest import HOSTILE
from isotune.experiment.result import Run
from isotune.exporting.card.card import make_card
from isotune.exporting.card.document import (
    Card,
    Facts,
    Items,
    Listing,
    Matrix,
    Paragraph,
    Rows,
    Section,
)
from isotune.exporting.card.html import as_html
from isotune.exporting.card.markdown import as_markdown
from isotune.printable import printable
from isotune.reports.tables import Table

VOID = {"br", "img", "meta", "source"}
PARTS = "html head title style body header main section footer nav h1 h2 p a ul li dl div dt dd"
TABLES = "table thead tbody tr th td small figure figcaption picture pre code"
ELEMENTS = {*VOID, *PARTS.split(), *TABLES.split()}
OWN = {"heading", "paragraph", "inline", "text", "table", "thead", "tbody", "tr", "th", "td"}
OWN |= {"bullet_list", "list_item", "strong", "fence"}
"""Kinds of tokens that the renderer makes on purpose, without ``_open`` and ``_close``."""


class Page(HTMLParser):
    """An HTML page: elements, texts, and what is wrong with its structure."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len(dict(attributes)) == len(attributes)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts.append(text)


def card(text: str) -> Card:
    """Returns a card with a text wherever one may be."""
    table = Table([text, "number"])
    table.add(text, text)
    blocks = [
        Paragraph(text),
        Items([text, text]),
        Facts({text: text}),
        Rows(table, text),
        Matrix([text, "b"], [[1, 2], [3, 0]], text),
        Listing(f"{text}\n{text}", "yaml"),
    ]
    return Card(text, {"name": printable(text)}, [Section(text, blocks), Section("last", [])])


TEXTS = st.text(st.sampled_from("ab1 \t\n|\\`*_[]()<>&!#$~:/@.-+='\"^{}ä\u202e\x1b"), max_size=25)


@given(TEXTS)
@example("+ a")
@example("- - -")
@example("===")
@example("12. a")
@example("````")
@example("    a")
@example("a\\")
def test_markdown_shows_every_text_as_it_is(text: str) -> None:
    markdown = pytest.importorskip("markdown_it")
    body = as_markdown(card(text)).partition("\n---\n")[2]
    tokens = markdown.MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)
    inner = [child for token in tokens for child in token.children or ()]
    kinds = {re.sub("_(open|close|block)$", "", token.type) for token in (*tokens, *inner)}
    assert kinds <= OWN, kinds
    shown = ["".join(c.content for c in token.children or ()) for token in tokens if token.children]
    expected = " ".join(printable(text).split())
    found = [" ".join(each.split()) for each in shown].count(expected)
    assert found >= 9 or not expected
    [fence] = [token for token in tokens if token.type == "fence"]
    assert fence.content == f"{text}\n{text}\n" or "\n" in text or "\t" in text


@pytest.mark.parametrize("address", ["https://example.org", "WWW.example.org"])
def test_markdown_makes_no_link_of_an_address(address: str) -> None:
    listing = "```yaml\n"  # a listing has it as it is
    assert address not in as_markdown(card(address)).partition("\n---\n")[2].partition(listing)[0]


@given(TEXTS)
def test_html_shows_every_text_as_it_is(text: str) -> None:
    page = Page(as_html(card(text)))
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert not text.strip() or page.texts.count(printable(text)) >= 12


@pytest.mark.parametrize("render", [as_markdown, as_html])
def test_a_card_is_the_same_each_time(run: Run, render: object) -> None:
    first, second = (render(make_card(run)) for _ in range(2))  # type: ignore[operator]
    assert first == second


def test_a_page_is_valid_and_loads_nothing(run: Run) -> None:
    pytest.importorskip("matplotlib")
    html = as_html(make_card(run))
    page = Page(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">')
    for name in HOSTILE:
        assert printable(name) in page.texts
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    identifiers = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(identifiers)) == len(identifiers) == 12
    assert {a["href"] for tag, a in page.elements if tag == "a"} == {f"#{i}" for i in identifiers}
    sources = [a.get("src") or a.get("srcset") for t, a in page.elements if t in ("img", "source")]
    assert sources
    assert all(source.startswith(("data:image/png;", "data:image/jpeg;")) for source in sources)
    assert all(a["alt"] for tag, a in page.elements if tag == "img")
    assert not any(name.startswith("on") or name == "style" for _, a in page.elements for name in a)
    [style] = re.findall("<style>(.*?)</style>", html, re.DOTALL)
    assert "url(" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = [a["content"] for _, a in page.elements if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy
