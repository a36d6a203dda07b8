"""Trainer: one compiled cell for a training step, one for an evaluation step."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn
from numpy.typing import NDArray

from isotune.errors import BackendError
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, Outputs, StepPlan, Trainer, TrainingPlan
from isotune.training.single_images import check_single_image
from isotune_mindspore.accumulation import Accumulation, Update, sums_for
from isotune_mindspore.averages import Averages
from isotune_mindspore.cells import find
from isotune_mindspore.clipping import Clipping
from isotune_mindspore.dropout import dropout_cells, seeds
from isotune_mindspore.freezing import MindSporeFreezing
from isotune_mindspore.loss import make_loss
from isotune_mindspore.names import trainable_tensors
from isotune_mindspore.optimizer_state import OptimizerState
from isotune_mindspore.optimizers import scalars, update_rule
from isotune_mindspore.padding import Padding
from isotune_mindspore.step import EvalStep, TrainStep, graph_mode


class Compiled:
    """A step's cell, which MindSpore compiles once for each shape of its inputs."""

    def __init__(self, cell: nn.Cell, set_modes: Callable[[], None]) -> None:
        self.cell = cell
        self.set_modes = set_modes
        self._shapes: set[tuple[int, ...]] = set()

    def __call__(self, first: Tensor, *others: Tensor) -> Any:
        """Runs the step; a new shape of its first input compiles it first."""
        if first.shape not in self._shapes:
            if not self._shapes:
                # Collecting another compiled cell later would compile this one again.
                gc.collect()
            self.set_modes()
            self._shapes.add(first.shape)
        with graph_mode():
            return self.cell(first, *others)


class MindSporeTrainer(Trainer):
    """Trains and evaluates one ``nn.Cell``.

    Attributes:
        optimizer: The optimizer's state.
        averages: Averages of what trains; None if the plan has none.
    """

    def __init__(self, model: nn.Cell, plan: TrainingPlan) -> None:
        self._model = model
        self._plan = plan
        self._freezing = MindSporeFreezing()
        self._loss = make_loss(plan)
        self._dropouts = dropout_cells(model)
        self.optimizer = OptimizerState(plan)
        self.averages = Averages(model) if plan.averages else None
        self._freeze_plan = FreezePlan()
        self._trained: dict[str, Parameter] = {}
        self._train: Compiled | None = None
        self._update: Compiled | None = None
        self._padding = Padding(model)
        self._eval = Compiled(EvalStep(model), lambda: model.set_train(False))
        self.freeze(FreezePlan())

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything except ``plan.frozen`` from the next step on.

        Raises:
            BackendError: the plan names a parameter that the model does not have.
        """
        self._freezing.apply(self._model, plan)
        if plan == self._freeze_plan and self._trained:
            return  # the compiled steps are still valid
        self._freeze_plan = plan
        self._trained = {
            name: parameter
            for name, parameter in trainable_tensors(self._model).items()
            if name not in plan.frozen
        }
        self.optimizer.keep(self._trained)
        self._train = None
        self._takes_single_images = False

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the optimizer's state; slots missing in `state` become zero."""
        self.optimizer.load(state)
        self._train = None

    def load_averages(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the averages that `state` names; all others start from the values."""
        if self.averages is not None:
            self.averages.follow(self._freeze_plan)
            self.averages.load(state)

    def swap_average(self) -> None:
        """Exchanges the model's values with their averages, in place."""
        if self.averages is not None:
            self.averages.swap()

    def train_step(self, batch: DeviceBatch, plan: StepPlan) -> Outputs:
        """Makes one step, without waiting for the device.

        Raises:
            TrainingError: The batch is one image, of which a BatchNorm layer gets one value per
                channel.
        """
        if batch.size == 1 and not self._takes_single_images:
            names = trainable_tensors(self._model)
            check_single_image(self._freezing, self._model, self._freeze_plan, batch, names)
            self._takes_single_images = True
        if self._train is None:
            self._train, self._update = self._new_steps()
        rates = self._scalars(plan)
        dropout_seeds = seeds(self._plan.seed, plan.step, self._dropouts)
        factors = rates if self._update is None else np.array([plan.loss_scale], np.float32)
        loss, logits, *norm = self._train(
            batch.images, batch.labels, Tensor(factors), dropout_seeds
        )
        if plan.apply_update:
            if self._update is not None:
                updated = self._update(Tensor(rates))
                norm = [] if self._plan.clip_grad_norm is None else [updated]
            self.optimizer.advance()
        return Outputs(logits, loss, *norm)

    def eval_step(self, batch: DeviceBatch) -> Outputs:
        """Computes the logits in evaluation mode; nothing of the model changes."""
        logits = self._eval(self._padding.pad(batch.images))
        return Outputs(logits if len(logits) == batch.size else logits[: batch.size])

    def fetch(self, outputs: Sequence[Outputs]) -> list[HostOutputs]:
        """Copies the results of some steps to the host."""
        return [
            HostOutputs(
                np.array(output.logits.asnumpy(), dtype=np.float32),
                *(
                    math.nan if scalar is None else float(scalar.asnumpy())
                    for scalar in (output.loss, output.grad_norm)
                ),
            )
            for output in outputs
        ]

    def _auxiliary(self) -> float | None:
        """Returns the factor of the auxiliary losses; None if the model has none."""
        if not any(find(self._model, path) for path in self._plan.auxiliary):
            return None
        return self._plan.auxiliary_loss(self._trained)

    def _scalars(self, plan: StepPlan) -> NDArray[np.float32]:
        """Returns the scalars of the update rule and, with averages, the share of new values."""
        rates = scalars(self._plan.optimizer, plan, self.optimizer.groups)
        if self.averages is None:
            return rates
        decay = 1.0 if plan.average_decay is None else plan.average_decay
        return np.append(rates, np.float32(1 - decay))

    def _new_steps(self) -> tuple[Compiled, Compiled | None]:
        if not self._trained:
            raise BackendError("every parameter is frozen: there is nothing to train.")
        parameters = list(self._trained.values())
        slots = [self.optimizer.slots[name] for name in self._trained]
        update = update_rule(self._plan.optimizer, parameters, slots, self.optimizer.groups)
        if self._plan.clip_grad_norm is not None:
            update = Clipping(update, self._plan.clip_grad_norm)
        weights = ParameterTuple(parameters)

        averages = None
        if self.averages is not None:
            self.averages.follow(self._freeze_plan)
            averages = self.averages.update_rule()

        def training_step(rule: nn.Cell, averages: nn.Cell | None = None) -> Compiled:
            dropouts = self._dropouts.values()
            auxiliary = self._auxiliary()
            cell = TrainStep(self._model, self._loss, weights, rule, dropouts, auxiliary, averages)
            set_modes = partial(self._freezing.training_mode, self._model, self._freeze_plan)
            return Compiled(cell, set_modes)

        if self._plan.accumulate == 1:
            return training_step(update, averages), None
        sums = sums_for(parameters)
        updating = Compiled(Update(sums, update, averages), lambda: None)
        return training_step(Accumulation(sums)), updating
