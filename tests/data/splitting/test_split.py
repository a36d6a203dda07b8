from __future__ import annotations

import csv
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import isotune
from isotune.data.sources.folder import FolderSource
from isotune.data.splitting.split import SplitReport, split
from isotune.errors import DatasetError, SpecError

Save = Callable[..., Path]


@pytest.fixture
def classes(save: Save, tmp_path: Path) -> list[Path]:
    """Ten cars, one of them PNG, and six bicycles, two of them deeper."""
    for number in range(10):
        save(f"in/car/{number}.{'png' if number == 3 else 'jpg'}", seed=number)
    for number in range(6):
        save(f"in/bicycle/{'deep/' if number > 3 else ''}{number}.JPG", seed=100 + number)
    (tmp_path / "in" / "bicycle" / "notes.txt").write_text("no image")
    return [tmp_path / "in" / "car", tmp_path / "in" / "bicycle"]


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the images' bytes by their path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "images.csv"
    }


def test_images_are_copied_under_their_new_names(classes: list[Path], tmp_path: Path) -> None:
    report = isotune.split(classes, tmp_path / "out", train=4, test=2)
    assert report.counts == {"train": {"bicycle": 4, "car": 4}, "test": {"bicycle": 2, "car": 2}}
    assert report.unused == {"bicycle": 0, "car": 4}
    found = contents(tmp_path / "out")
    stems = {
        f"{side}/{name}/{name}_000{number}"
        for name in ("bicycle", "car")
        for side, size in (("train", 4), ("test", 2))
        for number in range(size)
    }
    assert {path.rpartition(".")[0] for path in found} == stems
    assert {Path(path).suffix for path in found if "bicycle" in path} == {".JPG"}
    originals = {file.read_bytes() for folder in classes for file in folder.rglob("*.*")}
    assert set(found.values()) <= originals
    assert len(set(found.values())) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert FolderSource(tmp_path / "out", "test").classes == ("bicycle", "car")


def test_the_listing_names_every_images_source(classes: list[Path], tmp_path: Path) -> None:
    split(classes, tmp_path / "out", train=0.5, val=0.25, test=0.25)
    with (tmp_path / "out" / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    for row in rows:
        assert (tmp_path / "out" / row["image"]).read_bytes() == Path(row["source"]).read_bytes()


def test_a_parent_folder_stands_for_its_classes(classes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "in" / ".cache").mkdir()
    split(classes, tmp_path / "one", train=4, test=2, seed=5)
    split(tmp_path / "in", tmp_path / "two", train=4, test=2, seed=5)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_neither_names_nor_their_order_matter(classes: list[Path], tmp_path: Path) -> None:
    split(classes, tmp_path / "one", train=4, test=2, seed=5)
    for number, file in enumerate(sorted(classes[0].iterdir(), reverse=True)):
        file.rename(classes[0] / f"other{number:03}{file.suffix}")
    split(classes[::-1], tmp_path / "two", train=4, test=2, seed=5)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    split(classes, tmp_path / "three", train=4, test=2, seed=6)
    assert contents(tmp_path / "one") != contents(tmp_path / "three")


def test_links_lead_to_the_images(
    classes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    split(["in/car", "in/bicycle"], "out", train=4, link=True)
    split(classes, "copied", train=4)
    links = [file for file in Path("out").rglob("*_*") if file.suffix]
    assert len(links) == 8
    assert all(link.is_symlink() and link.resolve().parent.parent for link in links)
    assert contents(tmp_path / "out") == contents(tmp_path / "copied")


def test_duplicates_are_kept_once_and_counted(classes: list[Path], tmp_path: Path) -> None:
    shutil.copy(classes[0] / "1.jpg", classes[0] / "again.jpg")
    shutil.copy(classes[0] / "1.jpg", classes[0] / "0-before.jpg")
    report = split(classes, tmp_path / "out", train=0.5, test=0.5)
    assert report.duplicates == {"bicycle": 0, "car": 2}
    assert sum(name["car"] for name in report.counts.values()) == 10
    assert len(set(contents(tmp_path / "out").values())) == 16


@pytest.mark.parametrize("seed", range(6))
def test_a_image_of_two_classes_is_in_one_split(
    classes: list[Path], tmp_path: Path, seed: int
) -> None:
    for number in range(3):
        shutil.copy(classes[0] / f"{number}.jpg", classes[1] / f"car{number}.jpg")
    report = split(classes, tmp_path / "out", train=0.5, test=0.5, seed=seed)
    assert report.shared == [
        (classes[1] / f"car{number}.jpg", classes[0] / f"{number}.jpg") for number in range(3)
    ]
    found = contents(tmp_path / "out")
    train = {content for path, content in found.items() if path.startswith("train")}
    test = {content for path, content in found.items() if path.startswith("test")}
    assert not train & test
    assert len(found) == 19


def test_what_cannot_be_read_is_left_out_and_told(classes: list[Path], tmp_path: Path) -> None:
    (classes[0] / "2.jpg").write_bytes((classes[0] / "2.jpg").read_bytes()[:-40])
    (classes[0] / "4.jpg").write_text("no image")
    os.mkfifo(classes[1] / "pipe.jpg")
    report = split(classes, tmp_path / "out", train=0.5, test=0.5)
    assert {(Path(p.identity).name, p.reason[:12]) for p in report.broken} == {
        ("2.jpg", "image file i"),
        ("4.jpg", "it is not an"),
        ("pipe.jpg", "is not a reg"),
    }
    assert len(contents(tmp_path / "out")) == 14


def test_a_dry_run_says_the_same_and_writes_nothing(classes: list[Path], tmp_path: Path) -> None:
    would = split(classes, tmp_path / "out", train=4, dry_run=True)
    assert not (tmp_path / "out").exists()
    assert split(classes, tmp_path / "out", train=4) == would


def refused(message: str, *arguments: object, **options: object) -> None:
    with pytest.raises((DatasetError, SpecError), match=message) as error:
        split(*arguments, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_what_is_there_is_never_overwritten(classes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    split(classes, tmp_path / "out", train=4)
    before = contents(tmp_path / "out")
    refused("is there already", classes, tmp_path / "out", train=2)
    assert contents(tmp_path / "out") == before
    (tmp_path / "file").write_text("mine")
    refused("is there already", classes, tmp_path / "file", train=2)
    refused("is inside of", classes, classes[0] / "out", train=2)


def test_a_disk_that_fills_up_leaves_nothing(
    classes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []

    def copy(source: Path, target: Path) -> None:
        copies.append(target)
        if len(copies) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(shutil, "copyfile", copy)
    refused("No space left on device", classes, tmp_path / "out", train=4)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_folders_that_cannot_be_split_are_told(
    classes: list[Path], save: Save, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused("no such folder", [tmp_path / "gone"], out, train=1)
    refused("class 'car' has 10, and 13 are requested", classes, out, train=10, test=3)
    refused("needs a size", classes, out)
    save("elsewhere/car/1.jpg")
    refused("two folders for class 'car'", [*classes, tmp_path / "elsewhere/car"], out, train=1)
    save("done/train/a/1.jpg")
    save("done/val/a/1.jpg")
    refused("is split already into train and val", tmp_path / "done", out, train=1)
    save("mixed/a/1.jpg")
    save("mixed/2.jpg")
    refused("images beside folders", tmp_path / "mixed", out, train=1)
    (tmp_path / "elsewhere/car/1.jpg").write_text("")
    refused("no readable image", tmp_path / "elsewhere", out, train=1)
    assert not out.exists()


def test_numbers_have_as_many_digits_as_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Save
) -> None:
    monkeypatch.setattr("isotune.data.splitting.split.DIGITS", 1)
    for number in range(11):
        Image.new("RGB", (1, 1), (number, 0, 0)).save(save(f"in/a/{number}.png"))
    report: SplitReport = split(tmp_path / "in", tmp_path / "out", train=11)
    names = sorted(contents(report.folder))
    assert names[0] == "train/a/a_00.png"
    assert names[-1] == "train/a/a_10.png"
