"""Where the links of a page lead on the site.

Pages link to files as they lie in the repository. A file that is a page of the site, or an image,
is linked there; every other one on GitHub. A link that leads nowhere stays as it is, and MkDocs
reports it.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, normpath, relpath

ROOT = Path(__file__).parent.parent.parent

_RESULTS = ("benchmarks/README.md", "benchmarks/results/*.md", "benchmarks/results/*.png")
_NOTEBOOKS = ("notebooks/*.ipynb", "docs/notebooks/*.ipynb")


def _found(patterns: tuple[str, ...]) -> list[str]:
    """Returns the files that fit, by their paths from the root of the repository."""
    return sorted(
        path.relative_to(ROOT).as_posix() for each in patterns for path in ROOT.glob(each)
    )


OUTSIDE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    **{path: path for path in _found(_RESULTS)},
    **{f"notebooks/{Path(path).stem}.md": path for path in _found(_NOTEBOOKS)},
}
"""What is no page in docs/ as it is: its place on the site, and in the repository."""

_PLACES = {source: uri for uri, source in OUTSIDE.items()} | {"docs/README.md": "index.md"}
_FENCED = re.compile(r"(^ *(```|~~~).*?^ *\2 *$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(?=[)\s])")


def mapped(markdown: str, uri: str, repository: str) -> str:
    """Returns a page's text with its links mapped.

    Args:
        markdown: The text.
        uri: The page's place on the site.
        repository: Address of the repository.
    """
    parts = _FENCED.split(markdown)  # text, fenced block, its fence, text, ...
    text = [
        _LINK.sub(lambda link: link[1] + _target(link[2], uri, repository) + (link[3] or ""), part)
        for part in parts[::3]
    ]
    return "".join(a + b for a, b in zip(text, [*parts[1::3], ""], strict=True))


def _target(link: str, uri: str, repository: str) -> str:
    """Returns where `link` of the page `uri` leads."""
    if "://" in link or link.startswith("mailto:"):
        return link
    source = OUTSIDE.get(uri, f"docs/{uri}")
    path = normpath(f"{dirname(source)}/{link}".lstrip("/"))
    place = _PLACES.get(path) or (path[5:] if path.startswith("docs/") else None)
    if place is not None and (path in _PLACES or (ROOT / path).is_file()):
        return relpath(place, dirname(uri) or ".")
    if (ROOT / path).exists():
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{repository}/{kind}/main/{path}"
    return link
