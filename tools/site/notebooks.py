"""Notebooks as pages: text, code, and what it had printed and drawn when they were saved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def page(notebook: Path) -> str:
    """Returns a notebook as Markdown."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell))


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    """Yields what a cell becomes."""
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield text
    elif cell["cell_type"] == "code" and text:
        yield _fenced(text, "python")
        for output in cell["outputs"]:
            yield _output(output)


def _output(output: dict[str, Any]) -> str:
    """Returns what code has printed, drawn or returned; of several forms the richest."""
    data = output.get("data", {})
    if "image/png" in data:
        image = "".join(data["image/png"]).strip()
        return f'<img alt="output" src="data:image/png;base64,{image}">'
    if "text/html" in data:
        return f"<div>{''.join(data['text/html'])}</div>"
    lines = data.get("text/plain") or output.get("text") or output.get("traceback", [])
    return _fenced(_ESCAPES.sub("", "".join(lines)).rstrip(), "text")


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
