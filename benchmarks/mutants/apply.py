"""Changes one side for as long as a context lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import mindspore_changes
import torch_changes
from mutant import Mutant
from rules import RULES, mindspore_rule, torch_rule
from step_changes import BATCHES, FREEZES, NORMALIZATIONS, PLANS, STEPS

from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune_mindspore.backend import MindSporeBackend
from isotune_mindspore.cells import find
from isotune_mindspore.dataset import MindSporeDatasetAdapter
from isotune_torch.backend import TorchBackend
from isotune_torch.dataset import TorchDatasetAdapter

BACKENDS: dict[str, Any] = {"torch": TorchBackend, "mindspore": MindSporeBackend}
ADAPTERS: dict[str, Any] = {"torch": TorchDatasetAdapter, "mindspore": MindSporeDatasetAdapter}


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """Makes a side's new trainers those of the mutant, and its batches, too."""
    backend, adapter = BACKENDS[mutant.side], ADAPTERS[mutant.side]
    original, feed = backend.trainer, adapter.feed

    def trainer(self: Any, model: Any, plan: TrainingPlan) -> Trainer:
        if mutant.path is not None:
            change_layer(mutant, model)
        made = original(self, model, PLANS.get(mutant.change, _same)(plan))
        change_steps(mutant, made)
        return made

    def feeds(self: Any, batches: Iterable[Any], normalization: Any) -> Iterator[Any]:
        change = BATCHES.get(mutant.change, _same)
        changed = NORMALIZATIONS.get(mutant.change, _same)(normalization)
        return feed(self, map(change, batches), changed)

    with ExitStack() as stack:
        stack.enter_context(patch.object(backend, "trainer", trainer))
        stack.enter_context(patch.object(adapter, "feed", feeds))
        if mutant.change in RULES:
            use = torch_rule if mutant.side == "torch" else mindspore_rule
            stack.enter_context(use(RULES[mutant.change]))
        yield


def _same(value: Any) -> Any:
    return value


def change_layer(mutant: Mutant, model: Any) -> None:
    """Changes the mutant's layer of a model."""
    changes: Any = torch_changes if mutant.side == "torch" else mindspore_changes

    def layer(path: str | None) -> Any:
        if path is None:
            return None
        return model.get_submodule(path) if mutant.side == "torch" else find(model, path)

    changes.CHANGES[mutant.change](layer(mutant.path), layer(mutant.partner))


def change_steps(mutant: Mutant, trainer: Any) -> None:
    """Changes the plans that a trainer gets."""
    train_step, freeze = trainer.train_step, trainer.freeze
    if change := STEPS.get(mutant.change):
        trainer.train_step = lambda batch, plan: train_step(batch, change(plan))
    if freezes := FREEZES.get(mutant.change):
        trainer.freeze = lambda plan: freeze(freezes(plan))
