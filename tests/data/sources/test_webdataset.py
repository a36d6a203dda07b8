"""Shards of WebDataset: which fields are meant, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archives import tar_bytes
from isotune.data.caches import indexes
from isotune.data.sources.webdataset import WebDataset
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource

Samples = dict[str, dict[str, Any]]


def write(path: Path, samples: Samples) -> Path:
    files = {
        f"{key}.{field}": value if isinstance(value, bytes) else str(value).encode()
        for key, fields in samples.items()
        for field, value in fields.items()
    }
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(tar_bytes(files, mode="w"))
    return path


def opened(folder: Path, split: str = "train", **options: Any) -> ImageSource:
    return WebDataset(path=str(folder), **options).open(folder, split)


ANT, BEE = {"jpg": b"1", "cls": 0}, {"JPG": b"2", "cls": "1\n"}


@pytest.mark.parametrize("options", [{"classes": ["ant", "bee"]}, {"classes_file": "names"}, {}])
def test_numbers_are_positions_in_a_list_of_classes(options: Any, tmp_path: Path) -> None:
    (tmp_path / (options.get("classes_file") or "classes.txt")).write_text("ant\nbee\n")
    write(tmp_path / "train-0.tar", {"x/0": ANT, "x/1.5": {}, "x/1": BEE})
    write(tmp_path / "train-1.tar", {"0": ANT})
    source = opened(tmp_path, **options)
    assert source.classes == ("ant", "bee")
    assert source.labels.tolist() == [0, 1, 0]
    names = [source.name(index) for index in range(3)]
    assert names == ["train-0.tar/x/0.jpg", "train-0.tar/x/1.JPG", "train-1.tar/0.jpg"]
    assert source.identify(2) == f"{tmp_path}/train-1.tar/0.jpg"


def test_labels_of_json_are_found_by_their_key(tmp_path: Path) -> None:
    found = {"jpg": b"", "json": json.dumps({"caption": "?", "Label": ["b", "a"]})}
    write(tmp_path / "train.tar", {"0": found, "1": {**found, "json": '{"Label": "c;a"}'}})
    source = opened(tmp_path, targets="multi_label")
    assert source.classes == ("a", "b", "c")
    assert source.labels.tolist() == [[1, 1, 0], [1, 0, 1]]
    assert source.labels.dtype == "float32"


@pytest.mark.parametrize(
    ("samples", "options", "sentence"),
    [
        ({"0": {"jpg": b""}, "1": ANT}, {}, r"train\.tar: 1 sample is wrong:\n  0: has no 'cls'"),
        ({"0": {**ANT, "png": b""}}, {}, r"0: has several images, 0\.jpg and 0\.png; choose by"),
        (
            {"0": {"jpg": b"", "txt": "a"}},
            {},
            r"dataset\.label_field; samples have 'jpg', 'txt'",
        ),
        ({"0": {"jpg": b"", "json": "{"}}, {}, r"0\.json: is no JSON"),
        ({"0": {"jpg": b"", "json": '{"a": 1, "b": 2}'}}, {}, r"dataset\.label_key; .* 'a', 'b'"),
        ({"0": ANT, "1": {"jpg": b"", "cls": b"\xff"}}, {}, r"1: its 'cls' is not UTF-8 text"),
        ({"0": {"cls": 0}}, {}, r"no sample has an image; they have 'cls'"),
        (
            {"0": ANT, "1": BEE},
            {"classes": ["ant"]},
            r"1\.JPG: its label 1 is no pos.* 0 to 0",
        ),
        (
            {"0": {"jpg": b"", "cls": "wasp"}},
            {"classes": ["wasps"]},
            "'wasp' is no class. Did",
        ),
        ({"0": {"jpg": b"", "cls": ""}}, {}, r"0\.jpg: its label is empty"),
        ({"0": ANT}, {"classes": ["ant", "ant"]}, r"dataset\.classes: lists 'ant' more than once"),
        ({"0": ANT}, {"classes_file": "../names"}, r"there is no file '\.\./names' in"),
    ],
)
def test_a_wrong_shard_is_one_error(
    samples: Samples, options: Any, sentence: str, tmp_path: Path
) -> None:
    write(tmp_path / "train.tar", samples)
    with pytest.raises(DatasetError, match=sentence):
        opened(tmp_path, **options)


@pytest.mark.parametrize(
    ("names", "split", "sentence"),
    [
        (["train-00000-of-00003", "train-00002-of-00003"], "train", "file 1 of 0 to 2 is missing"),
        (["train-00000-of-00002"], "train", "file 1 of 0 to 1 is missing"),
        (["train-000", "train-002"], "train", "file 1 of 0 to 2 is missing"),
        (["train-0-of-1", "train-0-of-2"], "train", "say different numbers of files: -of-00001"),
        (
            ["a-train-0", "b-train-0"],
            "train",
            r"several sets .*'a-train', 'b-train'; .*'a-tr",
        ),
        (
            ["train-0", "validation-0"],
            "val",
            r"no files of the split 'val'\..*'validation'",
        ),
        (["train-0"], "train-{0..1}.tar", r"train-1\.tar: is missing, one of 'train-\{0\.\.1\}"),
        (["train-0"], "../train-*.tar", "should be a name or a pattern inside"),
        ([], "train", r"there is no file in it whose name ends in \.tar"),
    ],
)
def test_shards_that_are_not_all_there_are_one_sentence(
    names: list[str], split: str, sentence: str, tmp_path: Path
) -> None:
    for name in names:
        write(tmp_path / f"{name}.tar", {"0": ANT})
    with pytest.raises(DatasetError, match=sentence):
        opened(tmp_path, split)


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (["imagenet-train-000001", "imagenet-train-000002"], "train"),
        (["data/train-00000-of-00002-0123456789abcdef", "data/train-00001-of-00002"], "train"),
        (["train/b", "train/c"], "train"),
        (["x-8", "x-9", "x-10"], "x-{8..10}.tar"),
        (["x-8", "x-9", "x-10"], "x-*.tar"),
        (["x-01", "x-02", "y"], "x-{01,02}.tar"),
    ],
)
def test_shards_come_in_the_order_of_their_numbers(
    names: list[str], split: str, tmp_path: Path
) -> None:
    for name in names:
        write(tmp_path / f"{name}.tar", {"0": ANT})
    source = opened(tmp_path, split)
    found = [source.name(index) for index in range(len(source))]
    assert found == [f"{name}.tar/0.jpg" for name in names if name != "y"]


def test_shards_without_splits_and_a_single_one_can_be_divided(tmp_path: Path) -> None:
    path = write(tmp_path / "part-0.tar", {"0": ANT, "1": BEE})
    dataset = WebDataset(path=str(tmp_path))
    assert len(dataset.open_all(tmp_path)) == len(dataset.open_all(path)) == 2
    write(tmp_path / "val-0.tar", {"0": ANT})
    with pytest.raises(DatasetError, match="has splits of its own"):
        dataset.open_all(tmp_path)
    with pytest.raises(DatasetError, match="is a single file, which has no split 'val'"):
        dataset.open(path, "val")


def test_a_shard_is_listed_again_only_after_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "_SMALL", 0)
    monkeypatch.setattr(indexes, "settled", lambda stamps, _: stamps[:, 0] > 0)
    shard = write(tmp_path / "train-0.tar", {"0": ANT, "1": BEE})
    before = opened(tmp_path)
    monkeypatch.setattr("isotune.data.archives.samples.list_archive", None)
    monkeypatch.setattr("isotune.data.archives.open.list_archive", None)
    after = opened(tmp_path)
    assert after.labels.tolist() == before.labels.tolist()
    assert after.name(1) == before.name(1)
    write(shard, {"0": ANT})
    with pytest.raises(TypeError):  # it is listed, by None
        opened(tmp_path)
