"""``isotune cache``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

LONG, SHORT = "ab" * 32, "cd" * 16
OURS = {
    f"graphs/{LONG}.graph": "graphs",
    f"features/{LONG}.features": "features",
    f"checked/{SHORT}.files": "checked",
    f"indexes/{SHORT}.index": "indexes",
    f"looks/{SHORT}.looks": "looks",
}
OTHERS = ("graphs/notes.graph", "features/mine.npy", "mine.txt")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A home with one file of 1,500 bytes of each kind, and with others."""
    home = tmp_path / "home"
    for name in (*OURS, *OTHERS):
        path = home / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1500))
    for name in ("weights/mine.pth", "datasets/ants/train/1.jpg"):
        path = home / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(3 << 20))
    return home


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


def test_what_is_kept_is_listed_by_kind(isotune, kept: Path) -> None:
    result = isotune("cache", "list")
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[3:]}
    assert rows["graphs"][1:4] == ["1", "1.5", "KiB"]
    assert rows["weights"][1:4] == rows["datasets"][1:4] == ["1", "3.0", "MiB"]
    assert rows["pixels"][1:5] == ["0", "0", "bytes", "-"]
    told = json.loads(isotune("cache", "list", "--json").stdout)["kinds"]
    assert {each["kind"]: each["files"] for each in told} == {
        **dict.fromkeys(OURS.values(), 1),
        "pixels": 0,
        "weights": 1,
        "datasets": 1,
    }


def test_kinds_are_cleared_and_nothing_else(isotune, kept: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (kept / f"cache/graphs/{'ef' * 32}.graph").symlink_to(outside)
    draft, abandoned = (kept / f"cache/graphs/.{LONG}.graph.{n}.abcdef" for n in (1, 2))
    for path in (draft, abandoned):
        path.touch()
    os.utime(abandoned, (0, 0))
    before = files(kept)
    result = isotune("cache", "clear", "graphs")
    assert result.stdout == "graphs: removed 3 files, " + result.stdout.split(", ")[-1]
    gone = {f"cache/graphs/{name}.graph" for name in (LONG, "ef" * 32)}
    assert before - files(kept) == {*gone, str(abandoned.relative_to(kept))}
    assert draft.exists()
    assert outside.read_text() == "mine"
    assert isotune("cache", "clear", "--all").exit_code == 0
    assert {f"cache/{name}" for name in OURS}.isdisjoint(files(kept))
    assert files(kept) >= {"cache/mine.txt", "cache/features/mine.npy", "weights/mine.pth"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name the kinds to remove, or give --all; kinds are: graphs, features"),
        (["graphs", "--all"], "name the kinds to remove, or give --all"),
        (["weights"], "weights are not removed, since some may be your own"),
        (["grahps"], "there is no kind 'grahps'. Did you mean 'graphs'?"),
    ],
)
def test_what_cannot_be_cleared_is_said_so(isotune, kept: Path, arguments, sentence) -> None:
    before = files(kept)
    result = isotune("cache", "clear", *arguments)
    assert result.exit_code != 0
    assert sentence in result.stderr
    assert files(kept) == before
