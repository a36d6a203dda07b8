"""Draws the diagrams of all pages into tools/site/diagrams, and removes drawings of none.

usage: python tools/site/draw.py mermaid.min.js

Needs Playwright and chromium, and Mermaid's script: `npm install mermaid`, then
node_modules/mermaid/dist/mermaid.min.js.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import diagrams

DOCS = Path(__file__).parent.parent.parent / "docs"

# Colors are those of the page, in light and dark: variables of the theme instead of values.
STYLE = """
.node rect { fill: var(--md-code-bg-color) !important;
             stroke: var(--md-primary-fg-color) !important; }
.nodeLabel, .edgeLabel { color: var(--md-typeset-color) !important; }
.edgeLabel, .edgeLabel p, .labelBkg { background-color: var(--md-default-bg-color) !important; }
.flowchart-link { stroke: var(--md-default-fg-color--light) !important; }
.marker { fill: var(--md-default-fg-color--light) !important;
          stroke: var(--md-default-fg-color--light) !important; }
"""


def main(script: str) -> None:
    """Draws what has no drawing yet."""
    from playwright.sync_api import sync_playwright

    found = {}
    for page in sorted(DOCS.glob("**/*.md")):
        for match in diagrams.DIAGRAM.finditer(page.read_text("utf-8")):
            found[diagrams.drawing(match[1])] = match[1]
    for old in set(diagrams.FOLDER.glob("*.svg")) - found.keys():
        old.unlink()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.set_content("<div id=box></div>")
        page.add_script_tag(path=script)
        for file, diagram in found.items():
            svg = page.evaluate(
                """async ([text, name, style]) => {
                    mermaid.initialize({startOnLoad: false, theme: "base", themeCSS: style,
                                        fontFamily: "var(--md-text-font-family), sans-serif",
                                        flowchart: {useMaxWidth: true}});
                    return (await mermaid.render(name, text)).svg;
                }""",
                [diagram, f"d{file.stem}", STYLE],
            )
            file.write_text(re.sub(r">\s*\n\s*", ">", svg) + "\n", "utf-8")
            print(file.relative_to(DOCS.parent))
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
