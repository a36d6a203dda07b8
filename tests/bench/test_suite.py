from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from isotune.bench.memory import peak_memory_mib
from isotune.bench.processes import last_object
from isotune.bench.results import markdown, read_results, step_table
from isotune.bench.setting import Setting
from isotune.bench.suite import Suite, settings
from isotune.bench.synthetic import make_dataset
from isotune.errors import IsotuneError, RunError
from tiny import make_images

TINY = Setting(backend="numpy", model="linear", batch=4, size=8, steps=2)


def test_isotune_is_measured_beside_the_hand_written_loop(
    numpy_installed: None, loops: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    data = make_images(tmp_path / "images")
    wanted = settings(["numpy"], ["linear"], [4], ["finetune"], ["fp32"], TINY)
    results = Suite(wanted, data, loops).run(told.append)
    kinds = [(m["kind"], m["by"]) for m in results["measurements"]]
    assert kinds == [
        ("step", "isotune"),
        ("step", "native"),
        ("data", "isotune"),
        ("data", "native"),
    ]
    assert all("figures" in m for m in results["measurements"]), results
    assert len(told) == 4
    text = json.dumps(results, allow_nan=False)
    assert str(tmp_path) not in text, "results tell no path of the machine"
    assert results["measurements"][3]["figures"]["images_per_second"] == {"first": 52.0}
    isotune, native = results["measurements"][:2]
    ratio = f"{isotune['figures']['step_ms'] / native['figures']['step_ms']:.3f}"
    rows = step_table(results).rows
    assert (rows[0][-1], rows[1][-1]) == (ratio, "-")
    assert rows[1][9:14] == ("0.50", "10.0", "1.0", "400.0", "100")


def test_data_pipelines_stand_side_by_side_whatever_models_compute_in(
    numpy_installed: None, loops: Path, tmp_path: Path
) -> None:
    data = make_images(tmp_path / "images")
    results = Suite([replace(TINY, precision="bf16", compile=True)], data, loops).run()
    good = [(m["kind"], m["by"]) for m in results["measurements"] if "figures" in m]
    assert good == [("data", "isotune"), ("data", "native")]


def test_what_cannot_be_measured_is_kept_as_an_error(numpy_installed: None) -> None:
    wanted = settings(["numpy", "absent"], ["linear"], [4], ["finetune"], ["fp32"], TINY)
    results = Suite(wanted).run()
    good, bad = results["measurements"]
    assert "figures" in good and "there is no backend 'absent'" in bad["error"]
    assert "Not measured:\n\n- isotune step, absent, linear: there is no" in markdown(results)
    with pytest.raises(IsotuneError, match="nothing could be measured"):
        Suite(wanted[1:]).run()


def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(IsotuneError, match="ended with 3: it broke"):
        last_object(["sh", "-c", "echo it broke >&2; exit 3"])
    with pytest.raises(IsotuneError, match="ended with 0: no object"):
        last_object(["sh", "-c", "echo no object"])


def test_peak_memory_is_this_process_and_not_who_started_it() -> None:
    code = "from isotune.bench.memory import peak_memory_mib as p; print('{\"m\": %f}' % p())"
    ballast = bytearray(300 << 20)
    ballast[:: 1 << 12] = b"1" * len(ballast[:: 1 << 12])
    small = last_object([sys.executable, "-c", code])["m"]
    large = peak_memory_mib()
    assert large is not None and small < 200 and large > 300


def test_other_files_are_no_results(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    for name, words in (("other", "is not a file"), ("broken", "no JSON"), ("no", "cannot be")):
        with pytest.raises(RunError, match=words):
            read_results(tmp_path / f"{name}.json")


def test_generated_images_are_a_dataset(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "made", train=2, val=1)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.jpg"))
    assert len(names) == 6 and names[0] == "train/first/00000.jpg"
    again = make_dataset(tmp_path / "again", train=2, val=1)
    assert (folder / names[0]).read_bytes() == (again / names[0]).read_bytes()
