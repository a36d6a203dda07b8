"""``isotune bench``: what it writes and shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from measured import install_numpy, make_loops

TINY = ("--backend", "numpy", "--model", "linear", "--batch", 4, "--size", 8, "--steps", 2)


def test_results_a_page_and_a_plot(
    isotune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    install_numpy(tmp_path / "installed", monkeypatch)
    loops = make_loops(tmp_path / "native")
    written = ("--output", "out/a.json", "--plot", "out/a.svg", "--native", loops)
    result = isotune("bench", *TINY, "--mode", "finetune", "--images", 8, *written)
    assert result.exit_code == 0, result.output
    assert "wrote out/a.json" in result.stdout and "native numpy" in result.stdout
    assert "native step: numpy, linear, batch 4, finetune, fp32: 10.0 ms" in result.stderr
    assert len(json.loads(Path("out/a.json").read_text())["measurements"]) == 4
    page = Path("out/a.md").read_text()
    assert "| linear | 4 | 8 | finetune | fp32 | no | numpy | cpu | native | 0.50 | 10.0 |" in page
    assert Path("out/a.svg").read_text().startswith("<?xml")

    result = isotune("bench", *TINY, "--pictures", 0, "--output", "out/b.json")  # the former name
    assert result.exit_code == 0 and "data" not in result.stderr

    compared = isotune("bench", "compare", "out/a.json", "out/a.json")
    assert compared.exit_code == 0 and "geometric mean" in compared.stdout
    compared = isotune("bench", "compare", "out/a.json", "out/a.json", "--markdown")
    assert compared.stdout.startswith("| model |")


def test_predictions_are_measured_instead(isotune, run: Path) -> None:
    result = isotune("bench", "--run", "nowhere.onnx", "--batch", 2, "--steps", 1)
    assert result.exit_code == 1
    assert "nowhere.onnx: cannot be read: No such file" in result.stderr
    assert "nothing could be measured" in result.stderr
    result = isotune("bench", "--run", run, "--model", "lenet", "--compile")
    assert result.exit_code == 2
    assert "--model and --compile go with training steps, and --run measures" in result.stderr


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("--mode", "frosen"), "there is no mode 'frosen'. Did you mean 'frozen'?"),
        (("--output", "bench.txt"), "should end in .json"),
        (("--plot", "bench.bmp"), "should end in .png, .pdf, .svg"),
        (("--data", "nowhere"), "nowhere: should be a folder with train/ and val/."),
    ],
)
def test_a_wrong_call_measures_nothing(isotune, call: tuple[str, str], words: str) -> None:
    result = isotune("bench", *TINY, *call)
    assert result.exit_code == 2 and words in result.stderr
    assert not Path("bench.json").exists()
