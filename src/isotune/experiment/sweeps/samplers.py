"""Optuna's samplers and pruners, seeded for each trial.

Optuna's samplers draw from one stream of random numbers, whose position no storage keeps: a sweep
that goes on in a new process would draw other values. Here each value has a sampler with a seed of
its own, a function of the sweep's seed, the trial's number and the parameter's name. What it draws
then depends on nothing else except the trials before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from optuna.distributions import BaseDistribution
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, BruteForceSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from typing_extensions import assert_never

from isotune.randomness import Purpose, stream
from isotune.runs.sweep import Pruner, Sampler


class SeededSampler(BaseSampler):
    """A sampler that draws the same values for a trial in whichever process it begins.

    Args:
        kind: Name of the sampler.
        seed: The sweep's seed.
    """

    def __init__(self, kind: Sampler, seed: int) -> None:
        self._make = _maker(kind)
        self._seed = seed
        self._joint: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns the parameters whose values are drawn together."""
        sampler = self._make(self._derived(trial.number, 0))
        self._joint = (trial.number, sampler)
        return sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws values together, in the space that was inferred for the trial."""
        assert self._joint is not None and self._joint[0] == trial.number
        return self._joint[1].sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draws the value of one parameter."""
        sampler = self._make(self._derived(trial.number, 1 + crc32(param_name.encode())))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _derived(self, number: int, what: int) -> int:
        """Returns a seed of 32 bits, as NumPy's older generators take it."""
        words = stream(self._seed, Purpose.SEARCH, number, what).bit_generator.random_raw(1)
        return int(words[0]) >> 32


def _maker(kind: Sampler) -> Callable[[int], BaseSampler]:
    match kind:
        case "tpe":
            # With constant_liar, workers do not all try the same at the same time.
            return lambda seed: TPESampler(seed=seed, constant_liar=True)
        case "random":
            return lambda seed: RandomSampler(seed=seed)
        case "grid":  # Optuna's own GridSampler has no values that depend on a choice
            return lambda seed: BruteForceSampler(seed=seed, avoid_premature_stop=True)
    assert_never(kind)


def pruner(kind: Pruner, epochs: int) -> BasePruner:
    """Returns one of Optuna's pruners, whose resource is the epoch.

    Args:
        kind: Its name.
        epochs: Largest number of epochs of a trial.
    """
    match kind:
        case "none":
            return NopPruner()
        case "median":
            return MedianPruner()
        case "successive_halving":
            return SuccessiveHalvingPruner(min_resource=1)
        case "hyperband":
            return HyperbandPruner(min_resource=1, max_resource=epochs)
    assert_never(kind)
