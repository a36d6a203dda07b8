from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isotune.data.parquet import groups
from isotune.data.sources.table import TableDataset
from isotune.errors import DatasetError

Save = Callable[..., Path]


def write(path: Path, columns: dict[str, Any]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    return path


def refusal(table: Path) -> list[str]:
    with pytest.raises(DatasetError) as error:
        TableDataset(path=str(table)).open_all(table)
    return str(error.value).replace(f"{table.parent}/", "").splitlines()


def test_rows_of_parquet_are_images(save: Save, tmp_path: Path) -> None:
    for name in "abc":
        save(f"{name}.png")
    paths = ["c.png", "a.png", "b.png"]
    table = write(
        tmp_path / "t.parquet", {"image": paths, "label": [10, 9, 10], "group": list("xyx")}
    )
    source = TableDataset(path=str(table)).open_all(table)
    assert [source.name(index) for index in range(3)] == paths
    assert source.classes == ("10", "9")
    assert source.labels.tolist() == [0, 1, 0]
    assert source.groups is not None
    assert source.groups.tolist() == [0, 1, 0]
    write(table, {"image": paths, "label": [["y", "x"], [], ["x"]]})
    source = TableDataset(path=str(table), targets="multi_label").open_all(table)
    assert source.labels.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_what_is_wrong_with_parquet_is_named_by_row(save: Save, tmp_path: Path) -> None:
    save("a.png")
    table = write(
        tmp_path / "t.parquet", {"image": ["a.png", "b.png", None], "label": ["x", "x", "y"]}
    )
    assert refusal(table) == [
        "t.parquet: 2 rows are wrong:",
        "  row 2: 'b.png' cannot be found: No such file or directory",
        "  row 3: its path is empty",
    ]
    write(table, {"image": [{"bytes": b"x", "path": "a.png"}], "label": ["x"]})
    assert "its column 'image' should be text" in refusal(table)[0]
    table.write_bytes(table.read_bytes()[:-9])
    assert refusal(table)[0].startswith("t.parquet: cannot be read as Parquet:")


def test_a_row_group_that_is_too_large_is_refused(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("a.png")
    table = write(tmp_path / "t.parquet", {"image": ["a.png"], "label": ["x"]})
    monkeypatch.setattr(groups, "MAX_GROUP", 10)
    assert refusal(table)[0].startswith("t.parquet: its row group 0 has ")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").touch()
    assert refusal(tmp_path / "t.parquet")[0].endswith(
        '`pip install "isotune[parquet]"` installs it.'
    )
