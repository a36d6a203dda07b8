"""The fenced blocks of all pages, and the commands in them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SHELL = {"bash", "sh"}
LANGUAGES = SHELL | {"console", "csv", "json", "mermaid", "python", "text", "toml", "yaml", ""}

_BLOCK = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_CONTINUED = re.compile(r"\\\n\s*")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: the page's path from the root of the repository.
        line: of its first line of text, from 1.
        language: what stands behind the fence.
        text: without the fences.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """Returns its shell commands, one a line; in a screen, they stand behind ``$``."""
        lines = [line for line in _CONTINUED.sub(" ", self.text).splitlines() if line.strip()]
        if self.language in SHELL:
            return [line.strip() for line in lines if not line.lstrip().startswith("#")]
        if self.language in {"console", ""}:
            return [line[2:].strip() for line in lines if line.startswith("$ ")]
        return []


def blocks(page: Path) -> Iterator[Block]:
    """Yields the blocks of a page."""
    text = page.read_text("utf-8")
    name = page.relative_to(ROOT).as_posix()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(3)) + 1
        yield Block(name, line, match[2], textwrap.dedent(match[3]))
