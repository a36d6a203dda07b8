from __future__ import annotations

import io

from rich.console import Console

from isotune.reports.tables import Table


def table() -> Table:
    made = Table(["class", "right"])
    made.add("[red]ants|bees", 7)
    made.add("c", 1234567890)
    return made


def test_plain_text_is_aligned_and_whole():
    assert table().plain().splitlines() == [
        "class                right",
        "--------------  ----------",
        "[red]ants|bees           7",
        "c               1234567890",
    ]


def test_markdown_keeps_a_bar_inside_its_cell():
    assert table().markdown().splitlines() == [
        "| class | right |",
        "| :-- | --: |",
        r"| [red]ants\|bees | 7 |",
        "| c | 1234567890 |",
    ]


def test_a_narrow_terminal_wraps_names_but_never_cuts_figures():
    text = io.StringIO()
    Console(file=text, width=22, force_terminal=True, color_system=None).print(table().rich())
    assert "1234567890" in text.getvalue()
    assert "[red]" in text.getvalue()  # a class name is no markup
