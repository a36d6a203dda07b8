"""Formats, splits and labels that are found without being named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isotune.errors import DatasetError, SpecError
from isotune.fitting.look import Data, look_at
from isotune.fitting.recognize import recognize
from tiny import CLASSES, make_images


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return make_images(tmp_path / "images", train=6, val=2)


def found(place: Path | str, **given: Any) -> Data:
    return look_at(recognize(place, given))


def fields(place: Path | str, **given: Any) -> dict[str, Any]:
    return {key: value for key, value in found(place, **given).fields.items() if key != "path"}


def write_table(images: Path, name: str, label: Callable[[str, int], str]) -> Path:
    """Writes a CSV table of the training images beside them."""
    rows = [
        f"{path.relative_to(images.parent)},{label(path.parent.name, int(path.stem))},{path.stem}"
        for path in sorted((images / "train").rglob("*.png"))
    ]
    table = images.parent / name
    table.write_text("\n".join(["path,label,group", *rows]))
    return table


def test_folders_are_found_with_their_splits_whatever_their_usual_names(images: Path) -> None:
    assert fields(images) == {"format": "folder"}
    (images / "val").rename(images / "valid")
    (images / "train").rename(images / "Training")
    (images / "Training").rename(images / "training")
    assert fields(images)["splits"] == {"train": "training", "val": "valid"}
    (images / "valid").rename(images / "test")
    data = found(images)
    assert data.fields["splits"] == {"train": "training", "val": "test"}
    assert "too good for a final figure" in data.reasons["splits"]


def test_images_without_splits_are_divided_and_groups_are_kept(images: Path) -> None:
    data = found(images / "train")
    assert data.fields["split"] == {"val": 0.2}
    assert (data.train, data.val, data.counts) == (14, 4, (6, 6, 6))
    by_hand = found(images / "train", split={"val": 2})
    assert (by_hand.fields["split"], by_hand.train, by_hand.val) == ({"val": 2}, 12, 6)
    shutil.rmtree(images / "val")
    assert found(images).fields["path"] == str(images / "train")
    table = write_table(images, "table.csv", lambda name, number: name)
    assert fields(table) == {"format": "table", "split": {"val": 0.2, "by": "group"}}


def test_archives_are_found(images: Path) -> None:
    archive = shutil.make_archive("images", "zip", images)
    assert fields(archive) == {"format": "archive"}


@pytest.mark.parametrize("separator", [";", "|"])
def test_several_labels_an_image_are_noticed(images: Path, separator: str) -> None:
    table = write_table(
        images, "table.csv", lambda name, number: f"{name}{separator}few" if number < 3 else name
    )
    data = found(table)
    assert data.multi_label and data.classes == (*CLASSES, "few")
    assert data.fields.get("separator", ";") == separator
    assert data.reasons["targets"] == "9 of 18 images have several labels"


def test_lists_of_labels_are_several_labels(images: Path) -> None:
    rows = [
        {"image": str(path.relative_to(images)), "labels": [path.parent.name, "insects"]}
        for path in sorted((images / "train").rglob("*.png"))
    ]
    (images / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert fields(images / "rows.jsonl")["targets"] == "multi_label"


def test_a_folder_that_may_be_two_things_is_asked_about(images: Path) -> None:
    write_table(images, "table.csv", lambda name, number: name)
    shutil.move("table.csv", images / "val.csv")
    (images / "val.csv").write_text("path,label\n" + "val/ants/0.png,ants\nval/bees/0.png,bees\n")
    with pytest.raises(DatasetError, match="may be in any of the formats 'folder', 'table'"):
        found(images)
    assert fields(images, format="folder") == {"format": "folder"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\n", "has no image"),
        ("path,a,b\nx.png,1,2\n", "set dataset.label_column"),
        ("path,label\nnone.png,a\n", "cannot be found"),
        ("path,label\nimages/train/ants/0.png,\n", "its label is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(images: Path, text: str, sentence: str) -> None:
    Path("table.csv").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        found("table.csv")


def test_what_is_set_by_hand_is_checked(images: Path) -> None:
    with pytest.raises(SpecError, match=r"dataset\.broken is 'maybe'"):
        found(images, broken="maybe")


def test_unreadable_images_are_left_out_and_said(images: Path) -> None:
    (images / "train" / "ants" / "0.png").write_text("no image")
    data = found(images)
    assert data.fields["broken"] == "skip"
    assert "1 of 18 images looked at cannot be read" in data.reasons["broken"]
