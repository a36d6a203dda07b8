"""What docs/traces.md says about the files: its Python runs, and does what Isotune does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.equivalence.traces import sampling
from isotune.equivalence.traces.document import StepPart, TraceDocument
from isotune.equivalence.traces.file import write_trace
from isotune.interfaces.checkpoint import digest
from made_traces import full_trace

PAGE = (Path(__file__).parents[3] / "docs" / "traces.md").read_text("utf-8")
READING, HASHING, SAMPLING = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def defined(code: str) -> dict[str, Any]:
    """Runs a block of the page and returns what it defines."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_its_rule_of_sampling_is_the_one() -> None:
    positions = defined(SAMPLING)["positions"]
    for shape in [(), (0,), (512,), (513,), (64, 3, 7, 7), (32, 2048), (1 << 15, 1 << 10)]:
        for name in (
            "forward/layer1.0.conv1",
            "state/fc.weight/momentum_buffer",
            "forward/",
            "drift",
        ):
            expected = sampling.positions(name, shape)
            np.testing.assert_array_equal(positions(name, shape), expected, err_msg=name)
    gradient, slot = (
        positions(f"{name}", (9, 999)) for name in ("gradient/a.b", "state/a.b/exp_avg")
    )
    np.testing.assert_array_equal(gradient, slot)


def test_its_hash_is_the_one() -> None:
    arrays = {"b": np.arange(6, dtype=np.int32).reshape(2, 3), "a": np.float32(2) * np.ones(3)}
    assert defined(HASHING)["digest"](arrays) == digest(arrays)


def test_its_reader_reads_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = full_trace()
    write_trace(tmp_path / "a.trace", made)
    monkeypatch.chdir(tmp_path)
    arrays = defined(READING)["arrays"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(made.steps[0].values)
    drift = made.drift
    assert drift is not None
    np.testing.assert_array_equal(arrays["drift/losses/1 ulp"], drift.losses["1 ulp"])


def test_it_names_every_key() -> None:
    for model in (TraceDocument, StepPart):
        for key in model.model_fields:
            assert f"`{key}`" in PAGE, key
