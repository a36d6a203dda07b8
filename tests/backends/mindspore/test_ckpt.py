"""Isotune and MindSpore read each other's checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor, bfloat16, load_checkpoint, save_checkpoint

from isotune.errors import WeightsError
from isotune.weights.formats.read import read_weights
from isotune.weights.formats.write import write_weights

FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


def save(path: Path, **options: object) -> None:
    parts = {"a.weight": Tensor(FLOATS), "b.gamma": Tensor(3.0), "c": Tensor([True, False])}
    parts["half"] = Tensor(FLOATS).astype(bfloat16)
    named = [{"name": name, "data": value} for name, value in parts.items()]
    save_checkpoint(named, str(path), **options)


@pytest.mark.parametrize("crc_check", [False, True])
def test_what_mindspore_writes(tmp_path: Path, crc_check: bool) -> None:
    path = tmp_path / "a.ckpt"
    save(path, append_dict={"epoch": 3, "by": "me"}, crc_check=crc_check)
    found = read_weights(path)
    assert list(found) == ["a.weight", "b.gamma", "c", "half", "epoch"]
    np.testing.assert_array_equal(found["a.weight"], FLOATS, strict=True)
    np.testing.assert_array_equal(found["half"], FLOATS, strict=True)
    np.testing.assert_array_equal(found["c"], [True, False])
    assert (found["b.gamma"].shape, found["epoch"]) == ((), 3)


def test_its_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    named = [{"name": "a.weight", "data": Tensor(FLOATS)}]
    save_checkpoint(named, str(path), format="safetensors")
    np.testing.assert_array_equal(read_weights(path)["a.weight"], FLOATS, strict=True)


@pytest.mark.parametrize("mode", ["AES-GCM", "AES-CBC", "SM4-CBC"])
def test_encrypted_files_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.ckpt"
    save(path, enc_key=b"0123456789abcdef", enc_mode=mode)
    with pytest.raises(WeightsError, match="it is encrypted"):
        read_weights(path)


def test_mindspore_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    state = {
        f"bn.{name}": np.full(2, value, np.float32)
        for value, name in enumerate(["weight", "bias", "running_mean", "running_var"])
    }
    write_weights(path, {**state, "fc.weight": FLOATS, "fc.bias": np.array(1, np.float16)})
    found = {name: value.asnumpy() for name, value in load_checkpoint(str(path)).items()}
    names = ["bn.gamma", "bn.beta", "bn.moving_mean", "bn.moving_variance"]
    assert list(found) == [*names, "fc.weight", "fc.bias"]
    for value, name in enumerate(names):
        np.testing.assert_array_equal(found[name], np.full(2, value, np.float32), strict=True)
    np.testing.assert_array_equal(found["fc.weight"], FLOATS, strict=True)
    np.testing.assert_array_equal(found["fc.bias"], np.array(1, np.float16), strict=True)
