"""A metric that is in the table appears wherever metrics do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import isotune as package
from isotune.metrics import METRICS
from isotune.metrics.metric import Metric

NAME = "error_rate"
ERROR = Metric(
    NAME, "error rate", lambda s: float((s.predicted != s.labels).mean()), False, "percent"
)


def test_a_metric_appears_by_itself(
    isotune, spec: Path, run: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(METRICS, NAME, ERROR)
    options = ["--set", f"metrics=[{NAME}, macro_f1]", "--set", f"checkpoint.monitor=val_{NAME}"]
    options += ["--set", f"early_stopping={{monitor: val_{NAME}, patience: 1, min_delta: 0.9}}"]
    options += ["--set", "epochs=9", "--set", "evaluation.start=2", "--set", "clip_grad_norm=1"]
    result = isotune("run", spec, "--backend", "numpy", "-o", "out", *options)
    assert result.exit_code == 0, result.output

    first, *others = map(json.loads, Path("out/metrics.jsonl").read_text().splitlines())
    assert first[f"val_{NAME}"] is None
    assert [line["epoch"] for line in others] == [2, 3], "early stopping after the third"
    best = min(others, key=lambda line: line[f"val_{NAME}"])
    assert json.loads(Path("out/summary.json").read_text())["best"] == best
    assert best[f"val_{NAME}"] == pytest.approx(1 - best["val_accuracy"])

    shown = f"{100 * best[f'val_{NAME}']:.1f}%"
    lines = result.stdout.splitlines()
    heading = next(line for line in lines if line.startswith("  epoch"))
    row = next(line for line in lines if line.split()[:1] == [f"{best['epoch']}/9"])
    end = heading.index("error rate") + len("error rate")
    assert heading[:end].endswith("accuracy  grad norm  error rate")
    assert row[:end].endswith(f"  {shown}")
    assert f"  {best['grad_norm']:.4f}  " in row[:end]
    assert f"best val error rate {100 * best[f'val_{NAME}']:.2f}%" in result.stdout

    evaluated = package.open_run("out").evaluate()
    lines = [line.split() for line in isotune("evaluate", "out").stdout.splitlines()]
    assert ["error", "rate", f"{100 - 100 * evaluated.accuracy:.2f}%"] in lines
    assert NAME in json.loads(isotune("evaluate", "out", "--json").stdout)

    compared = isotune("compare", run, "out").stdout.splitlines()
    [line] = [line.split() for line in compared if line.startswith("best epoch's error rate")]
    assert line[4:] == ["-", f"{100 * best[f'val_{NAME}']:.2f}%"]
    names = "grad norm 1  grad norm 2  val error rate 1  val error rate 2"
    assert any(names in line for line in compared)

    panels = package.show_curves([run, Path("out")]).axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles[:3] == ["loss", "accuracy", "learning rate"]
    assert titles[3:] == ["grad norm", "error rate", "macro F1"]
    expected = [line[f"val_{NAME}"] for line in others]
    assert list(panels[4].lines[0].get_ydata()) == expected


def test_metrics_may_be_added_when_a_run_goes_on(isotune, run: Path):
    result = isotune("resume", run, "--set", "epochs=3", "--set", "metrics=[roc_auc]")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert ["val_roc_auc" in line for line in lines] == [False, False, True]
    figures = isotune("compare", run, run, "--json")
    assert figures.exit_code == 0, figures.output
