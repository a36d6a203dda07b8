"""A run goes on with the images that it was trained on, and with no others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest
from PIL import Image

from isotune.errors import RunError
from outcomes import outcome, state_files
from stopping import demanding, resume, stopped
from tiny import make_images
from zoo import run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


def test_other_classes_or_another_number_of_images_are_refused(
    images: Path, tmp_path: Path
) -> None:
    folder = stopped(images, tmp_path)
    fewer = make_images(tmp_path / "fewer", train=2)
    with pytest.raises(RunError, match=r"3 are gone, the first train: ants/2\.png"):
        resume("numpy", folder, overrides=[f"dataset.path={fewer}"])
    (folder / "images.jsonl").unlink()  # as in a run of an earlier version
    with pytest.raises(RunError, match="was trained on 9 images, but the dataset has 6"):
        resume("numpy", folder, overrides=[f"dataset.path={fewer}"])
    for split in ("train", "val"):
        (fewer / split / "ants").rename(fewer / split / "wasps")
    with pytest.raises(
        RunError, match=r"on the classes ants, bees, cats, but .* bees, cats, wasps"
    ):
        resume("numpy", folder, overrides=[f"dataset.path={fewer}"])
    assert resume("numpy", folder).history


def replace(path: Path) -> None:
    """Replaces an image by another one, its modification time and, within a margin, its size."""
    status = path.stat()
    with Image.open(path) as image:
        turned = image.rotate(180)
    turned.save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda own: replace(own / "train/bees/1.png"), "train: bees/1.png has another content"),
        (lambda own: replace(own / "val/bees/1.png"), "val: bees/1.png has another content"),
        (
            lambda own: (own / "train/bees/1.png").rename(own / "train/bees/x.png"),
            "train: bees/1.png is gone; train: bees/x.png is new",
        ),
        (
            lambda own: (own / "train/bees/1.png").rename(own / "train/ants/1b.png"),
            "train: bees/1.png is gone; train: ants/1b.png is new",
        ),
    ],
    ids=["replaced", "replaced in val", "renamed", "moved"],
)
def test_other_images_of_the_same_number_are_refused(
    change: Callable[[Path], object], says: str, images: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(images, own)
    folder = stopped(own, tmp_path)
    before = state_files(folder)
    change(own)
    with pytest.raises(RunError, match=f"{folder.name}: the images are not those .*{says}"):
        resume("numpy", folder)
    assert state_files(folder) == before


def test_the_same_images_elsewhere_and_touched_are_not_refused(
    images: Path, tmp_path: Path
) -> None:
    run("numpy", demanding("numpy", images), tmp_path / "whole")
    folder = stopped(images, tmp_path)
    moved = tmp_path / "moved"
    shutil.copytree(images, moved, copy_function=shutil.copyfile)
    os.utime(moved / "train/bees/1.png", ns=(1, 1))
    resume("numpy", folder, overrides=[f"dataset.path={moved}"])
    assert outcome(folder) == outcome(tmp_path / "whole")


def test_names_in_other_code_points_are_the_same_names(images: Path, tmp_path: Path) -> None:
    composed = "k\N{LATIN SMALL LETTER A WITH DIAERESIS}fer"
    decomposed = normalize("NFD", composed)
    own = tmp_path / "own"
    shutil.copytree(images, own)
    for split in ("train", "val"):
        (own / split / "cats").rename(own / split / composed)
        (own / split / composed / "1.png").rename(own / split / composed / f"{composed}.png")
    run("numpy", demanding("numpy", own), tmp_path / "whole")
    folder = stopped(own, tmp_path)
    for split in ("train", "val"):
        (own / split / composed).rename(own / split / decomposed)
        inside = own / split / decomposed
        (inside / f"{composed}.png").rename(inside / f"{decomposed}.png")
    resume("numpy", folder)
    assert outcome(folder) == outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    "content", ["", "[]\n", '{"format": 1}\n[1]\n', '{"format": 1}\n', "a pipe"]
)
def test_a_damaged_list_of_images_is_named(content: str, images: Path, tmp_path: Path) -> None:
    folder = stopped(images, tmp_path)
    path = folder / "images.jsonl"
    path.unlink()
    if content == "a pipe":
        os.mkfifo(path)
    else:
        path.write_text(content)
    with pytest.raises(RunError, match=r"images.jsonl:\d+: is no list|the images are not those"):
        resume("numpy", folder)
    path.unlink()
    assert resume("numpy", folder).history
    assert path.exists()
