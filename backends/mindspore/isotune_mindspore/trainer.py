"""Trainer: one compiled cell for a training step, one for an evaluation step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn
from numpy.typing import NDArray

from isotune.errors import BackendError
from isotune.interfaces.communicator import ALONE, Place
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.division import Division, Part
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, Outputs, StepPlan, Trainer, TrainingPlan
from isotune.training.single_images import check_single_image
from isotune_mindspore.accumulation import Accumulation, Update, sums_for
from isotune_mindspore.arrays import count_change, set_to_zero
from isotune_mindspore.averages import Averages
from isotune_mindspore.cells import find
from isotune_mindspore.clipping import Clipping
from isotune_mindspore.dropout import dropout_cells, seeds
from isotune_mindspore.folding import FoldedModel, foldable
from isotune_mindspore.freezing import MindSporeFreezing
from isotune_mindspore.loss import make_loss
from isotune_mindspore.names import trainable_tensors
from isotune_mindspore.optimizer_state import OptimizerState
from isotune_mindspore.optimizers import scalars, update_rule
from isotune_mindspore.padding import Padding
from isotune_mindspore.part_step import PartStep
from isotune_mindspore.parts import PartSteps, gradients_for
from isotune_mindspore.reduction import PartsUpdate, sum_of_parts
from isotune_mindspore.shared_shards import share_layers
from isotune_mindspore.statistics import RunningStatistics
from isotune_mindspore.step import Compiled, EvalStep, TrainStep


class MindSporeTrainer(Trainer):
    """Trains and evaluates one ``nn.Cell``.

    Attributes:
        model: The model.
        trained: The parameters that train, by canonical name.
        dropouts: The model's dropout cells, by path.
        optimizer: The optimizer's state.
        averages: Averages of what trains; None if the plan has none.
    """

    def __init__(self, model: nn.Cell, plan: TrainingPlan, place: Place = ALONE) -> None:
        self.model = model
        self._plan = plan
        self._division = Division(plan.shards, place.processes, place.rank)
        shared = self._division.shared_shards
        self._shard = share_layers(model, self._division) if shared else None
        self._freezing = MindSporeFreezing()
        self._loss = make_loss(plan)
        self.dropouts = dropout_cells(model)
        self.optimizer = OptimizerState(plan)
        self.averages = Averages(model) if plan.averages else None
        self._freeze_plan = FreezePlan()
        self.trained: dict[str, Parameter] = {}
        self._train: Compiled | None = None
        self._update: Compiled | None = None
        self._parts: PartSteps | None = None
        self._padding = Padding(model)
        self._folds = plan.precision == "fp32" and foldable(model)
        self._folded: FoldedModel | None = None
        self._frozen: FoldedModel | None = None
        self._steps = 0
        self._eval: Compiled | None = None
        self.freeze(FreezePlan())

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything except ``plan.frozen`` from the next step on.

        Raises:
            BackendError: the plan names a parameter that the model does not have.
        """
        self._freezing.apply(self.model, plan)
        if plan == self._freeze_plan and self.trained:
            return  # the compiled steps are still valid
        self._freeze_plan = plan
        self.trained = {
            name: parameter
            for name, parameter in trainable_tensors(self.model).items()
            if name not in plan.frozen
        }
        self.optimizer.keep(self.trained)
        self._train = self._parts = self._frozen = None
        self._takes_single_images = False

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the optimizer's state; slots missing in `state` become zero.

        Gradients that wait for an update are dropped. Compiled steps stay, unless the numbers of
        updates divide the parameters into other groups.
        """
        compiled_in = self.optimizer.compiled_in
        self.optimizer.load(state)
        if self.optimizer.compiled_in != compiled_in:
            self._train = self._parts = self._frozen = None
        if self._update is not None:
            set_to_zero(self._update.cell.sums)
        if self._parts is not None:
            self._parts.restart()

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
        self._check_single_images(batch, plan.part)
        rates = self._scalars(plan)
        dropout_seeds = self.seeds(plan)
        if plan.part is None:
            outputs = self._step(batch, plan, rates, dropout_seeds)
        else:
            if self._parts is None:
                self._parts = self._new_part_steps()
            outputs = self._parts.step(batch, plan, plan.part, dropout_seeds, Tensor(rates))
        if plan.apply_update:
            self.optimizer.advance()
        count_change()
        self._steps += 1
        return outputs

    def _step(
        self, batch: DeviceBatch, plan: StepPlan, rates: NDArray[np.float32], seeds: Tensor
    ) -> Outputs:
        if self._train is None:
            self._train, self._update = self._new_steps()
        if self._frozen is not None:
            self._frozen.refresh(self._steps)
        factors = rates if self._update is None else np.array([plan.loss_scale], np.float32)
        loss, logits, *norm = self._train(batch.images, batch.labels, Tensor(factors), seeds)
        if plan.apply_update and self._update is not None:
            updated = self._update(Tensor(rates))
            norm = [] if self._plan.clip_grad_norm is None else [updated]
        return Outputs(logits, loss, *norm)

    def seeds(self, plan: StepPlan) -> Tensor:
        """Returns the seeds of the dropout cells for a step: int32, shape (cells, 1)."""
        shard = plan.part.shard if plan.part is not None else 0
        return seeds(self._plan.seed, plan.step, self.dropouts, shard)

    def _check_single_images(self, batch: DeviceBatch, part: Part | None) -> None:
        """Checks a batch or, in all processes alike, one some of whose shards is a single image."""
        single = batch.size == 1 if part is None else 1 in self._division.shard_sizes(part.sizes)
        if single and not self._takes_single_images:
            names = trainable_tensors(self.model)
            image = DeviceBatch(batch.images[:1], batch.labels[:1], 1)
            check_single_image(self._freezing, self.model, self._freeze_plan, image, names)
            self._takes_single_images = True

    def eval_step(self, batch: DeviceBatch) -> Outputs:
        """Computes the logits in evaluation mode; nothing of the model changes."""
        if self._eval is None:
            self._eval = self._new_evaluation()
        if self._folded is not None:
            self._folded.refresh()
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
        if not any(find(self.model, path) for path in self._plan.auxiliary):
            return None
        return self._plan.auxiliary_loss(self.trained)

    def _scalars(self, plan: StepPlan) -> NDArray[np.float32]:
        """Returns the scalars of the update rule and, with averages, the share of new values."""
        rates = scalars(self._plan.optimizer, plan, self.optimizer.groups)
        if self.averages is None:
            return rates
        decay = 1.0 if plan.average_decay is None else plan.average_decay
        return np.append(rates, np.float32(1 - decay))

    def _new_evaluation(self) -> Compiled:
        if self._folds:
            self._folded = FoldedModel(self.model)
        evaluated = self.model if self._folded is None else self._folded.cell
        return Compiled(EvalStep(evaluated), lambda: evaluated.set_train(False))

    def _new_steps(self) -> tuple[Compiled, Compiled | None]:
        update, averages = self._new_update()
        weights, folded = self._weights(), self._new_frozen()

        def training_step(rule: nn.Cell, averages: nn.Cell | None = None) -> Compiled:
            def cell(model: nn.Cell) -> TrainStep:
                dropouts, auxiliary = self.dropouts.values(), self._auxiliary()
                return TrainStep(model, self._loss, weights, rule, dropouts, auxiliary, averages)

            plain = cell(self.model)
            if folded is None:
                return Compiled(plain, self.training_mode)
            return Compiled(cell(folded.cell), self.training_mode, plain)

        if self._plan.accumulate == 1:
            return training_step(update, averages), None
        sums = sums_for(weights)
        updating = Compiled(Update(sums, update, averages), lambda: None)
        return training_step(Accumulation(sums)), updating

    def _new_frozen(self) -> FoldedModel | None:
        """Returns the copy of the model that steps train, if there are frozen layers to fold."""
        if not (self._folds and self._freeze_plan.frozen):
            return None
        self.training_mode()
        folded = FoldedModel(self.model, frozen=True)
        self._frozen = folded if folded.layers else None
        return self._frozen

    def _new_part_steps(self) -> PartSteps:
        update, averages = self._new_update()
        weights, division = self._weights(), self._division
        gradients = gradients_for(weights, division)
        total = sum_of_parts(self._plan.reduction, division, gradients[0].size)
        cell = PartStep(self.model, self._loss, weights, self.dropouts.values(), self._auxiliary())
        updating = PartsUpdate(gradients, weights, total, update, averages)
        return PartSteps(
            division,
            gradients,
            Compiled(cell, self.training_mode),
            Compiled(updating, lambda: None),
            RunningStatistics(self.model, self._freeze_plan, division),
            self._shard,
        )

    def _weights(self) -> ParameterTuple:
        if not self.trained:
            raise BackendError("every parameter is frozen: there is nothing to train.")
        return ParameterTuple(list(self.trained.values()))

    def _new_update(self) -> tuple[nn.Cell, nn.Cell | None]:
        """Returns the update rule and, with averages, the cell that moves them."""
        slots = [self.optimizer.slots[name] for name in self.trained]
        weights = self._weights()
        update = update_rule(self._plan.optimizer, weights, slots, self.optimizer.groups)
        if self._plan.clip_grad_norm is not None:
            update = Clipping(update, self._plan.clip_grad_norm)
        if self.averages is None:
            return update, None
        self.averages.follow(self._freeze_plan)
        return update, self.averages.update_rule()

    def training_mode(self) -> None:
        """Sets the modes in which the model's cells train."""
        self._freezing.training_mode(self.model, self._freeze_plan)
        if self._frozen is not None:
            self._frozen.take_modes()


def own_trainer(trainer: Trainer) -> MindSporeTrainer:
    """Returns `trainer`, which is this backend's.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(trainer, MindSporeTrainer):
        raise TypeError(f"{type(trainer).__name__} is not a trainer of the mindspore backend")
    return trainer
