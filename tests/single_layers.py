"""A tracer of layers that are NumPy functions, for what needs no framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from isotune.errors import BackendError
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.tracer import Layer, LayerRun, Recorder, Tracer
from isotune.interfaces.trainer import StepPlan, Trainer

Array = NDArray[np.float32]

Function = Callable[[Sequence[Array], "Array | None"], LayerRun]
"""Takes the inputs and the output's gradient."""


class SingleLayers(Tracer):
    """Runs layers given as functions; there is no step to watch."""

    def __init__(
        self, functions: Mapping[str, Function], other: Mapping[str, Function] | None = None
    ) -> None:
        """Takes the layers, and what some of them are in a variant."""
        self.functions = functions
        self._other = other
        self.runs: list[str] = []

    def layers(self, trainer: Trainer) -> list[Layer]:
        return [Layer(path, "Function") for path in self.functions]

    def watch(self, trainer: Trainer, recorder: Recorder) -> AbstractContextManager[bool]:
        return self._no_step()

    def nudged(self, batch: DeviceBatch, up: NDArray[np.bool_], ulps: int = 1) -> DeviceBatch:
        return self._no_step()

    def variants(self, trainer: Trainer) -> Mapping[str, AbstractContextManager[object]]:
        return {} if self._other is None else {"other": self._varied(self._other)}

    @contextmanager
    def _varied(self, other: Mapping[str, Function]) -> Iterator[None]:
        usual, self.functions = self.functions, {**self.functions, **other}
        try:
            yield
        finally:
            self.functions = usual

    def _no_step(self) -> NoReturn:
        raise AssertionError("there is no step")

    def run(
        self,
        trainer: Trainer,
        path: str,
        inputs: Sequence[Array],
        gradient: Array | None,
        plan: StepPlan,
    ) -> LayerRun:
        self.runs.append(path)
        if path not in self.functions:
            raise BackendError(f"the model has no layer '{path}'.")
        return self.functions[path](inputs, gradient)
