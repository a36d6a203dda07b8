"""How much of the difference between good and other trials each parameter explains."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from isotune.interfaces.sweep import Trial
from isotune.metrics import monitored
from isotune.reports.sweep import ranked
from isotune.spec.space.parameters import Choices, Parameter

FEWEST = 10
"""Number of complete trials below which nothing is said: the best tenth is compared with all."""


def importance_of(
    parameters: Mapping[str, Parameter], monitor: str, trials: Sequence[Trial]
) -> dict[str, float]:
    """Returns the share of each parameter that all complete trials have; their sum is 1.

    PED-ANOVA (Watanabe, Bansal and Hutter, "PED-ANOVA", 2023) as Optuna computes it.

    Args:
        parameters: The parameters of the space by name.
        monitor: Name of the metric by which trials are compared.
        trials: The trials.

    Returns:
        Nothing if there are too few trials, or all are equally good.
    """
    complete = [trial for trial in ranked(monitor, trials) if _fits(trial, parameters)]
    if len(complete) < FEWEST or len({trial.value for trial in complete}) == 1:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    higher = monitored(monitor).higher_is_better
    study = optuna.create_study(direction="maximize" if higher else "minimize")
    for trial in complete:
        drawn = {name: _distribution(parameters[name]) for name in trial.parameters}
        new = create_trial(value=trial.value, params=dict(trial.parameters), distributions=drawn)
        study.add_trial(new)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def _fits(trial: Trial, parameters: Mapping[str, Parameter]) -> bool:
    """Whether a trial's values are of this space, as those of a damaged file may not be."""
    return all(
        name in parameters and parameters[name].domain.holds(value)
        for name, value in trial.parameters.items()
    )


def _distribution(parameter: Parameter) -> BaseDistribution:
    domain = parameter.domain
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.ends())
    return FloatDistribution(float(domain.low), float(domain.high), log=domain.log)
