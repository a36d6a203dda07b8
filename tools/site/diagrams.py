"""Drawings in the place of diagrams in Mermaid's language.

GitHub draws them itself. On the site a drawing stands in the page, so that no script of 3.5 MB has
to be loaded, or fetched from elsewhere. `python tools/site/draw.py` draws what is new.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "diagrams"
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)

log = logging.getLogger("mkdocs.hooks.diagrams")


def drawing(diagram: str) -> Path:
    """Returns the file of a diagram's drawing, which is named after what is drawn."""
    return FOLDER / f"{hashlib.sha256(diagram.encode()).hexdigest()[:16]}.svg"


def drawn(markdown: str) -> str:
    """Returns a page's text with drawings; warns of a diagram that has none."""

    def replaced(match: re.Match[str]) -> str:
        file = drawing(match[1])
        if not file.is_file():
            log.warning(
                f"The diagram that begins with {match[1][:60]!r} has no drawing;"
                " `python tools/site/draw.py` draws it."
            )
            return match[0]
        return f'<div class="isotune-diagram">{file.read_text("utf-8")}</div>'

    return DIAGRAM.sub(replaced, markdown)
