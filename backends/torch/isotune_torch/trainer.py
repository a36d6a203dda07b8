"""Trainer: a training step and an evaluation step that do not wait for the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.nn.utils import clip_grad_norm_

from isotune.errors import BackendError, SpecError
from isotune.interfaces.communicator import Alone, Communicator
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.division import Part
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, Outputs, StepPlan, Trainer, TrainingPlan
from isotune.training.single_images import check_single_image
from isotune_torch.averages import Averages
from isotune_torch.compiling import CompiledModel
from isotune_torch.devices import memory_format
from isotune_torch.dropout import Dropouts
from isotune_torch.folding import FoldedModel, foldable
from isotune_torch.freezing import TorchFreezing
from isotune_torch.loss import make_loss
from isotune_torch.optimizer import Slots, make_optimizer, momentum_options
from isotune_torch.parts import Parts
from isotune_torch.precision import PrecisionPolicy
from isotune_torch.threads import CoresOfShard


class TorchTrainer(Trainer):
    """Trains and evaluates one ``nn.Module``, without leaving hooks or attributes on it.

    Attributes:
        plan: The training plan.
        model: The model.
        device: Its device.
        freeze_plan: What is frozen.
        compiled: The model behind ``torch.compile``; None if the plan does not compile it.
        memory_format: Memory format of images.
        cores: Context of a step, which sets the number of threads.
        trainable: Trainable parameters by canonical name.
        frozen: Canonical names of the other parameters.
        precision_policy: The precision, with its gradient scaler.
        averages: Averages of what trains; None if the plan has none.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: TrainingPlan,
        device: torch.device,
        communicator: Communicator | None = None,
    ) -> None:
        communicator = communicator or Alone()
        self.plan = plan
        self.model = model
        self.device = device
        self.memory_format = _order(model, memory_format(device, plan.precision))
        self._freezing = TorchFreezing()
        self.averages = Averages(model) if plan.averages else None
        self._dropouts = Dropouts(model, plan.seed, device)
        self.precision_policy = PrecisionPolicy(plan.precision, device)
        self.compiled = CompiledModel(model) if plan.compile else None
        self._forward = self.compiled or self._eager()
        self._loss = make_loss(plan, device)
        self.cores = CoresOfShard(plan, device)
        divided = plan.shards > 1 or not communicator.place.alone
        self._parts = Parts(model, self._forward, plan, communicator) if divided else None
        self.trainable: dict[str, nn.Parameter] = dict(model.named_parameters())
        self.set_slots({})
        self.freeze(FreezePlan())

    def _eager(self) -> nn.Module | FoldedModel:
        """Returns the forward pass of a model that is not compiled."""
        folds = self.plan.precision == "fp32" and foldable(self.model, self.device)
        return FoldedModel(self.model) if folds else self.model

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything except ``plan.frozen`` from the next step on.

        Raises:
            BackendError: the plan names a parameter that the model does not have.
            SpecError: The plan freezes every parameter.
        """
        self._freezing.apply(self.model, plan)
        self.freeze_plan = plan
        self._ready_to_train = False
        self._takes_single_images = False
        self.frozen = plan.frozen
        self.trainable = {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }
        if not self.trainable:
            raise SpecError(f"nothing of {type(self.model).__name__} is left to train.")
        for parameter in self.model.parameters():
            parameter.grad = None
        self._auxiliary_weight = self.plan.auxiliary_loss(self.trainable)
        if self._parts is not None:
            self._parts.freeze(self.trainable)
        self.set_slots(self.slots())

    def slots(self) -> dict[str, Slots]:
        """Returns the optimizer's state of trainable parameters by name, without copying it."""
        state = {name: self._optimizer.state.get(p) for name, p in self.trainable.items()}
        return {
            name: {slot: value for slot, value in slots.items() if value is not None}
            for name, slots in state.items()
            if slots
        }

    def set_slots(self, slots: Mapping[str, Slots]) -> None:
        """Sets the optimizer's state, by the name of a trainable parameter.

        Parameters without an entry start from zero.
        """
        self._optimizer = make_optimizer(
            self.plan,
            self.trainable,
            {self.trainable[name]: values for name, values in slots.items() if values},
        )

    def train_step(self, batch: DeviceBatch, plan: StepPlan) -> Outputs:
        """Makes one step; the outputs are from before the update.

        Raises:
            TrainingError: The batch is one image, of which a BatchNorm layer gets one value per
                channel.
        """
        self._check_single_image(batch, plan.part)
        self.be_ready_to_train()
        with self.cores, self.precision_policy.step():
            if plan.part is None:
                logits, loss = self._gradients(batch, plan, self._forward)
            else:
                logits, loss = self._gradients_of_part(batch, plan, plan.part)
            norm = self._update(plan) if plan.apply_update else None
        return Outputs(logits, loss, norm)

    def _gradients(
        self, batch: DeviceBatch, plan: StepPlan, forward: Callable[[Tensor], Any]
    ) -> tuple[Tensor, Tensor]:
        """Adds gradients to the parameters'; returns logits and loss."""
        with self.masks(plan):
            logits, auxiliary = self._logits(batch, forward)
        loss = self._loss(logits, batch.labels)
        if self._auxiliary_weight:
            losses = [self._loss(each, batch.labels) for each in auxiliary]
            loss = loss + self._auxiliary_weight * torch.stack(losses).sum()
        scaled = loss if plan.loss_scale == 1 else loss * plan.loss_scale
        self.precision_policy.scaler.scale(scaled).backward()
        return logits.detach(), loss.detach()

    def masks(self, plan: StepPlan) -> AbstractContextManager[None]:
        """Context in which the model drops what it drops in a step."""
        shared = self._parts is not None and self._parts.shared
        return self._dropouts.masks(plan.step, plan.part, shared)

    @contextmanager
    def as_in_a_step(self, plan: StepPlan) -> Iterator[None]:
        """Context in which modules compute as in the forward pass of a step."""
        part, parts = plan.part, self._parts
        shared = nullcontext() if part is None or parts is None else parts.batch_norm(part)
        with shared, self.masks(plan), self.precision_policy.forward():
            yield

    def _gradients_of_part(
        self, batch: DeviceBatch, plan: StepPlan, part: Part
    ) -> tuple[Tensor, Tensor]:
        """Adds gradients to those of a part; returns logits and loss."""
        assert self._parts is not None, "plan.part is for divided batches"
        with self._parts.step(part, plan.apply_update) as computes:
            if computes:
                forward = self._parts.forward_pass(part, plan.apply_update)
                logits, loss = self._gradients(batch, plan, forward)
                return logits[: batch.size], loss
        return batch.images.new_zeros(0, 1), batch.images.new_zeros(())

    def load_averages(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the averages that `state` names; all others start from the values."""
        self.be_ready_to_train()
        if self.averages is not None:
            self.averages.load(state)

    def swap_average(self) -> None:
        """Exchanges the model's values with their averages, in place."""
        if self.averages is not None:
            self.averages.swap()

    def eval_step(self, batch: DeviceBatch) -> Outputs:
        """Computes the logits in evaluation mode."""
        if self._ready_to_train or self.model.training:
            self.model.eval()
            self._ready_to_train = False
        with self.cores, torch.inference_mode(), self.precision_policy.step():
            return Outputs(self._logits(batch, self._forward)[0])

    def fetch(self, outputs: Sequence[Outputs]) -> list[HostOutputs]:
        """Copies all outputs to the host at once."""
        if not outputs:
            return []
        with torch.inference_mode():
            tensors = [t for o in outputs for t in (o.logits, o.loss, o.grad_norm) if t is not None]
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            host: NDArray[np.float32] = flat.to("cpu", torch.float32).numpy()
        fetched, position = [], 0
        for output in outputs:
            end = position + output.logits.numel()
            logits = host[position:end].reshape(output.logits.shape)
            scalars = [math.nan, math.nan]
            for i, scalar in enumerate((output.loss, output.grad_norm)):
                if scalar is not None:
                    scalars[i], end = float(host[end]), end + 1
            fetched.append(HostOutputs(logits, *scalars))
            position = end
        return fetched

    def _logits(
        self, batch: DeviceBatch, forward: Callable[[Tensor], Any]
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns the logits of the model and of its auxiliary classifiers."""
        images = batch.images.contiguous(memory_format=self.memory_format)
        with self.precision_policy.forward():
            outputs: Tensor | tuple[Tensor, ...] = forward(images)
        if isinstance(outputs, Tensor):
            return outputs.float(), []
        logits, *auxiliary = outputs
        return logits.float(), [each.float() for each in auxiliary]

    def _check_single_image(self, batch: DeviceBatch, part: Part | None) -> None:
        if self._takes_single_images:
            return
        if part is None or self._parts is None:
            single = batch.size == 1
        else:
            single = self._parts.has_single_image(part)
        if not single:
            return
        batch = DeviceBatch(batch.images[:1], batch.labels[:1], 1)
        names = [name for name, _ in self.model.named_parameters()]
        check_single_image(self._freezing, self.model, self.freeze_plan, batch, names)
        self._takes_single_images = True

    def be_ready_to_train(self) -> None:
        """Puts the model's layers into the modes in which they train."""
        if self._ready_to_train and self.model.training:
            return
        self._freezing.training_mode(self.model, self.freeze_plan)
        if self.averages is not None:
            self.averages.follow()
        if self._parts is not None:
            self._parts.be_ready()
        self._ready_to_train = True

    def _update(self, plan: StepPlan) -> Tensor | None:
        """Makes an update; returns the norm of the gradient before clipping, if the plan clips."""
        if self._parts is not None:
            self._parts.reduce()
        for group in self._optimizer.param_groups:
            group["lr"] = plan.learning_rate * group["lr_scale"]
            group.update(momentum_options(self.plan.optimizer, plan.momentum))
        norm = None
        if self.plan.clip_grad_norm is not None:
            self.precision_policy.scaler.unscale_(self._optimizer)
            norm = clip_grad_norm_(self.trainable.values(), self.plan.clip_grad_norm)
        self.precision_policy.scaler.step(self._optimizer)
        self.precision_policy.scaler.update()
        if isinstance(self._forward, FoldedModel):
            for parameter in self.trainable.values():
                increment_version(parameter)  # which fused optimizers leave out
        self._optimizer.zero_grad(set_to_none=True)
        if self._parts is not None:
            self._parts.end_update()
        if self.averages is not None and plan.average_decay is not None:
            self.averages.update(plan.average_decay)
        return norm


def own(trainer: Trainer) -> TorchTrainer:
    """Returns `trainer`.

    Raises:
        BackendError: It is another backend's.
    """
    if not isinstance(trainer, TorchTrainer):
        raise BackendError(f"{type(trainer).__name__} is not a trainer of the torch backend.")
    return trainer


def takes_any_order(model: nn.Module) -> bool:
    """Whether a model computes in any memory format.

    Somebody else's model stays as it is: code that uses ``view`` may rely on it.
    """
    return type(model).__module__.startswith(("torchvision.", "isotune_torch."))


def _order(model: nn.Module, best: torch.memory_format) -> torch.memory_format:
    """Gives the model's convolutions the `best` memory format; returns the one they then have."""
    if takes_any_order(model):
        model.to(memory_format=best)
    for parameter in model.parameters():
        channels_last = parameter.dim() == 4 and parameter.is_contiguous(
            memory_format=torch.channels_last
        )
        if channels_last and not parameter.is_contiguous():
            return torch.channels_last
    return torch.contiguous_format
