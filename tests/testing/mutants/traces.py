"""Broken copies of the example backend: watched steps, and layers by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.tracer import LayerRun
from numpy_backend import tracer
from numpy_backend.backbone import Net
from numpy_backend.layers import BatchNorm
from numpy_backend.tracer import NumpyTracer, WatchedNet
from numpy_backend.trainer import NumpyTrainer

WATCH = NumpyTracer.watch
RUN = NumpyTracer.run


def _watch(patch: pytest.MonkeyPatch, begin: Callable[[NumpyTrainer], Any]) -> None:
    """Watches after `begin` has changed something."""

    @contextmanager
    def watch(self: Any, trainer: NumpyTrainer, recorder: Any) -> Iterator[bool]:
        with WATCH(self, trainer, recorder) as same:
            begin(trainer)
            yield same

    patch.setattr(NumpyTracer, "watch", watch)


def goes_on_watching(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def watch(self: Any, trainer: NumpyTrainer, recorder: Any) -> Iterator[bool]:
        with WATCH(self, trainer, recorder) as same:
            yield same
            watched = trainer.model
        trainer.model = watched

    patch.setattr(NumpyTracer, "watch", watch)


def goes_on_watching_after_an_error(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def watch(self: Any, trainer: NumpyTrainer, recorder: Any) -> Iterator[bool]:
        model = trainer.model
        frozen = trainer.freeze_plan.frozen
        trainer.model = WatchedNet(model, recorder, lambda name: name not in frozen)
        yield True
        trainer.model = model

    patch.setattr(NumpyTracer, "watch", watch)


def moves_statistics_twice_while_it_watches(patch: pytest.MonkeyPatch) -> None:
    call = WatchedNet.__call__

    def twice(self: WatchedNet, x: Any) -> Any:
        Net(**self.layers)(x)
        return call(self, x)

    patch.setattr(WatchedNet, "__call__", twice)


def forgets_momentum_while_it_watches(patch: pytest.MonkeyPatch) -> None:
    _watch(patch, lambda trainer: trainer.slots.clear())


def reports_inputs_for_outputs(patch: pytest.MonkeyPatch) -> None:
    reporting = tracer.reporting

    def swapped(path: str, function: Any, report: Any) -> Any:
        return reporting(path, function, lambda path, given, found: report(path, found, given))

    patch.setattr(tracer, "reporting", swapped)


def never_reports_inputs(patch: pytest.MonkeyPatch) -> None:
    call = WatchedNet.__call__

    def quiet(self: WatchedNet, x: Any) -> Any:
        self.recorder.inputs = False
        return call(self, x)

    patch.setattr(WatchedNet, "__call__", quiet)


def reports_gradients_of_what_is_frozen(patch: pytest.MonkeyPatch) -> None:
    _watch(patch, lambda trainer: setattr(trainer.model, "trains", lambda name: True))


def reports_gradients_before_their_scale(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def watch(self: Any, trainer: NumpyTrainer, recorder: Any) -> Iterator[bool]:
        step, scale = trainer.train_step, [1.0]

        def scaled(batch: Any, plan: Any) -> Any:
            scale[0] = plan.loss_scale
            return step(batch, plan)

        report = recorder.gradient
        recorder.gradient = lambda name, value: report(name, value / np.float32(scale[0]))
        with pytest.MonkeyPatch.context() as inner, WATCH(self, trainer, recorder) as same:
            inner.setattr(trainer, "train_step", scaled)
            yield same

    patch.setattr(NumpyTracer, "watch", watch)


def reports_all_calls_as_the_second(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def watch(self: Any, trainer: NumpyTrainer, recorder: Any) -> Iterator[bool]:
        report = recorder.backward
        recorder.backward = lambda path, call, gradient: report(path, call + 1, gradient)
        with WATCH(self, trainer, recorder) as same:
            yield same

    patch.setattr(NumpyTracer, "watch", watch)


def gives_the_momentum_of_batch_norm_as_its_complement(patch: pytest.MonkeyPatch) -> None:
    settings = tracer.settings

    def complement(layer: Any) -> dict[str, Any]:
        found = settings(layer)
        return {**found, "momentum": 1 - layer.momentum} if isinstance(layer, BatchNorm) else found

    patch.setattr(tracer, "settings", complement)


def runs_layers_in_evaluation_mode(patch: pytest.MonkeyPatch) -> None:
    def run(self: Any, trainer: NumpyTrainer, *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(trainer.freezing, "training_mode", lambda model, plan: None)
            for layer in trainer.model.layers.values():
                layer.training = False
            return RUN(self, trainer, *arguments)

    patch.setattr(NumpyTracer, "run", run)


def runs_layers_with_other_masks(patch: pytest.MonkeyPatch) -> None:
    def run(self: Any, trainer: NumpyTrainer, *arguments: Any) -> Any:
        *rest, plan = arguments
        return RUN(self, trainer, *rest, replace(plan, step=plan.step + 1))

    patch.setattr(NumpyTracer, "run", run)


def runs_layers_on_the_masks_of_the_first_shard(patch: pytest.MonkeyPatch) -> None:
    def run(self: Any, trainer: NumpyTrainer, *arguments: Any) -> Any:
        *rest, plan = arguments
        return RUN(self, trainer, *rest, replace(plan, part=None))

    patch.setattr(NumpyTracer, "run", run)


def moves_statistics_as_a_layer_runs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tracer, "copied", lambda model: model)


def returns_gradients_of_what_is_frozen_as_a_layer_runs(patch: pytest.MonkeyPatch) -> None:
    def run(self: Any, trainer: NumpyTrainer, *arguments: Any) -> LayerRun:
        plan, trainer.freeze_plan = (
            trainer.freeze_plan,
            replace(trainer.freeze_plan, frozen=frozenset()),
        )
        try:
            return RUN(self, trainer, *arguments)
        finally:
            trainer.freeze_plan = plan

    patch.setattr(NumpyTracer, "run", run)


def returns_the_output_for_the_gradient_of_the_input(patch: pytest.MonkeyPatch) -> None:
    def run(self: Any, trainer: NumpyTrainer, path: str, inputs: Any, *rest: Any) -> LayerRun:
        found = RUN(self, trainer, path, inputs, *rest)
        return replace(found, inputs=tuple(inputs)) if found.inputs else found

    patch.setattr(NumpyTracer, "run", run)


def nudges_upwards_only(patch: pytest.MonkeyPatch) -> None:
    nudged = NumpyTracer.nudged

    def upwards(self: Any, batch: Any, up: Any, ulps: int = 1) -> Any:
        return nudged(self, batch, np.ones_like(up), ulps)

    patch.setattr(NumpyTracer, "nudged", upwards)


def nudges_the_batch_itself(patch: pytest.MonkeyPatch) -> None:
    nudged = NumpyTracer.nudged

    def moved(self: Any, batch: Any, up: Any, ulps: int = 1) -> Any:
        batch.images[...] = nudged(self, batch, up, ulps).images
        return batch

    patch.setattr(NumpyTracer, "nudged", moved)


def has_a_variant_that_rounds(patch: pytest.MonkeyPatch) -> None:
    call = Net.__call__

    class Rounding(pytest.MonkeyPatch):
        def __enter__(self) -> None:
            self.setattr(Net, "__call__", lambda net, x: call(net, x.round(2)))

        def __exit__(self, *_: object) -> None:
            self.undo()

    patch.setattr(NumpyTracer, "variants", lambda self, trainer: {"rounded": Rounding()})
