"""Files of traces: what was written is read, and anything else is one sentence."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from isotune.equivalence.traces.file import DIGEST, DOCUMENT, read_trace, write_trace
from isotune.equivalence.traces.sampling import values_of
from isotune.equivalence.traces.trace import Predictions, Trace
from isotune.errors import RunError
from isotune.interfaces.tracer import Layer
from made_traces import full_step, full_trace, values


def assert_same(one: Any, other: Any) -> None:
    """Checks that two parts of traces are the same, to the last bit."""
    assert isinstance(other, np.ndarray) == isinstance(one, np.ndarray)
    if is_dataclass(one):
        assert type(one) is type(other)
        for each in fields(one):
            assert_same(getattr(one, each.name), getattr(other, each.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert repr(one) == repr(other)  # NaN, and 1 is not 1.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.trace"


def written(path: Path, made: Trace) -> Trace:
    write_trace(path, made)
    return read_trace(path)


def test_what_was_written_is_read(path: Path) -> None:
    runs = {
        "output/conv": values()["forward/conv"],
        "parameters/fc.weight/fc": values()["loss/loss"],
    }
    alone = full_step(runs=runs, run_yardsticks={"output/conv": 1e-9}, same_logits=True)
    made = full_trace(steps=(alone, full_step(1, yardsticks={})))
    assert_same(made, written(path, made))
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    write_trace(path, read_trace(path))
    first = path.read_bytes()
    write_trace(path, made)
    assert path.read_bytes() == first, "equal traces give equal bytes"


def test_the_experiment_names_its_version_which_earlier_ones_left_out(path: Path) -> None:
    made = full_trace()
    earlier = {key: value for key, value in made.experiment.items() if key != "isotune"}
    assert_same(made, written(path, replace(made, experiment=earlier)))
    with pytest.raises(RunError, match=r"a\.trace: its experiment: isotune is 2, but"):
        written(path, replace(made, experiment={**earlier, "isotune": 2}))


def test_numbers_that_are_not_finite_are_kept(path: Path) -> None:
    with np.errstate(all="ignore"):
        broken = {
            name: values_of(name, np.full((2, 400), value, np.float32))
            for name, value in (("forward/fc", np.nan), ("forward/bn", -np.inf))
        }
    yardsticks = {"1 ulp": {"forward/fc": float("inf")}}
    made = full_step(loss=float("nan"), values=broken, yardsticks=yardsticks)
    layers = (Layer("pool", "MaxPool2d", {"fill": -float("inf"), "ceil": True, "pad": ()}),)
    made = full_trace(steps=(made,), layers=layers, drift=None, predictions=None)
    assert_same(made, written(path, made))


def test_several_labels_and_a_single_logit_are_kept(path: Path) -> None:
    labels = np.array([[0, 1, 1], [0, 0, 0]], np.float32)
    many = Predictions("0" * 64, labels, {"itself": np.zeros((2, 3), np.float32)})
    assert_same(many, written(path, full_trace(predictions=many)).predictions)
    one = Predictions("0" * 64, labels[0].astype(np.int32), {"itself": np.ones((3, 1), np.float32)})
    two_classes = full_trace(predictions=one, classes=("no", "yes"))
    assert_same(one, written(path, two_classes).predictions)


def test_whole_arrays_are_written_once_and_mapped(path: Path) -> None:
    output = np.random.default_rng(0).standard_normal((100, 1000)).astype(np.float32)
    scalar = np.array(3.0, np.float32)
    whole = {"forward/conv": output, "inputs/bn/0": output, "backward/bn": output[:0], "x": scalar}
    write_trace(path, full_trace())
    without = path.stat().st_size
    found = written(path, full_trace(steps=(full_step(whole=whole), full_step(1)))).steps[0].whole
    assert_same(whole, {name: np.asarray(each) for name, each in found.items()})
    assert path.stat().st_size - without < 1.01 * output.nbytes
    mapped = found["inputs/bn/0"]
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable
    assert mapped is found["forward/conv"]


def test_a_reader_without_isotune_finds_everything(path: Path) -> None:
    made = full_trace()
    write_trace(path, made)
    with safe_open(path, "numpy") as file:  # type: ignore[no-untyped-call]
        text = file.metadata()[DOCUMENT]
        names = set(file.keys())
    assert json.loads(text)["steps"][0]["values"][1]["shape"] == [4, 8, 8, 8]
    assert len(names) == 2 * len(made.steps[0].values) + 2 * 2 + 1 + 2
    samples = load_file(path)["samples/1/forward/conv"]
    np.testing.assert_array_equal(samples, made.steps[1].values["forward/conv"].samples)


def forged(path: Path, change: Callable[[Any, dict[str, Any]], object]) -> str:
    """Changes document and arrays of a trace, with the right hashes, and returns what is said."""
    write_trace(
        path, full_trace(steps=(full_step(whole={"w": np.ones(3, np.float32)}), full_step(1)))
    )
    arrays = load_file(path)
    with safe_open(path, "numpy") as file:  # type: ignore[no-untyped-call]
        document = json.loads(file.metadata()[DOCUMENT])
    change(document, arrays)
    data = b"".join(arrays[name].tobytes() for name in sorted(arrays) if name[:6] != "whole/")
    document["sha256"] = hashlib.sha256(data).hexdigest()
    text = json.dumps(document)
    metadata = {DOCUMENT: text, DIGEST: hashlib.sha256(text.encode()).hexdigest()}
    save_file(arrays, path, metadata)
    with pytest.raises(RunError) as caught:
        read_trace(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and said.isprintable()
    return said.removeprefix(f"{path}: ")


FIRST = "samples/0/forward/conv"
DAMAGED: dict[str, tuple[Callable[[Any, dict[str, Any]], object], str]] = {
    "version": (lambda d, a: d.update(format=2), "has format 2; this Isotune reads format 1."),
    "missing": (lambda d, a: a.pop(FIRST), f"is damaged: it has no array '{FIRST}'."),
    "few": (
        lambda d, a: a.update({FIRST: a[FIRST][:-1]}),
        f"is damaged: '{FIRST}' should be float32 of shape (512).",
    ),
    "integers": (
        lambda d, a: a.update({FIRST: a[FIRST].astype(np.int32)}),
        f"is damaged: '{FIRST}' should be float32 of shape (512).",
    ),
    "double": (
        lambda d, a: a.update({FIRST: a[FIRST].astype(np.float64)}),
        f"has '{FIRST}' of type F64, but should have F32 and I32 alone.",
    ),
    "norm": (
        lambda d, a: d["steps"][0]["values"][1].update(norm="big"),
        "is damaged: steps.0.values.1.norm is 'big', but should be a number.",
    ),
    "negative": (
        lambda d, a: d["steps"][0]["values"][1].update(norm=-1),
        "is damaged: steps.0.values.1.norm is -1, but should be at least 0.",
    ),
    "stage": (
        lambda d, a: d["steps"][0]["values"][1].update(key="sideways/conv"),
        "should have keys that begin with one of input, forward, loss, backward, gradient, update,"
        " state.",
    ),
    "twice": (
        lambda d, a: d["steps"][0]["values"][1].update(key="input/images"),
        "should hold each name once",
    ),
    "terminal": (
        lambda d, a: d["layers"][1].update(kind="\x1b[2J"),
        "is damaged: layers.1.kind is '\\x1b[2J', but should be printable text.",
    ),
    "batch": (
        lambda d, a: d["steps"][0].update(batch="0"),
        "is damaged: steps.0.batch is '0', but should be a SHA-256 in hexadecimal.",
    ),
    "steps": (
        lambda d, a: d["steps"][1].update(step=7),
        "should hold the steps from 0 to 1, each once.",
    ),
    "whole": (
        lambda d, a: d["steps"][0].update(whole={"w": FIRST}),
        f"is damaged: it has no float32 array '{FIRST}'.",
    ),
    "drift": (
        lambda d, a: a.update({"drift/losses/1 ulp": np.zeros(9, np.float32)}),
        "is damaged: 'drift/losses/1 ulp' should be float32 of shape (8).",
    ),
    "itself": (
        lambda d, a: d["drift"].update(changes=["1 ulp"]),
        "is damaged: drift.changes is ['1 ulp'], but should hold itself.",
    ),
    "labels": (
        lambda d, a: a.update({"predictions/labels": np.array(3, np.int32)}),
        "is damaged: it has no array 'predictions/labels' of as many images.",
    ),
    "classes": (
        lambda d, a: d.update(classes=["ants", "bees"]),
        "is damaged: its logits are not of 2 classes.",
    ),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_fault_is_one_sentence(path: Path, fault: str) -> None:
    change, expected = DAMAGED[fault]
    assert expected in forged(path, change)


def test_other_files_are_told_from_traces(path: Path, tmp_path: Path) -> None:
    def said() -> str:
        with pytest.raises(RunError) as caught:
            read_trace(path)
        return str(caught.value).removeprefix(f"{path}: ")

    assert said() == "there is no such trace."
    path.write_bytes(b"<html>")
    assert said() == (
        "is not a file of safetensors: it looks like an HTML page, perhaps an error message saved"
        " by a download."
    )
    save_file({"a": np.zeros(3, np.float32)}, path)
    assert said().startswith("is no trace: its metadata has no isotune.trace;")
    path.unlink()
    write_trace(tmp_path / "other", full_trace())
    path.symlink_to(tmp_path / "other")
    assert said() == "is a link, and links are not followed."
    with pytest.raises(RunError, match="cannot be written: is a link"):
        write_trace(path, full_trace())
    path.unlink()
    os.mkfifo(path)
    assert said() == "is not a regular file."
    path.unlink()
    path.write_bytes((tmp_path / "other").read_bytes()[:-1])
    assert "is cut off: it has" in said()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_no_byte_can_change_unnoticed(path: Path, place: float, flipped: int) -> None:
    made = full_trace(steps=(replace(full_step(), values={}),), layers=())
    write_trace(path, made)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= flipped
    path.write_bytes(data)
    try:
        found = read_trace(path)
    except RunError:
        return
    assert_same(made, found)  # a space may have become other whitespace
