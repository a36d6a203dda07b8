from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import pairs
from pairs import Deadline, Part, measure, ratios
from tables import part_table


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pairs, "RESULTS", tmp_path)
    return tmp_path


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


def test_sides_take_turns_and_a_later_call_goes_on(results: Path) -> None:
    order: list[tuple[str, int]] = []
    measure(part(order), 1, Deadline(60))
    result = measure(part(order), 3, Deadline(60))
    assert order == [
        ("native", 0), ("isotune", 0), ("isotune", 1), ("native", 1), ("native", 2), ("isotune", 2)
    ]  # fmt: skip
    assert ratios(result, "wall") == [5 / 10, 6 / 11, 7 / 12]
    assert json.loads((results / "tiny.json").read_text())["pairs"] == result["pairs"]
    table = part_table(result)
    assert "| 0.545 | 0.500 to 0.583 | 3 | 0.50 | no |" in table
    assert "| +0.0000 | +0.0000 to +0.0000 | 3 | -0.01 | yes |" in table


def test_nothing_is_measured_without_time() -> None:
    assert measure(part([]), 1, Deadline(0))["pairs"] == []


def test_results_of_other_settings_are_not_mixed() -> None:
    measure(part([], batch=4), 1, Deadline(60))
    with pytest.raises(SystemExit, match="other settings; --fresh"):
        measure(part([], batch=8), 1, Deadline(60))
    assert len(measure(part([], batch=8), 1, Deadline(60), fresh=True)["pairs"]) == 1
