"""The spec reference: current, complete, and told in words."""

from __future__ import annotations

import re
from pathlib import Path

from isotune.spec.reference import reference

FILE = Path(__file__).parents[2] / "docs" / "spec.md"


def test_the_reference_is_current() -> None:
    assert FILE.read_text("utf-8") == reference(), "run: isotune schema --markdown > docs/spec.md"


def test_every_field_has_a_meaning_and_every_link_a_target() -> None:
    text = reference()
    rows = re.findall(r"^\| `\w+` \|.*$", text, re.MULTILINE)
    assert len(rows) > 80
    cells = [re.split(r" (?<!\\)\| ?", row) for row in rows]
    assert [row for row in cells if len(row) != 5 or not all(row[:4])] == []
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]*)\)", text)) <= anchors
