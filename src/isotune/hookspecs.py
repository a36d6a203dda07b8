"""The hooks that a plugin may implement. Mark implementations with ``isotune.hookimpl``.

A backend's plugin is an entry point of group ``isotune`` named after the backend. It is imported
only when that backend is used. Any other plugin is an entry point of group ``isotune.extensions``.
It is imported when the first spec is checked, so it should import heavy packages only when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from isotune.interfaces.backbone import BackboneEntry
    from isotune.interfaces.backend import BackendOffer
    from isotune.interfaces.dataset import DatasetFormat
    from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted, StepEnded
    from isotune.interfaces.sweep import TrialEnded
    from isotune.spec.observer import ObserverSpec
    from isotune.spec.schedule import ScheduleSpec
    from isotune.spec.transforms import TransformSpec

hookspec = pluggy.HookspecMarker("isotune")
hookimpl = pluggy.HookimplMarker("isotune")


@hookspec
def isotune_backends() -> list[BackendOffer]:  # type: ignore[empty-body]
    """Offers backends."""


@hookspec
def isotune_backbones() -> list[BackboneEntry]:  # type: ignore[empty-body]
    """Offers backbones in addition to the catalogue's, with the functions that build them."""


@hookspec
def isotune_transforms() -> list[type[TransformSpec]]:  # type: ignore[empty-body]
    """Offers transforms. Called once, when the plugin is registered."""


@hookspec
def isotune_dataset_formats() -> list[type[DatasetFormat]]:  # type: ignore[empty-body]
    """Offers dataset formats. Called once, when the plugin is registered."""


@hookspec
def isotune_schedules() -> list[type[ScheduleSpec]]:  # type: ignore[empty-body]
    """Offers schedules. Called once, when the plugin is registered."""


@hookspec
def isotune_observers() -> list[type[ObserverSpec]]:  # type: ignore[empty-body]
    """Offers observers that a spec may name. Called once, when the plugin is registered."""


@hookspec
def isotune_run_started(event: RunStarted) -> None:
    """Called when everything is ready for the first step."""


@hookspec
def isotune_step_ended(event: StepEnded) -> None:
    """Called after a training step was handed to the device."""


@hookspec
def isotune_epoch_ended(event: EpochEnded) -> None:
    """Called after an epoch's validation."""


@hookspec
def isotune_run_finished(event: RunFinished) -> None:
    """Called when the run has finished, before ``isotune_run_ended``, which follows every run."""


@hookspec
def isotune_run_ended(event: RunEnded) -> None:
    """Called once for every run that started, whatever ended it: time to close what is open."""


@hookspec
def isotune_trial_ended(event: TrialEnded) -> None:
    """Called after each trial of a sweep, in the process that started the sweep."""
