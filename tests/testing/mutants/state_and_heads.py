"""Broken copies of the example backend: exported state, heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.head import HeadValues, LinearValues
from numpy_backend import head, layers
from numpy_backend.checkpoint import NumpyStateAdapter
from numpy_backend.head import NumpyHeads


def exports_live_views(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyStateAdapter, "export_model", lambda self, model: dict(model.state()))


def imports_without_copying(patch: pytest.MonkeyPatch) -> None:
    def binding(self: Any, model: Any, state: Any) -> None:
        for path, layer in model.layers.items():
            for values in (layer.parameters, layer.statistics):
                values.update({name: state[f"{path}.{name}"] for name in values})

    patch.setattr(NumpyStateAdapter, "import_model", binding)


def leaves_statistics_out_of_the_state(patch: pytest.MonkeyPatch) -> None:
    export = NumpyStateAdapter.export_model

    def parameters(self: Any, model: Any) -> Any:
        return {k: v for k, v in export(self, model).items() if "running_" not in k}

    patch.setattr(NumpyStateAdapter, "export_model", parameters)


def exports_no_optimizer_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyStateAdapter, "export_optimizer", lambda self, trainer: {})


def restores_no_optimizer_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyStateAdapter, "import_optimizer", lambda self, trainer, state: None)


def restarts_adams_step_count(patch: pytest.MonkeyPatch) -> None:
    restore = NumpyStateAdapter.import_optimizer

    def restarting(self: Any, trainer: Any, state: Any) -> None:
        steps = {k: np.zeros((), np.float32) for k in state if k.endswith("/step")}
        restore(self, trainer, {**state, **steps})

    patch.setattr(NumpyStateAdapter, "import_optimizer", restarting)


def restores_no_averages(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyStateAdapter, "import_average", lambda self, trainer, state: None)


def exports_live_averages(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyStateAdapter, "export_average", lambda self, trainer: trainer.averages)


def averages_no_statistics(patch: pytest.MonkeyPatch) -> None:
    export = NumpyStateAdapter.export_average

    def parameters(self: Any, trainer: Any) -> Any:
        return {k: v for k, v in export(self, trainer).items() if "running_" not in k}

    patch.setattr(NumpyStateAdapter, "export_average", parameters)


def forgets_the_bias_of_a_new_head(patch: pytest.MonkeyPatch) -> None:
    replace_head = NumpyHeads.replace

    def unbiased(self: Any, model: Any, path: str, values: HeadValues) -> None:
        output = LinearValues(values.output.weight, np.zeros_like(values.output.bias))
        replace_head(self, model, path, replace(values, output=output))

    patch.setattr(NumpyHeads, "replace", unbiased)


def shares_the_values_of_a_new_head(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(head, "linear", lambda values: layers.Linear(values.weight, values.bias))


def takes_a_head_of_any_width(patch: pytest.MonkeyPatch) -> None:
    def any_width(self: Any, model: Any, path: str, values: HeadValues) -> None:
        for name in head.layers_at(model, path):
            del model.layers[name]
        model.layers.update(head.new_layers(path, values))

    patch.setattr(NumpyHeads, "replace", any_width)


def leaves_a_detached_head_in_the_model(patch: pytest.MonkeyPatch) -> None:
    detach = NumpyHeads.detach

    def keeping(self: Any, model: Any, path: str) -> Any:
        layers = dict(model.layers)
        taken = detach(self, model, path)
        model.layers = layers
        return taken

    patch.setattr(NumpyHeads, "detach", keeping)


def numbers_the_layers_of_a_head_by_twos(patch: pytest.MonkeyPatch) -> None:
    def numbered(path: str, values: HeadValues) -> Any:
        named = original(path, values)
        return {f"{path}.{2 * i}": layer for i, layer in enumerate(named.values())}

    original = head.new_layers
    patch.setattr(head, "new_layers", lambda p, v: numbered(p, v) if v.hidden else original(p, v))
