"""Recording: what a trace has is what an ordinary run computes, whatever is watched beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

import zoo
from isotune.equivalence.recording import steps as recording
from isotune.equivalence.recording.passes import ULP, Variant
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import Recording
from isotune.equivalence.traces.sampling import values_of
from isotune.equivalence.traces.trace import ITSELF, Trace, key
from isotune.errors import BackendError, DatasetError, SpecError
from isotune.experiment.result import Run
from isotune.interfaces.tracer import Recorder
from isotune.interfaces.trainer import Trainer
from isotune.runs.checkpoints import CheckpointStore
from isotune.spec.load import load_spec
from numpy_backend.backend import NumpyBackend
from numpy_backend.layers import Array, Linear
from numpy_backend.tracer import NumpyTracer
from several_labels import make_table, several
from tiny import experiment, make_images

EPOCH = Recording(steps=3, drift=3)
"""All steps of an epoch of 9 images."""

ADAM = {"name": "adam", "lr": 0.01}
DROPOUT = {"name": "mlp", "hidden": [6], "dropout": 0.5}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def short(images: Path, **changes: Any) -> dict[str, Any]:
    """Returns an experiment of one epoch."""
    return experiment(images, **{"epochs": 1, "eval_batch_size": 4, **changes})


def traced(spec: dict[str, Any], what: Recording = EPOCH, backend: str = "numpy") -> Trace:
    if backend in zoo.FRAMEWORKS:
        pytest.importorskip(backend)
    return record(load_spec(spec), backend, "cpu", zoo.plugins(backend), what)


def check_course(trace: Trace, run: Run) -> None:
    """Checks that the drift over a whole epoch is that of a run: the same bytes."""
    assert trace.drift is not None and trace.predictions is not None
    losses = trace.drift.losses[ITSELF]
    assert [np.float32(step.loss) for step in trace.steps] == losses[: len(trace.steps)].tolist()
    logits = run.evaluate().logits
    assert trace.predictions.logits[ITSELF].tobytes() == logits.tobytes()


def check_state(trace: Trace, run: Run) -> None:
    """Checks that the state after the last traced step is a run's at its end: the same bytes."""
    last, values = CheckpointStore(run.path / "checkpoints").load("last"), trace.steps[-1].values
    averages = {f"{name}/average": value for name, value in (last.average or {}).items()}
    state = {**last.model, **last.optimizer, **averages}
    kept = {name for name in values if name.startswith("state/")}
    assert kept == {key("state", name) for name in state}
    for name, array in state.items():
        at = key("state", name)
        assert values[at].samples.tobytes() == values_of(at, array).samples.tobytes()


@pytest.mark.parametrize("backend", zoo.ALL)
def test_steps_are_those_of_an_ordinary_run(
    backend: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = short(images, drop_last=True, optimizer=ADAM, ema={"decay": 0.5})
    monkeypatch.setattr(recording, "variants_of", lambda *_: {"again": Variant()})
    trace = traced(spec, Recording(steps=2), backend)
    run = zoo.run(backend, spec, tmp_path / "run")
    check_course(trace, run)
    check_state(trace, run)
    assert trace.drift is not None
    parameters = trace.drift.parameters
    assert parameters["again"].tobytes() == parameters[ITSELF].tobytes()
    assert not any(any(step.yardsticks["again"].values()) for step in trace.steps)
    one, other = trace.drift.losses[ITSELF].tolist()
    assert run.history[0].values["train_loss"] == (one * 4 + other * 4) / 8
    assert [step.watched for step in trace.steps] == [backend != "mindspore"] * 2
    assert all(step.same_logits for step in trace.steps if step.watched)
    assert (trace.side.backend, trace.side.device, trace.classes) == (backend, "cpu", run.classes)


@pytest.mark.parametrize("backend", zoo.ALL)
def test_values_come_in_order_of_execution(backend: str, images: Path) -> None:
    bare = Recording(drift=0, predictions=0, variants=False)
    (step,) = traced(short(images), bare, backend).steps
    names = [name for name in step.values if "flatten" not in name]
    assert names[:5] == ["input/images", "forward/fc", "forward/", "loss/loss", "loss/logits"]
    assert {*names[5:7]} == {"backward/", "backward/fc"}  # of the same tensor
    stages = {"gradient": "", "update": "", "state": "", "state ": "/momentum_buffer"}
    expected = {
        f"{stage.strip()}/fc.{name}{suffix}"
        for stage, suffix in stages.items()
        for name in ("weight", "bias")
    }
    assert set(names[7:]) == expected
    assert [name.partition("/")[0] for name in names[7:]] == sorted(
        ["gradient"] * 2 + ["update"] * 2 + ["state"] * 4,
        key=["gradient", "update", "state"].index,
    )
    assert step.values["input/images"].shape == (4, 3, 8, 8)
    assert step.yardsticks.keys() == {ULP}
    assert 0 < step.yardstick("input/images") < 2**-23


@pytest.mark.parametrize(
    ("backend", "changes"),
    [
        ("torch", {"accumulate": 2, "shards": 2, "ema": {"decay": 0.5}, "clip_grad_norm": 0.1}),
        (
            "numpy",
            {"accumulate": 2, "ema": {"decay": 0.5}, "optimizer": {"name": "adam", "lr": 0.01}},
        ),
        ("numpy", {"shards": 2, "loss": {"name": "cross_entropy", "class_weights": "balanced"}}),
        (
            "numpy",
            {"mixing": {"mixup": 0.4}, "head": {"name": "mlp", "hidden": [6], "dropout": 0.5}},
        ),
        ("numpy", {"optimizer": {"name": "sgd", "lr": 0.01}, "clip_grad_norm": 0.1}),
    ],
)
def test_whatever_the_experiment(
    backend: str, changes: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    spec = short(images, **changes)
    trace, run = traced(spec, EPOCH, backend), zoo.run(backend, spec, tmp_path / "run")
    check_course(trace, run)
    check_state(trace, run)


def test_images_with_several_labels(tmp_path: Path) -> None:
    spec = several(make_table(tmp_path), epochs=1, loss={"name": "binary_cross_entropy"})
    trace, run = traced(spec, Recording(steps=6)), zoo.run("numpy", spec, tmp_path / "run")
    check_course(trace, run)
    check_state(trace, run)


def test_an_update_of_several_steps_is_traced_whole(images: Path) -> None:
    trace = traced(short(images, accumulate=2), Recording(steps=1, drift=0, predictions=0))
    first, second = trace.steps
    assert not any(name.startswith("update/") for name in first.values)
    assert any(name.startswith("update/") for name in second.values)
    assert first.values["state/fc.weight"].norm != second.values["state/fc.weight"].norm


def test_only_what_trains_in_the_first_epoch_trains(images: Path) -> None:
    freeze = {"parameters": ["fc.0"], "unfreeze": {2: "all"}}
    spec = short(images, head={"name": "mlp", "hidden": [6]}, freeze=freeze, epochs=2)
    (step,) = traced(spec, Recording(drift=0)).steps
    assert step.values["update/fc.0.weight"].largest == 0 < step.values["update/fc.3.bias"].largest
    assert "gradient/fc.0.weight" not in step.values


def test_drift_is_that_of_the_parameters_that_train(images: Path) -> None:
    spec = short(images, head={"name": "mlp", "hidden": [6]}, freeze={"parameters": ["fc.0"]})
    trace = traced(spec, Recording(drift=2, predictions=0, variants=False))
    assert trace.drift is not None
    for parameters in trace.drift.parameters.values():
        assert parameters.shape[1] == sum(
            values.samples.size
            for name, values in trace.steps[0].values.items()
            if name.startswith("gradient/")
        )
        assert (parameters[0] != parameters[1]).any()


def test_start_and_batches_are_named_by_their_content(images: Path) -> None:
    spec = short(images)
    one, other = traced(spec, Recording(drift=0)), traced({**spec, "seed": 7}, Recording(drift=0))
    assert one.start.keys() == {"fc.weight", "fc.bias"}
    assert one.start["fc.weight"] != other.start["fc.weight"]
    assert one.steps[0].batch != other.steps[0].batch
    again = traced(spec, Recording(drift=0))
    assert (one.start, one.steps[0].batch) == (again.start, again.steps[0].batch)
    assert one.predictions is not None and other.predictions is not None
    assert one.predictions.images == other.predictions.images


class OtherSums(NumpyTracer):
    """Offers to add up in another order."""

    def variants(self, trainer: Trainer) -> Mapping[str, AbstractContextManager[object]]:
        return {"another order": _Reversed()}


class _Reversed(AbstractContextManager[None]):
    def __enter__(self) -> None:
        self._before = Linear.forward
        Linear.forward = _reversed  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Linear.forward = self._before  # type: ignore[method-assign]


def _reversed(layer: Linear, x: Array) -> Array:
    layer.x = x
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    output: Array = np.ascontiguousarray(x[:, ::-1]) @ weight[:, ::-1].T + bias
    return output


def test_a_side_is_compared_with_itself_in_all_ways(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_tracer(monkeypatch, OtherSums())
    trace = traced(short(images))
    assert trace.drift is not None and trace.predictions is not None
    changes = {ITSELF, ULP, "another order"}
    assert trace.drift.losses.keys() == trace.drift.parameters.keys() == changes
    assert trace.predictions.logits.keys() == changes
    for step in trace.steps:
        assert step.yardsticks.keys() == changes - {ITSELF}
        other = step.yardsticks["another order"]
        assert other["input/images"] == 0 < other["forward/fc"] < 1e-6
        assert other.keys() == step.values.keys()
    own = trace.drift.parameters
    assert 0 < np.abs(own["another order"] - own[ITSELF]).max() < 1e-6
    fewer = traced(short(images), Recording(variants=False))
    assert fewer.steps[0].yardsticks.keys() == {ULP}


class Uncompiled(NumpyTracer):
    """Computes other bytes while it watches, as if steps were compiled otherwise."""

    @contextmanager
    def watch(self, trainer: Trainer, recorder: Recorder) -> Iterator[bool]:
        with _Reversed(), super().watch(trainer, recorder) as same:
            yield same


def test_what_trains_is_kept_where_watching_changes_it(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = short(images)
    run = zoo.run("numpy", spec, tmp_path / "run")
    _with_tracer(monkeypatch, Uncompiled())
    trace = traced(spec)
    check_course(trace, run)
    check_state(trace, run)
    assert [step.watched for step in trace.steps] == [False] * 3
    assert not trace.steps[0].same_logits


def test_only_what_is_asked_for_is_recorded(images: Path) -> None:
    trace = traced(short(images), Recording(steps=1, drift=2, predictions=5))
    assert trace.drift is not None and trace.predictions is not None
    assert trace.drift.parameters[ITSELF].shape == (2, 512)
    assert trace.predictions.logits[ITSELF].shape == (5, 3) and len(trace.predictions.labels) == 5
    bare = traced(short(images), Recording(drift=0, predictions=0))
    assert bare.drift is None and bare.predictions is None


def test_sentences(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = copytree(images, tmp_path / "broken")
    (broken / "val" / "bees" / "0.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"bees/0.png: cannot be read .*; repair it, or set"):
        traced(short(broken, dataset={"path": str(broken), "check": "during_training"}))
    with pytest.raises(SpecError, match=r"4 steps cannot be traced: .* which has 3; trace fewer"):
        traced(short(images), Recording(steps=4))
    _with_tracer(monkeypatch, None)
    with pytest.raises(BackendError, match="backend 'numpy' has no tracer"):
        traced(short(images))


def _with_tracer(monkeypatch: pytest.MonkeyPatch, tracer: NumpyTracer | None) -> None:
    made = NumpyBackend.__init__

    def init(backend: NumpyBackend, device: str) -> None:
        made(backend, device)
        backend.tracer = tracer

    monkeypatch.setattr(NumpyBackend, "__init__", init)
