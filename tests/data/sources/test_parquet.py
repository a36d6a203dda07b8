"""Parquet files with encoded images: which columns are meant, and what is said of wrong files."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from containers import IMAGE, write_parquet
from isotune.data.integrity.check import find_broken
from isotune.data.parquet import groups
from isotune.data.parquet.groups import GroupCache
from isotune.data.sources.joined import Joined
from isotune.data.sources.parquet import ParquetDataset
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource

pytest.importorskip("pyarrow", exc_type=ImportError)

LABEL = {"names": ["ant", "bee"], "_type": "ClassLabel"}
FEATURES = {"image": IMAGE, "label": LABEL}


CONTENT = np.random.default_rng(0).bytes(5000)


def row(label: Any = 0, image: Any = b"1", **others: Any) -> dict[str, Any]:
    return {"image": {"bytes": image, "path": "x/1.jpg"}, "label": label, **others}


def opened(folder: Path, split: str = "train", **options: Any) -> ImageSource:
    return ParquetDataset(path=str(folder), **options).open(folder, split)


def test_rows_are_named_by_their_file(tmp_path: Path) -> None:
    for number, rows in enumerate(([row(), row(1), row()], [row(1)])):
        name = f"data/train-{number:05}-of-00002.parquet"
        write_parquet(tmp_path / name, rows, FEATURES)
    source = opened(tmp_path)
    assert (source.classes, source.labels.tolist()) == (("ant", "bee"), [0, 1, 0, 1])
    assert source.name(2) == "data/train-00000-of-00002.parquet[2]"
    assert source.identify(3) == f"{tmp_path}/data/train-00001-of-00002.parquet[0]"
    dataset = ParquetDataset(path=str(tmp_path))
    assert dataset.open(tmp_path, "data/train-*.parquet", ("bee", "ant")).labels[0] == 1
    single = write_parquet(tmp_path / "all.parquet", [row(), row(1)], FEATURES)
    assert len(dataset.open_all(single)) == 2


def test_several_labels_groups_and_columns_of_classes(tmp_path: Path) -> None:
    rows = [row([1, 0], camera="n", a=1, b=0), row([], camera="s", a=0, b=0)]
    for kind in ("Sequence", "List"):
        features = {"image": IMAGE, "label": {"feature": LABEL, "_type": kind}}
        write_parquet(tmp_path / "train.parquet", rows, features)
        source = opened(tmp_path, targets="multi_label", group_column="camera")
        assert source.labels.tolist() == [[1, 1], [0, 0]]
        assert source.labels.dtype == "float32"
        assert source.groups is not None
        assert source.groups.tolist() == [0, 1]
    source = opened(tmp_path, targets="multi_label", label_columns=["a", "b"])
    assert (source.classes, source.labels.tolist()) == (("a", "b"), [[1, 0], [0, 0]])


def test_a_group_is_the_same_in_all_splits(tmp_path: Path) -> None:
    for split, cameras in {"train": ["n", "s"], "val": ["w", "s"]}.items():
        rows = [row(label, camera=camera) for label, camera in enumerate(cameras)]
        write_parquet(tmp_path / f"{split}.parquet", rows, FEATURES)
    parts = {split: opened(tmp_path, split, group_column="camera") for split in ("train", "val")}
    joined = Joined(parts)
    assert joined.groups is not None
    assert joined.groups.tolist() == [0, 1, 2, 1]
    assert joined.group_names == ("n", "s", "w")


@pytest.mark.parametrize(
    ("labels", "classes"), [([10, 9, 10], ("10", "9")), (["b", "a", "b"], ("a", "b"))]
)
def test_labels_that_are_not_described_are_classes(
    labels: list[Any], classes: tuple[str, ...], tmp_path: Path
) -> None:
    rows = [{"jpg": b"1", "target": label, "caption": "?"} for label in labels]
    write_parquet(tmp_path / "train.parquet", rows)
    source = opened(tmp_path)
    assert [source.classes[label] for label in source.labels] == [str(label) for label in labels]
    assert source.classes == classes


@pytest.mark.parametrize(
    ("rows", "features", "options", "sentence"),
    [
        ([row(), row(2)], FEATURES, {}, r"parquet\[1\]: its label 2 is no position .*, 0 to 1"),
        ([row(), row(-1)], FEATURES, {}, r"parquet\[1\]: its label -1 is no position"),
        ([row(), row(None)], FEATURES, {}, r"parquet\[1\]: its label is empty"),
        ([row(fine=0)], {**FEATURES, "fine": LABEL}, {}, None),
        ([{**row(), "label": 0, "labels": 1}], {"image": IMAGE}, {}, "dataset.label_column to one"),
        (
            [row()],
            FEATURES,
            {"label_column": "lable"},
            "has no column 'lable'.*Did you mean 'label'",
        ),
        ([{"image": "a.jpg", "label": 0}], {}, {}, r"'image' does not hold the bytes .* 'table'"),
        ([row()], {"image": 3}, {}, "metadata 'huggingface' should describe its columns"),
        ([row([0])], {"image": IMAGE, "label": [LABEL]}, {}, "targets: multi_label allows that"),
        ([{"a": b"1", "b": b"2", "label": 0}], {}, {}, "dataset.image_column"),
    ],
)
def test_a_wrong_file_is_one_error(
    rows: Any, features: Any, options: Any, sentence: str | None, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "train.parquet", rows, features)
    if sentence is None:  # the usual name decides between two described columns
        assert len(opened(tmp_path, **options)) == len(rows)
        return
    with pytest.raises(DatasetError, match=sentence):
        opened(tmp_path, **options)


def test_damaged_files_and_missing_shards_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "train-00000-of-00002.parquet", [row(), row(1)], FEATURES)
    with pytest.raises(DatasetError, match="file 1 of 0 to 1 is missing"):
        opened(tmp_path)
    other = {**FEATURES, "label": {**LABEL, "names": ["bee", "ant"]}}
    second = write_parquet(tmp_path / "train-00001-of-00002.parquet", [row()], other)
    with pytest.raises(DatasetError, match=r"00001-of-00002\.parquet: .* are others than those of"):
        opened(tmp_path)
    second.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DatasetError, match=r"00001-of-00002\.parquet: cannot be read as Parquet"):
        opened(tmp_path)


def test_a_null_a_damaged_group_and_a_changed_file_are_broken_images(tmp_path: Path) -> None:
    rows = [row(), row(1, None), row(0, CONTENT), row(0, CONTENT[::-1])]
    path = write_parquet(tmp_path / "train.parquet", rows, FEATURES)
    content = bytearray(path.read_bytes())
    content[content.index(CONTENT[:20])] ^= 255
    path.write_bytes(content)
    source = opened(tmp_path)
    reasons = {image.identity: image.reason for image in find_broken(source)}
    assert reasons[f"{path}[1]"] == "is null: it has no bytes of an image"
    assert "cannot be read as parquet" in reasons[f"{path}[3]"]
    path.write_bytes(content)
    assert not source.unchanged()
    with pytest.raises(DatasetError, match="has changed since it was opened"):
        source.load(3)


def test_a_row_group_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "train.parquet", [row(0, bytes(500) + b"1"), row(1)], FEATURES)
    monkeypatch.setattr(groups, "MAX_GROUP", 100)
    with pytest.raises(DatasetError, match=r"row group 0 has [\d,]+ bytes.*row_group_size=100"):
        opened(tmp_path)


def test_a_value_that_rows_repeat_takes_no_more_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(0, b"1" * 5000) for _ in range(100)]
    write_parquet(tmp_path / "train.parquet", rows, FEATURES, group=100)
    monkeypatch.setattr(groups, "MAX_GROUP", 50_000)
    with pytest.raises(DatasetError, match="has a row group of more than 50,000 bytes"):
        opened(tmp_path).load(0)


def test_groups_are_read_once_by_threads_and_few_are_kept() -> None:
    cache, started, go = GroupCache(kept=25), Event(), Event()
    read: list[Any] = []

    def load(key: Any) -> list[bytes | None]:
        read.append(key)
        started.set()
        assert go.wait(10)
        return [bytes(10)]

    key: Any = "a"
    threads = [Thread(target=cache.get, args=(key, load)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert read == ["a"]
    for name in "bcbcab":
        other: Any = name
        assert cache.get(other, load) == [bytes(10)]
    assert read == ["a", "b", "c", "a", "b"]

    def fail(key: Any) -> list[bytes | None]:
        raise OSError("broken")

    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            cache.get(("d",), fail)  # type: ignore[arg-type]
