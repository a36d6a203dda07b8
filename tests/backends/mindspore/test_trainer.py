"""Compiled steps: when they compile, what they freeze, and what reaches into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from numpy.testing import assert_allclose

from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch, Normalization
from isotune.interfaces.division import Division
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues, LinearValues
from isotune.interfaces.trainer import StepPlan, Trainer, TrainingPlan
from isotune.spec.optimizer import AdamSpec, SGDSpec
from isotune_mindspore.step import graph_mode

NORMALIZATION = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
MOMENTUM = TrainingPlan(SGDSpec(momentum=0.9))
PARTLY = TrainingPlan(AdamSpec(name="adam"), accumulate=2)
ACCUMULATED = TrainingPlan(SGDSpec(momentum=0.9), accumulate=2)
DIVIDED = TrainingPlan(SGDSpec(momentum=0.9), shards=2)
AFFINE = frozenset({"first.bn.weight", "first.bn.bias", "tail.1.weight", "tail.1.bias"})
STATISTICS = {
    f"{path}.{name}" for path in ("first.bn", "tail.1") for name in ("running_mean", "running_var")
}


def fed(backend: Backend, *sizes: int) -> list[DeviceBatch]:
    random = np.random.default_rng(0)
    batches = [
        Batch(
            random.integers(0, 256, (size, 6, 6, 3), dtype=np.uint8),
            random.integers(0, 3, size).astype(np.int32),
        )
        for size in sizes
    ]
    return list(backend.dataset.feed(batches, NORMALIZATION))


def train(trainer: Trainer, batches: list[DeviceBatch], first: int = 0) -> list[float]:
    steps = [trainer.train_step(batch, StepPlan(first + i, 0.1)) for i, batch in enumerate(batches)]
    return [output.loss for output in trainer.fetch(steps)]


def test_training_compiles_once_for_each_batch_size_and_evaluation_once(
    backend: Backend, nested: Callable[[], Any], compiled: list[str]
) -> None:
    trainer = backend.trainer(nested(), MOMENTUM)
    batches = fed(backend, 4, 4, 3)
    for epoch in range(3):
        train(trainer, batches, 3 * epoch)
        trainer.fetch([trainer.eval_step(batch) for batch in batches])
        trainer.freeze(FreezePlan())
    assert compiled == ["TrainStep"] * 2 + ["EvalStep"]
    trainer.freeze(FreezePlan(AFFINE))
    train(trainer, batches[:1])
    trainer.fetch([trainer.eval_step(batches[0])])
    assert compiled[3:] == ["TrainStep"]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_frozen_batch_norm_of_any_cell_keeps_its_bytes(
    backend: Backend, nested: Callable[[], Any], mode: Any
) -> None:
    model = nested()
    trainer = backend.trainer(model, MOMENTUM)
    batches = fed(backend, 4, 3)
    trainer.freeze(FreezePlan(AFFINE, mode))
    before = backend.state_adapter.export_model(model)
    train(trainer, batches[:1])
    trainer.fetch([trainer.eval_step(batches[0])])
    train(trainer, batches[1:], 1)  # compiled after an evaluation had changed all modes
    after = backend.state_adapter.export_model(model)
    kept = {name for name in before if before[name].tobytes() == after[name].tobytes()}
    assert kept == (AFFINE | STATISTICS if mode == "eval" else AFFINE)


@pytest.mark.parametrize("spec", [SGDSpec(momentum=0.9), AdamSpec(name="adam")])
def test_imported_state_counts_from_the_very_next_step_without_compiling_it_again(
    backend: Backend, nested: Callable[[], Any], spec: Any, compiled: list[str]
) -> None:
    batches, checkpoints = fed(backend, 4, 4, 4, 4), backend.state_adapter
    model = nested()
    trainer = backend.trainer(model, TrainingPlan(spec))
    train(trainer, batches[:2])
    saved = checkpoints.export_model(model), checkpoints.export_optimizer(trainer)
    losses = train(trainer, batches[2:], 2)
    expected = checkpoints.export_model(model)
    checkpoints.import_model(model, saved[0])
    checkpoints.import_optimizer(trainer, saved[1])
    logits = trainer.fetch([trainer.eval_step(batches[0])])[0].logits
    assert train(trainer, batches[2:], 2) == losses
    found = checkpoints.export_model(model)
    assert {n: v.tobytes() for n, v in found.items()} == {
        n: v.tobytes() for n, v in expected.items()
    }
    checkpoints.import_model(model, saved[0])
    again = trainer.fetch([trainer.eval_step(batches[0])])[0].logits
    assert again.tobytes() == logits.tobytes()
    assert compiled == ["TrainStep", "EvalStep"]


@pytest.mark.parametrize("plan", [PARTLY, ACCUMULATED, DIVIDED], ids=["partly", "sums", "parts"])
def test_importing_a_state_leaves_nothing_of_the_steps_before(
    backend: Backend, nested: Callable[[], Any], plan: TrainingPlan
) -> None:
    batch, checkpoints = fed(backend, 4)[0], backend.state_adapter
    parts = Division(plan.shards).divide(8) if plan.shards > 1 else [None, None]
    first, second = (
        StepPlan(i, 0.1, loss_scale=0.5, apply_update=bool(i), part=part)
        for i, part in enumerate(parts)
    )

    def update(trainer: Trainer) -> None:
        trainer.fetch([trainer.train_step(batch, each) for each in (first, second)])

    model = nested()
    start = checkpoints.export_model(model)
    used, new = (backend.trainer(each, plan) for each in (model, nested()))
    update(used)
    slots = checkpoints.export_optimizer(used)
    state = {name: slots[name] for name in slots if not name.startswith("first")}
    used.fetch([used.train_step(batch, first)])
    found = []
    for trainer in (used, new):
        checkpoints.import_model(trainer.model, start)  # type: ignore[attr-defined]
        checkpoints.import_optimizer(trainer, state)
        update(trainer)
        model = checkpoints.export_model(trainer.model)  # type: ignore[attr-defined]
        slots = checkpoints.export_optimizer(trainer)
        found.append({name: value.tobytes() for name, value in {**model, **slots}.items()})
    assert found[0] == found[1]


def test_trained_model_is_a_plain_cell_in_both_modes(
    backend: Backend, nested: Callable[[], Any]
) -> None:
    model = nested()
    trainer = backend.trainer(model, MOMENTUM)
    batch = fed(backend, 4)[0]
    train(trainer, [batch])
    assert ms.get_context("mode") == ms.PYNATIVE_MODE
    expected = trainer.fetch([trainer.eval_step(batch)])[0].logits
    model.set_train(False)
    assert_allclose(model(batch.images).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    with graph_mode():
        assert_allclose(model(batch.images).asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_head_within_a_sequence_is_replaced_and_trains(
    backend: Backend, nested: Callable[[], Any]
) -> None:
    model = nested()
    values = LinearValues(np.zeros((2, 4), np.float32), np.array([3, -3], np.float32))
    backend.heads.replace(model, "head.1", HeadValues(values))
    names = [p.name for p in model.get_parameters()]
    assert {"head.1.weight", "head.1.bias"} < set(names)
    assert len(names) == len(set(names))
    trainer = backend.trainer(model, MOMENTUM)
    batch = fed(backend, 4)[0]
    logits = trainer.fetch([trainer.eval_step(batch)])[0].logits
    assert_allclose(logits, [[3, -3]] * 4)


def test_freezing_everything_is_an_error(backend: Backend, nested: Callable[[], Any]) -> None:
    model = nested()
    trainer = backend.trainer(model, MOMENTUM)
    names = {n for n in backend.state_adapter.export_model(model) if "running_" not in n}
    trainer.freeze(FreezePlan(frozenset(names)))
    with pytest.raises(BackendError, match="nothing to train"):
        trainer.train_step(fed(backend, 4)[0], StepPlan(0, 0.1))


def test_evaluation_of_rows_that_depend_on_one_another_is_not_filled_up(
    backend: Backend, nested: Callable[[], Any], compiled: list[str]
) -> None:
    model = nested()
    for cell in model.cells():
        for _, layer in cell.cells_and_names():
            if hasattr(layer, "use_batch_statistics"):
                layer.use_batch_statistics = True
    trainer = backend.trainer(model, MOMENTUM)
    whole, short = fed(backend, 4, 3)
    alone = backend.trainer(model, MOMENTUM)
    trainer.fetch([trainer.eval_step(whole)])
    outputs = trainer.fetch([trainer.eval_step(short)]) + alone.fetch([alone.eval_step(short)])
    assert_allclose(outputs[0].logits, outputs[1].logits, rtol=1e-5, atol=1e-5)
    assert compiled == ["EvalStep"] * 3
