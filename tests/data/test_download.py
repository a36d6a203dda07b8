from __future__ import annotations

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archives import BOMBS, HOSTILE
from isotune.data.archives import budget
from isotune.data.download import ensure_dataset
from isotune.errors import DatasetError
from isotune.storage.downloads import download as downloading
from web import Site, served


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return file.getvalue()


ARCHIVE = zipped("bees/train/a/1.jpg", "bees/val/a/2.jpg", "__MACOSX/bees/._1.jpg")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(downloading, "PAUSES", (0.0, 0.0, 0.0))
    with served() as site:
        site.files["/bees.zip"] = ARCHIVE
        yield site


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


WHOLE = ["bees", *(f"bees/{name}" for name in ("train", "train/a", "train/a/1.jpg", "val"))]
WHOLE += ["bees/val/a", "bees/val/a/2.jpg"]


def test_an_archive_is_downloaded_once_and_its_only_folder_stripped(
    site: Site, tmp_path: Path
) -> None:
    target = tmp_path / "datasets" / "bees"
    prefix = hashlib.sha256(ARCHIVE).hexdigest()[:8]
    for _ in range(2):
        assert ensure_dataset(target, f"{site.url}/bees.zip", prefix) == target
    assert len(site.requests) == 1
    assert tree(tmp_path / "datasets") == WHOLE


def test_an_archive_without_a_top_folder_is_taken_as_it_is(site: Site, tmp_path: Path) -> None:
    site.files["/flat.zip"] = zipped("train/a/1.jpg", "val/a/2.jpg")
    ensure_dataset(tmp_path / "datasets" / "bees", f"{site.url}/flat.zip")
    assert tree(tmp_path / "datasets") == WHOLE


def test_a_folder_that_is_there_needs_no_network(tmp_path: Path) -> None:
    assert ensure_dataset(tmp_path, "http://127.0.0.1:9/bees.zip") == tmp_path


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/bees.zip"])
def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path, url: str | None) -> None:
    (tmp_path / "bees.zip").write_bytes(ARCHIVE)
    with pytest.raises(DatasetError, match=r"bees\.zip: is not a folder; an archive has to be unp"):
        ensure_dataset(tmp_path / "bees.zip", url)


@pytest.mark.parametrize("kind", ["link", "pipe", "file"])
def test_what_lies_in_the_way_of_unpacking_is_replaced(
    site: Site, tmp_path: Path, kind: str
) -> None:
    target, draft = tmp_path / "datasets" / "bees", tmp_path / "datasets" / ".bees.unpacking"
    (tmp_path / "outside").mkdir()
    target.parent.mkdir()
    if kind == "link":
        draft.symlink_to(tmp_path / "outside")
    elif kind == "pipe":
        os.mkfifo(draft)
    else:
        draft.touch()
    ensure_dataset(target, f"{site.url}/bees.zip")
    assert tree(tmp_path / "datasets") == WHOLE
    assert tree(tmp_path / "outside") == []


def test_without_an_address_the_error_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"{tmp_path}/bees: .*dataset\.url"):
        ensure_dataset(tmp_path / "bees", None)


def test_what_fails_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    site.files["/page.zip"] = b"<html>not found</html>"
    site.files["/hostile.zip"] = zipped("../../evil")
    site.files["/empty.zip"] = zipped()
    site.files["/empty.tar"] = bytes(10240)
    cases = {
        f"{site.url}/gone.zip": "404",
        f"{site.url}/page.zip": "neither a zip nor a tar archive: it looks like an HTML page",
        f"{site.url}/hostile.zip": "outside",
        f"{site.url}/empty.zip": "archive of nothing",
        f"{site.url}/empty.tar": "archive of nothing",
        "http://127.0.0.1:9/bees.zip": "cannot be downloaded",
        "ftp://127.0.0.1/bees.zip": "http://",
    }
    for url, complaint in cases.items():
        with pytest.raises(DatasetError, match=complaint) as error:
            ensure_dataset(tmp_path / "datasets" / "bees", url)
        assert url in str(error.value)
    assert tree(tmp_path) == ["datasets"]


def test_another_hash_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="should begin with 00000000"):
        ensure_dataset(tmp_path / "datasets" / "bees", f"{site.url}/bees.zip", "0" * 8)
    assert tree(tmp_path) == ["datasets"]


@pytest.mark.parametrize("name", [*HOSTILE, *BOMBS])
def test_nothing_is_left_of_a_hostile_archive(
    name: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "MIN_LIMIT", 1 << 20)
    monkeypatch.setattr(budget, "MAX_ENTRIES", 50)
    if name in BOMBS:
        site.files["/x"] = BOMBS[name][0]()
    else:
        site.files["/x"] = HOSTILE[name](tmp_path / "data").read_bytes()
        (tmp_path / "data").unlink()
    site.etag = '"one"'
    with pytest.raises(DatasetError) as error:
        ensure_dataset(tmp_path / "datasets" / "bees", f"{site.url}/x")
    assert str(error.value).startswith(f"{site.url}/x: it")
    assert "\n" not in str(error.value)
    assert tree(tmp_path) == ["datasets"]


def test_a_break_leaves_a_part_that_the_next_run_completes(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "datasets" / "bees"
    site.etag, site.cuts = '"one"', [100, 0, 0, 0]
    with pytest.raises(DatasetError, match=f"after 100 of {len(ARCHIVE)} bytes"):
        ensure_dataset(target, f"{site.url}/bees.zip")
    assert tree(tmp_path / "datasets") == [".bees.part", ".bees.part.json"]
    # And that is how a run looks that was killed while it unpacked.
    (tmp_path / "datasets" / ".bees.unpacking" / "left").mkdir(parents=True)
    site.requests.clear()
    ensure_dataset(target, f"{site.url}/bees.zip")
    assert site.asked() == ["bytes=100-"]
    assert tree(tmp_path / "datasets") == WHOLE


def test_runs_at_once_download_once(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "datasets" / "bees"
    with ThreadPoolExecutor(4) as executor:
        found = [executor.submit(ensure_dataset, target, f"{site.url}/bees.zip") for _ in range(4)]
        assert [future.result() for future in found] == [target] * 4
    assert len(site.requests) == 1
    assert tree(tmp_path / "datasets") == WHOLE


@pytest.mark.parametrize(
    ("names", "wanted", "there"),
    [
        (["data/Canidae/train/a/1", "data/Canidae/val/a/2"], {"train", "val"}, ["train", "val"]),
        (["data/Canidae/train/a/1", "data/README"], {"train", "val"}, ["train"]),
        (["train/a/1"], {"train", "val"}, ["train"]),
        (["data/train/1", "data/valid/2"], {"train", "val"}, ["train", "valid"]),
        (["cifar-10-batches-bin/x.bin", "__MACOSX/x"], {"train", "val"}, ["x.bin"]),
        (["a/b/c/1.jpg"], {"train", "val"}, ["b"]),
        (["a/1", "b/2"], {"train", "val"}, ["a", "b"]),
    ],
)
def test_the_folder_with_the_splits_is_the_dataset(
    names: list[str], wanted: set[str], there: list[str], site: Site, tmp_path: Path
) -> None:
    site.files["/deep.zip"] = zipped(*names)
    target = ensure_dataset(tmp_path / "deep", f"{site.url}/deep.zip", contents=wanted)
    assert sorted(path.name for path in target.iterdir()) == there
    shutil.rmtree(target)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="ISOTUNE_HOME"):
        ensure_dataset(tmp_path / "file" / "bees", "http://127.0.0.1:9/bees.zip")
    assert tree(tmp_path) == ["file"]
