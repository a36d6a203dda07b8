from __future__ import annotations

import pytest

from isotune.reports.splits import split_table


def test_every_class_and_split_has_its_total():
    table = split_table(["ants", "bees"], {"train": [1123, 121], "val": [70, 83]})
    assert list(table.columns) == ["class", "train", "val", "total"]
    assert table.rows == [
        ("ants", "1,123", "70", "1,193"),
        ("bees", "121", "83", "204"),
        ("total", "1,244", "153", "1,397"),
    ]


@pytest.mark.parametrize(("classes", "rows"), [(20, 21), (21, 21), (1000, 21)])
def test_many_classes_are_shortened_and_nothing_is_lost(classes: int, rows: int):
    counts = {"train": list(range(classes)), "val": [2] * classes}
    table = split_table([f"c{number}" for number in range(classes)], counts)
    assert len(table.rows) == rows
    assert table.rows[-1][2] == f"{2 * classes:,}"
    if classes > 20:
        name, train, val, _ = table.rows[-2]
        assert name == f"({classes - 19} more)"
        assert (train, val) == (f"{sum(range(19, classes)):,}", f"{2 * (classes - 19):,}")
