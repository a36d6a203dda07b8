"""Every command and every block of Python in the documentation runs, on tiny images and nets."""

from __future__ import annotations

import ast
import shutil
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from command_line import restored_log
from documented import shell, world
from documented.blocks import LANGUAGES, PAGES, ROOT, Block, blocks
from documented.changes import NOT_RUN, SMALLER
from documented.stage import Stage, set_for

ALL = {page.relative_to(ROOT).as_posix(): list(blocks(page)) for page in PAGES}
WITH_CODE = [
    page
    for page, found in ALL.items()
    if any(block.language == "python" or block.commands() for block in found)
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that pages speak of, made once."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("documented")
    backends = ("torch", "mindspore") if find_spec("mindspore") else ("torch",)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        world.make_world()
        world.make_runs(backends)
    return folder


@pytest.fixture
def here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of them for one page, as the working directory."""
    folder = tmp_path / "page"
    shutil.copytree(files, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    with restored_log():
        yield folder


@pytest.mark.parametrize("page", WITH_CODE)
def test_what_a_page_shows_runs(page: str, here: Path) -> None:
    with set_for(page) as stage:
        for block in ALL[page]:
            for command in block.commands():
                shell.run(block, command, stage)
            if block.language == "python":
                run_python(block, stage)


def run_python(block: Block, stage: Stage) -> None:
    """Runs a block with the names that the blocks before it have made."""
    if shell.reason_not_to_run(block, block.text):
        inside = f"match _:\n{textwrap.indent(block.text, '    ')}"
        ast.parse(inside if block.text.startswith("case ") else block.text)
        return
    exec(compile(stage.runnable(block.text), block.where, "exec"), stage.names)


def test_what_is_not_run_or_made_smaller_is_still_there() -> None:
    texts = {page: "\n".join(each.text for each in found) for page, found in ALL.items()}
    everywhere = "\n".join(texts.values())
    pages = {key: texts.get(key[0], "") if key[0] != "*" else everywhere for key in NOT_RUN}
    assert not [key for key, text in pages.items() if text and key[1] not in text]
    for start, replaced in SMALLER.items():
        there = "\n".join(text for page, text in texts.items() if page.startswith(start))
        assert not [long for long in replaced if there and long not in there]


def test_every_block_is_of_a_known_language() -> None:
    found = [block for page in ALL.values() for block in page]
    assert not [block.where for block in found if block.language not in LANGUAGES]
