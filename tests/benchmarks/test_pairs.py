from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from pairs import Deadline, Part, forget, measure, ratios
from report import render
from tables import part_table


def part(order: list[tuple[str, int]], **settings: object) -> Part:
    def side(name: str, value: float):
        def measured(number: int) -> dict[str, float]:
            order.append((name, number))
            return {"wall": value + number, "score": 0.5}

        return measured

    return Part(
        "tiny", "tiny", settings, side("native", 10.0), side("isotune", 5.0),
        ratios={"wall": 0.5}, differences={"score": -0.01},
    )  # fmt: skip


def test_sides_take_turns_and_a_later_call_goes_on(tmp_path: Path) -> None:
    order: list[tuple[str, int]] = []
    measure([part(order)], 1, Deadline(math.inf), folder=tmp_path)
    (result,) = measure([part(order)], 3, Deadline(math.inf), folder=tmp_path)
    assert order == [
        ("native", 0), ("isotune", 0), ("isotune", 1), ("native", 1), ("native", 2), ("isotune", 2)
    ]  # fmt: skip
    assert ratios(result, "wall") == [5 / 10, 6 / 11, 7 / 12]
    assert json.loads((tmp_path / "tiny.json").read_text())["pairs"] == result["pairs"]
    table = part_table(result)
    assert "| 0.545 | 0.500 to 0.583 | 3 | 0.50 | no |" in table
    assert "| +0.0000 | +0.0000 to +0.0000 | 3 | -0.01 | yes |" in table


def test_parts_take_turns(tmp_path: Path) -> None:
    order: list[tuple[str, int]] = []
    measure(
        [part(order), replace(part(order), name="other")], 2, Deadline(math.inf), folder=tmp_path
    )
    assert [number for _, number in order] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_what_a_cache_may_hold_is_no_excess(tmp_path: Path) -> None:
    """The first is 10, the second 7, of which 2 are a cache's."""
    tiny = replace(part([]), second=lambda number: {"wall": 7.0, "score": 0.5})
    for allowance, row in ((0.0, "| 0.50 | no |"), (2.0, "| 0.50 and 2 | yes |")):
        forget(tiny, tmp_path)
        allowed = replace(tiny, allowances={"wall": allowance})
        (result,) = measure([allowed], 1, Deadline(math.inf), tmp_path)
        table = part_table(result)
        assert f"| 0.700 | 0.700 to 0.700 | 1 {row}" in table


def test_nothing_is_measured_without_time(tmp_path: Path) -> None:
    (result,) = measure([part([])], 1, Deadline(0), folder=tmp_path)
    assert result["pairs"] == []


def test_results_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    measure([part([], batch=4)], 1, Deadline(math.inf), folder=tmp_path)
    with pytest.raises(SystemExit, match="other settings; --fresh"):
        measure([part([], batch=8)], 1, Deadline(math.inf), folder=tmp_path)
    forget(part([], batch=8), tmp_path)
    (again,) = measure([part([], batch=8)], 1, Deadline(math.inf), folder=tmp_path)
    assert len(again["pairs"]) == 1


def test_the_page_tells_every_limit_and_is_made_of_the_files_alone(tmp_path: Path) -> None:
    measure([part([], epochs=10, sets=["cache.views=1"])], 1, Deadline(math.inf), folder=tmp_path)
    page = render(tmp_path)
    assert "| tiny | the whole process, s | 0.500 | 0.50 | yes |" in page
    assert "| tiny | score | +0.0000 | -0.01 | yes |" in page
    assert "epochs: 10; set: cache.views=1." in page
    assert str(tmp_path) not in page and render(tmp_path) == page


def test_the_page_can_be_made_of_all_that_was_measured() -> None:
    folder = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
    page = render(folder)
    assert "## Targets" in page and "## isotune bench: bench" in page
