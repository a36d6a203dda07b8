from __future__ import annotations

from typing import Any

import pytest

from isotune.bench.compare import comparison_table
from isotune.bench.plot import plot
from isotune.bench.setting import Setting
from isotune.errors import RunError


def results(**step_ms: float) -> dict[str, Any]:
    """Returns results of models with these milliseconds a step."""
    return {
        "format": 1,
        "machine": {"cpu": "Abacus", "cpus": 2, "memory_gib": 4.0, "system": "Linux x86_64"},
        "versions": {},
        "measurements": [
            {
                "kind": "step",
                "by": "isotune",
                "setting": Setting("torch", model=model, batch=4).as_json(),
                "figures": {
                    "first_step": 1.0,
                    "step_ms": ms,
                    "step_ms_iqr": 1.0,
                    "images_per_second": 4000 / ms,
                    "peak_memory_mib": None,
                },
            }
            for model, ms in step_ms.items()
        ],
    }


def test_what_both_measured_is_compared() -> None:
    first = results(resnet18=100.0, resnet50=50.0, lenet=1.0)
    second = results(resnet50=200.0, resnet18=100.0, alexnet=2.0)
    table = comparison_table(first, second, ("old", "new"))
    assert [(row[0], row[10], row[11]) for row in table.rows] == [
        ("resnet18", "1.000", "1.000"),
        ("resnet50", "4.000", "0.250"),
        ("geometric mean", "2.000", ""),
    ]


def test_nothing_in_common_is_told() -> None:
    with pytest.raises(RunError, match="old and new have no measured training step in common"):
        comparison_table(results(lenet=1.0), results(vgg16=1.0), ("old", "new"))


def test_every_step_is_a_bar() -> None:
    pytest.importorskip("matplotlib")
    axes = plot(results(resnet18=100.0, lenet=1.0)).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [4000.0, 40.0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[1] == "torch, resnet18, 4, finetune, fp32"
