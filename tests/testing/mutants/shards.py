"""Broken copies of the example backend: batches that are divided into shards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.division import Part
from isotune.training.dropout import layer_seed
from numpy_backend import trainer
from numpy_backend.shards import Statistics, flat
from numpy_backend.trainer import NumpyTrainer


def ignores_the_division_of_a_batch(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step
    patch.setattr(
        NumpyTrainer, "train_step", lambda self, b, p: step(self, b, replace(p, part=None))
    )


def moves_statistics_shard_after_shard(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def moving(self: Any, shared: bool) -> Iterator[None]:
        yield
        self.moved.append(flat(self._moving()))

    patch.setattr(Statistics, "of_one_shard", moving)


def keeps_the_statistics_of_the_last_shard(patch: pytest.MonkeyPatch) -> None:
    end = Statistics.end_batch

    def last(self: Any, part: Part) -> None:
        self.moved = [self.moved[-1]] * len(self.moved)
        end(self, part)

    patch.setattr(Statistics, "end_batch", last)


def counts_empty_shards_in_the_mean_of_statistics(patch: pytest.MonkeyPatch) -> None:
    end = Statistics.end_batch
    patch.setattr(Statistics, "end_batch", lambda self, part: end(self, without_empty(part)))


def without_empty(part: Part) -> Part:
    """Returns a part that takes all parts for such that have images."""
    return replace(part, sizes=tuple(max(1, size) for size in part.sizes))


def drops_the_same_in_every_shard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        trainer, "layer_seed", lambda seed, step, path, shard: layer_seed(seed, step, path)
    )


def takes_placeholders_for_images(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step

    def counting(self: Any, batch: Any, plan: Any) -> Any:
        if not batch.size:
            batch, plan = replace(batch, size=1), replace(plan, loss_scale=0.25)
        return step(self, batch, plan)

    patch.setattr(NumpyTrainer, "train_step", counting)


def updates_after_every_shard(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step

    def early(self: Any, batch: Any, plan: Any) -> Any:
        every = plan.part is not None and batch.size
        return step(self, batch, replace(plan, apply_update=True) if every else plan)

    patch.setattr(NumpyTrainer, "train_step", early)


def averages_the_gradients_of_shards_instead_of_their_images(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step

    def unweighted(self: Any, batch: Any, plan: Any) -> Any:
        if plan.part is not None and batch.size:
            plan = replace(plan, loss_scale=1 / np.count_nonzero(plan.part.sizes))
        return step(self, batch, plan)

    patch.setattr(NumpyTrainer, "train_step", unweighted)


def averages_before_statistics_are_those_of_all_shards(patch: pytest.MonkeyPatch) -> None:
    end, average = Statistics.end_batch, NumpyTrainer._average

    def late(self: Any, share: Any) -> None:
        average(self, share)
        if self.statistics.moved:
            end(self.statistics, self.statistics.part)

    def without_averages(self: Any, part: Part) -> None:
        self.part = part
        if not self.averaging:
            end(self, part)

    step = NumpyTrainer.train_step

    def telling(self: Any, batch: Any, plan: Any) -> Any:
        self.statistics.averaging = plan.average_decay is not None
        return step(self, batch, plan)

    patch.setattr(NumpyTrainer, "_average", late)
    patch.setattr(Statistics, "end_batch", without_averages)
    patch.setattr(NumpyTrainer, "train_step", telling)
