"""What MkDocs calls while it builds the site (mkdocs.yml).

The pages in docs/ are written to be read on GitHub, too. Here they get what a site has besides:
pages from outside docs/, references made from the source, and links that lead to all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs loads this file alone, by its path

import commands
import diagrams
import links
import navigation
import notebooks
import public_names
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent

GENERATED = {
    "reference/commands.md": commands.page,
    "reference/python.md": public_names.page,
    "reference/hooks.md": public_names.hooks_page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not in docs/, and completes the navigation."""
    files.remove(files.get_file_from_path("README.md"))  # the list of pages, for GitHub
    for uri, source in links.OUTSIDE.items():
        if source.endswith(".ipynb"):
            files.append(File.generated(config, uri, content=notebooks.page(ROOT / source)))
        else:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    for uri, make in GENERATED.items():
        files.append(File.generated(config, uri, content=make()))
    pages = sorted(file.src_uri for file in files.documentation_pages())
    config.nav = navigation.completed(config.nav, pages)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Maps the links of a page, and puts drawings in the place of its diagrams."""
    return diagrams.drawn(links.mapped(markdown, page.file.src_uri, config.repo_url))
