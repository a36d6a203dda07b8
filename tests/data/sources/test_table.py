from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.data.download import dataset_root
from isotune.data.images import open_images
from isotune.data.sources.folder import FolderSource
from isotune.data.sources.table import TableDataset
from isotune.errors import DatasetError, SpecError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.load import load_spec
from outcomes import outcome
from tiny import experiment, make_images, numpy_plugins

Save = Callable[..., Path]
Rows = Sequence[Sequence[object]]


def csv_text(rows: Rows, delimiter: str = ",") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue()


def json_lines(rows: Rows) -> str:
    header, *others = rows
    return "".join(
        json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) + "\n" for row in others
    )


def write(path: Path, content: str | bytes | Rows) -> Path:
    """Writes a table: its bytes, its text, or rows as CSV."""
    if not isinstance(content, (str, bytes)):
        content = csv_text(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def opened(
    place: Path, split: str = "train", classes: tuple[str, ...] | None = None, **fields: Any
) -> ImageSource:
    return TableDataset(path=str(place), **fields).open(place, split, classes)


def refusal(place: Path, split: str = "train", **fields: Any) -> list[str]:
    """Returns the lines of the error that opening a split raises, without the folder's path."""
    with pytest.raises(DatasetError) as error:
        opened(place, split, **fields)
    folder = place if place.is_dir() else place.parent
    return str(error.value).replace(f"{folder}/", "").splitlines()


def contents(source: ImageSource) -> list[tuple[str, str]]:
    """Returns the name and class of every image."""
    return [
        (source.name(index), source.classes[label])
        for index, label in enumerate(source.labels.tolist())
    ]


@pytest.fixture
def images(save: Save, tmp_path: Path) -> Path:
    """A folder with the images ``a.png`` to ``d.png``."""
    for seed, name in enumerate("abcd"):
        save(f"{name}.png", seed=seed)
    return tmp_path


def folder_as_rows(folder: Path) -> Rows:
    rows: list[tuple[str, str, str]] = [("path", "label", "split")]
    for split in ("train", "val"):
        source = FolderSource(folder, split)
        rows += [(f"{split}/{name}", label, split) for name, label in contents(source)]
    return rows


def test_a_table_in_the_order_of_image_folder_gives_the_same_run(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "images")
    rows = folder_as_rows(folder)
    names = {
        "all.csv": csv_text(rows),
        "semicolons.csv": "\ufeff" + csv_text(rows, ";"),
        "all.tsv": csv_text(rows, "\t"),
        "all.jsonl": json_lines(rows),
    }
    runs = {"folder": {"path": str(folder)}}
    for name, text in names.items():
        runs[name] = {"path": str(write(folder / name, text)), "format": "table"}
    outcomes = {}
    for name, dataset in runs.items():
        spec = experiment(folder, dataset=dataset)
        result = isotune.run(spec, backend="numpy", plugins=numpy_plugins(), output=tmp_path / name)
        outcomes[name] = outcome(result.folder.path)
    for name in names:
        assert outcomes[name] == outcomes["folder"], name


def test_images_are_in_the_order_of_the_rows(images: Path) -> None:
    rows = [("label", "file_name"), ("10", "c.png"), ("9", "a.png"), (" 10 ", "./b.png")]
    source = opened(write(images / "train.csv", rows).parent)
    assert source.classes == ("10", "9"), "sorted as strings"
    assert contents(source) == [("c.png", "10"), ("a.png", "9"), ("b.png", "10")]
    assert source.labels.dtype == "int32"
    assert source.groups is None
    assert source.identify(0) == str(images / "c.png")
    assert source.load(0).size == (20, 16)
    assert source.digests() is not None


HEADERS = {
    "image,label": ("a.png", "x"),
    "photo,label": ("a.png", "x"),
    "File_Name,species": ("a.png", "x"),
    ",image,label": ("0", "a.png", "x"),
    "image, label ,group,width": ("a.png", "x", "g", "5"),
    "image,label,subset": ("a.png", "x", "train"),
}


@pytest.mark.parametrize("header", HEADERS)
def test_columns_are_found_where_only_one_reading_is_possible(images: Path, header: str) -> None:
    table = write(images / "train.csv", f"{header}\n{','.join(HEADERS[header])}\n")
    source = opened(table if "subset" in header else images)
    assert contents(source) == [("a.png", "x")]
    assert (source.groups is not None) == ("group" in header)


UNCLEAR: dict[str, tuple[dict[str, Any], str]] = {
    "image,label,class": (
        {},
        "train.csv: 'label' and 'class' could be its column; set dataset.label_column to one of"
        " them.",
    ),
    "photo,name,species": (
        {},
        "train.csv: which of its columns is meant is not clear; set dataset.image_column. Its"
        " columns are 'photo', 'name', 'species'.",
    ),
    "image,species,genus": (
        {},
        "train.csv: which of its columns is meant is not clear; set dataset.label_column. Its"
        " columns are 'image', 'species', 'genus'.",
    ),
    "image,label,label": ({}, "train.csv: has two columns 'label'; rename one of them."),
    "image,label": (
        {"label_column": "lable"},
        "train.csv: has no column 'lable', which dataset.label_column names. Did you mean 'label'?"
        " Its columns are 'image', 'label'.",
    ),
    "image,label,x": (
        {"image_column": "label", "label_column": "label"},
        "dataset.label_column: column 'label' is named for something else too.",
    ),
    "label": (
        {},
        "train.csv: its first line should name two columns at least, for images and labels.",
    ),
}


@pytest.mark.parametrize("header", UNCLEAR)
def test_columns_that_are_not_clear_are_listed(images: Path, header: str) -> None:
    fields, sentence = UNCLEAR[header]
    write(images / "train.csv", f"{header}\n")
    assert refusal(images, **fields) == [sentence]


def test_what_is_wrong_is_named_by_line(images: Path) -> None:
    (images / "folder.png").mkdir()
    rows = [
        ("image", "label", "group", "split"),
        ("a.png", "x", "g", "train"),
        ("gone.png", "x", "g", "train"),
        ("b.png", " ", "g", "train"),
        ("", "x", "g", "train"),
        ("a.png", "y", "g", "train"),
        ("c.png", "x", "g"),
        ("../c.png", "x", "g", "train"),
        ("/etc/c.png", "x", "g", "train"),
        ("c.png", "x", "", "train"),
        ("c.png", "x", "g", ""),
        ("folder.png", "x", "g", "train"),
        ("c.png", "x" * 300, "g", "train"),
        ("c.png", "x\ny", "g", "train"),
        ("d.png", "x", "g", "train"),
        ("./d.png", "x", "h", "train"),
    ]
    outside = f"is not inside {images}; set dataset.root to the folder of all images"
    assert refusal(write(images / "all.csv", rows)) == [
        "all.csv: 13 rows are wrong:",
        "  line 3: 'gone.png' cannot be found: No such file or directory",
        "  line 4: its label is empty",
        "  line 5: its path is empty",
        "  line 6: labels 'a.png' 'y', but line 2 labels it 'x'",
        "  line 7: has 3 fields, but the header has 4",
        f"  line 8: '../c.png' {outside}",
        f"  line 9: '/etc/c.png' {outside}",
        "  line 10: its group is empty",
        "  line 11: its split is empty",
        "  line 12: 'folder.png' is no file",
        "  line 13: its label has 300 characters; at most 255 are allowed",
        "  line 14: its label 'x\\ny' has a line end or another control character",
        "  line 17: puts 'd.png' in another group than line 16",
    ]


def test_many_faults_are_counted(images: Path) -> None:
    rows = [("image", "label"), *((f"{number}.png", "x") for number in range(1000))]
    lines = refusal(write(images / "train.csv", rows).parent)
    assert lines[0] == "train.csv: 1000 rows are wrong:"
    assert lines[20:] == [
        "  line 21: '19.png' cannot be found: No such file or directory",
        "  and 980 more",
    ]


def test_rows_of_json_are_checked_one_by_one(images: Path) -> None:
    lines = [
        '{"image": "a.png", "label": 3}',
        "",
        '{"image": "b.png", "label": true}',
        '{"image": "c.png"}',
        '{"image": "c.png", "label": NaN}',
        '{"image": "c.png", "label": {"name": "x"}}',
        '{"image": "c.png", "label": ["x"]}',
        '{"image": ["c.png"], "label": "x"}',
        '{"image": "c.png", "label": "\\ud800"}',
        '{"image": "c\\u0000.png", "label": "x"}',
        "[1]",
        '{"image": "c.png", ',
        "[" * 100_000,
        '{"image": "c.png", "label": ' + "9" * 5000 + "}",
    ]
    table = write(images / "train.jsonl", "\n".join(lines))
    assert refusal(images) == [
        "train.jsonl: 11 rows are wrong:",
        "  line 4: its label is empty",
        "  line 5: its label is empty",
        "  line 6: 'label' should be text or a list of texts",
        "  line 7: has a list of labels; dataset.targets: multi_label allows that",
        "  line 8: should have one path, not a list",
        "  line 9: has half a surrogate pair, which is no character",
        "  line 10: its path has a zero byte",
        "  line 11: should be an object of JSON, in braces",
        "  line 12: is not JSON: Expecting property name enclosed in double quotes",
        "  line 13: is not JSON: a number is too long, or it is nested too deeply",
        "  line 14: is not JSON: a number is too long, or it is nested too deeply",
    ]
    write(table, "\n".join(lines[:3]))
    assert contents(opened(images)) == [("a.png", "3"), ("b.png", "true")]


DAMAGED: dict[str, tuple[bytes, str]] = {
    "latin 1": (
        "image,label\na.png,x\nb.png,été\n".encode("latin-1"),
        "train.csv, line 3: is not UTF-8 text, by its byte 6; save the table as UTF-8.",
    ),
    "utf-16": (
        "image,label\na.png,x\n".encode("utf-16"),
        "train.csv, line 1: is UTF-16 text; save the table as UTF-8.",
    ),
    "open quote": (
        b'image,label\na.png,x\nb.png,"y\nc.png,z\n',
        "train.csv, line 3: is not a row of CSV: unexpected end of data.",
    ),
    "no rows": (b"image,label\n\n", "train.csv: has no image."),
    "empty": (
        b"",
        "train.csv: its first line should name two columns at least, for images and labels.",
    ),
    "many columns": (
        ",".join(f"c{number}" for number in range(20_000)).encode(),
        "train.csv: has 20000 columns; at most 16384 are allowed.",
    ),
    "long line": (
        b"image,label\n" + b"x" * (1 << 21),
        "train.csv, line 2: is longer than 1048576 bytes.",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_file_that_is_no_table_is_refused(images: Path, damage: str) -> None:
    content, sentence = DAMAGED[damage]
    write(images / "train.csv", content)
    assert refusal(images) == [sentence]


def test_a_quoted_line_end_counts(images: Path) -> None:
    write(images / "train.csv", 'image,label,note\na.png,x,"two\nlines"\ngone.png,x,\n')
    assert refusal(images)[1].startswith("  line 4: 'gone.png'")


def test_repeated_rows_are_left_out(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [("image", "label"), ("a.png", "x"), ("b.png", "y"), ("./a.png", "x"), ("c.png", "x")]
    with caplog.at_level(logging.WARNING):
        source = opened(write(images / "train.csv", [*rows, ("b.png", "y")]).parent)
    assert contents(source) == [("a.png", "x"), ("b.png", "y"), ("c.png", "x")]
    assert "left out 2 rows that repeat others, the first in line 4" in caplog.text


def test_root_says_which_images_may_be_read(images: Path) -> None:
    (images / "tables").mkdir()
    rows = [("image", "label"), (str(images / "a.png"), "x"), ("b.png", "x")]
    table = write(images / "tables" / "train.csv", rows)
    for root in ("..", str(images)):
        assert contents(opened(table.parent, root=root)) == [("a.png", "x"), ("b.png", "x")]
    write(table, [("image", "label"), ("../a.png", "x")])
    assert refusal(table.parent)[1].startswith("  line 2: '../a.png' is not inside")


@pytest.mark.parametrize("root", ["/data", "..", "images/../.."])
def test_a_download_reads_only_its_own_images(root: str) -> None:
    dataset = {"format": "table", "path": "x", "url": "http://x/y.zip", "root": root}
    with pytest.raises(SpecError, match=r"root should be a folder inside the dataset"):
        load_spec(experiment(Path("x"), dataset=dataset))


def test_the_folder_of_a_downloaded_table_is_not_that_of_its_images(images: Path) -> None:
    (images / "unpacked" / "images" / "train").mkdir(parents=True)
    write(images / "unpacked" / "labels.csv", "image,label\n")
    entries = TableDataset(path="x").expected_entries()
    assert dataset_root(images / "unpacked", entries) == images / "unpacked"
    write(images / "unpacked" / "images" / "train.csv", "image,label\n")
    assert dataset_root(images / "unpacked", entries) == images / "unpacked" / "images"


def test_splits_are_rows_or_tables(images: Path) -> None:
    rows = [("image", "label", "split"), ("a.png", "x", "train"), ("b.png", "x", "test")]
    only = write(images / "labels.csv", rows)
    assert contents(opened(images, "test")) == [("b.png", "x")]
    assert refusal(only, "tset") == [
        "labels.csv: has no split 'tset' in its column 'split'. Did you mean 'test'? It has 'test',"
        " 'train'; dataset.splits names those to train and to validate on."
    ]
    write(images / "val.tsv", csv_text([("image", "label"), ("c.png", "x")], "\t"))
    assert contents(opened(images, "val")) == [("c.png", "x")]
    assert refusal(images, "train") == [
        f"{images}: the table of the split 'train' could be any of labels.csv, val.tsv; set"
        " dataset.path to one of them, or the names in dataset.splits to those of tables."
    ]
    assert contents(opened(images, "labels.csv", split_column=None)) == [
        ("a.png", "x"),
        ("b.png", "x"),
    ]
    (images / "deep").mkdir()
    (images / "a.png").rename(images / "deep" / "a.png")
    write(images / "deep" / "metadata.csv", [("file_name", "label"), ("a.png", "x")])
    assert contents(opened(images, "deep")) == [("a.png", "x")]


def test_a_table_without_splits_is_opened_as_a_whole(images: Path) -> None:
    rows = [
        ("image", "label", "patient"),
        ("a.png", "x", "é"),
        ("b.png", "y", "é"),
        ("c.png", "x", "p"),
    ]
    table = write(images / "labels.csv", rows)
    dataset = TableDataset(path=str(table), label_column="label", group_column="patient")
    source = dataset.open_all(table)
    assert contents(source) == [("a.png", "x"), ("b.png", "y"), ("c.png", "x")]
    assert source.groups is not None
    assert source.groups.tolist() == [0, 0, 1]
    assert source.groups.dtype == "int32"
    with pytest.raises(DatasetError, match=r"no column of splits, in which to find 'train'"):
        dataset.open(table, "train")
    with pytest.raises(DatasetError, match=r"has splits of its own, in its column 'patient'"):
        TableDataset(path="x", label_column="label", split_column="patient").open_all(table)


def test_a_class_is_the_same_in_every_unicode_form(images: Path) -> None:
    rows = [("image", "label"), ("a.png", "e\u0301te\u0301"), ("b.png", "\u00e9t\u00e9")]
    write(images / "train.csv", rows)
    assert contents(opened(images)) == [("a.png", "e\u0301te\u0301"), ("b.png", "e\u0301te\u0301")]
    assert opened(images, classes=("\u00e9t\u00e9",)).labels.tolist() == [0, 0]


def test_classes_of_validation_are_those_of_training(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(images / "val.csv", [("image", "label"), ("a.png", "y"), ("b.png", "y")])
    with caplog.at_level(logging.WARNING):
        source = opened(images, "val", ("z", "y", "x"))
    assert source.labels.tolist() == [1, 1]
    assert "no image of 'z', 'x' in this split" in caplog.text
    with pytest.raises(DatasetError, match=r"line 2: its label 'y' is none of the training images"):
        opened(images, "val", ("x",))


def test_several_labels_are_in_one_column_or_in_one_for_each_class(images: Path) -> None:
    expected = [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    tables: dict[str, tuple[str, dict[str, Any]]] = {
        "separated.csv": ("image,tags\na.png,x; z;x\nb.png,\nc.png,y;\n", {}),
        "bars.csv": ("image,tags\na.png,x|z\nb.png,\nc.png,y\n", {"separator": "|"}),
        "lists.jsonl": (
            '{"image": "a.png", "tags": ["z", "x"]}\n{"image": "b.png", "tags": []}\n'
            '{"image": "c.png", "tags": "y"}\n',
            {},
        ),
        "columns.csv": (
            "z,image,x,y\n1,a.png,1.0,0\n0,b.png,False,0\n0,c.png,0,True\n",
            {"label_columns": ("z", "x", "y")},
        ),
    }
    for name, (text, fields) in tables.items():
        write(images / name, text)
        source = opened(images, name, targets="multi_label", **fields)
        assert source.classes == ("x", "y", "z"), name
        assert source.labels.dtype == "float32", name
        assert source.labels.tolist() == expected, name
        other = opened(images, name, ("z", "x", "y"), targets="multi_label", **fields)
        assert other.labels.tolist() == np.array(expected)[:, [2, 0, 1]].tolist(), name


def test_a_separator_that_separates_nothing_is_said(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(images / "train.csv", "image,label\na.png,x|y\nb.png,y\n")
    with caplog.at_level(logging.WARNING):
        opened(images, targets="multi_label", separator="|")
        assert not caplog.text
        assert opened(images, targets="multi_label").classes == ("x|y", "y")
    assert "no row has two labels with ';' between" in caplog.text


def test_columns_of_classes_with_one_label_each(images: Path) -> None:
    write(images / "train.csv", "image,b,a\na.png,0,1\nb.png,1,0\n")
    source = opened(images, label_columns=("b", "a"))
    assert contents(source) == [("a.png", "a"), ("b.png", "b")]
    assert source.labels.dtype == "int32"
    write(images / "train.csv", "image,b,a\na.png,1,1\nb.png,0,-1\n")
    assert refusal(images, label_columns=("b", "a"))[1:] == [
        "  line 2: has 2 labels, not one; dataset.targets: multi_label allows that",
        "  line 3: has '-1' in 'a', not 0 or 1",
    ]


def test_a_missing_image_is_skipped_where_broken_ones_are(images: Path) -> None:
    for split, rows in {"train": ["gone.png", "a.png", "b.png"], "val": ["c.png", "d.png"]}.items():
        labeled = zip(rows, "xxy", strict=False)
        write(images / f"{split}.csv", [("image", "label"), *labeled])
    write(images / "val.csv", [("image", "label"), ("c.png", "x"), ("d.png", "y")])
    dataset = {"format": "table", "path": str(images), "broken": "skip"}
    opened_images = open_images(load_spec(experiment(images, dataset=dataset, batch_size=1)))
    assert opened_images.skipped == {"train": 1, "val": 0}
    assert contents(opened_images.train) == [("a.png", "x"), ("b.png", "y")]
