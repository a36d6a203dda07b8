"""Text from outside controls no terminal, floods no message, and is no formula."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isotune.errors import IsotuneError
from isotune.printable import LINE, VALUE, csv_cell, message_line, printable

ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_no_character_controls_the_terminal(text: str) -> None:
    shown = printable(text)
    assert {unicodedata.category(each) for each in shown} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert printable(shown) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\nisotune: b\r\t\x9b\x7f", "a\\nisotune: b\\r\\t\\x9b\\x7f"),
        ("gpj.\u202etxe", "gpj.\\u202etxe"),
        ("\u2028\U000e0041", "\\u2028\\U000e0041"),
        ("\udcc3\u06f7\udce4", "\\xc3\u06f7\\xe4"),
        (
            "蚂蚁 ä, naïve\u00a0e, \u3000, می\u200cخواهم",
            "蚂蚁 ä, naïve\u00a0e, \u3000, می\u200cخواهم",
        ),
    ],
)
def test_escapes_are_those_of_python_and_words_stay(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY, st.integers(0, 3000))
def test_lines_of_messages_are_bounded(text: str, times: int) -> None:
    line = message_line(text * times)
    assert len(line) <= LINE
    assert printable(line) == line


def test_errors_keep_their_lines_and_both_ends_of_long_values() -> None:
    error = IsotuneError("name is '" + "a\x1b" * 5000 + "b', but should be short.", "two\nlines")
    first, second = str(error).split("\n")
    assert first.startswith("name is 'a\\x1b")
    assert first.endswith("b', but should be short.")
    assert len(first) < 5 * VALUE
    assert second == "two\\nlines"


@given(st.sampled_from("=+-@\t\r\n ＝＋－＠"), ANY)
def test_no_cell_is_a_formula(start: str, text: str) -> None:
    cell = csv_cell(start + text)
    assert cell.lstrip()[:1] not in tuple("=+-@\t\r＝＋－＠")


def test_other_cells_stay() -> None:
    assert csv_cell("images/a-b=c.jpg") == "images/a-b=c.jpg"
    assert csv_cell("-x.jpg") == "'-x.jpg"
