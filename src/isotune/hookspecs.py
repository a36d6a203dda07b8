"""The hooks a plugin may implement. Mark implementations with ``isotune.hookspecs.hookimpl``.

A backend's plugin is an entry point of group ``isotune`` named after the backend; it is only
imported when that backend is asked for. Any other plugin is an entry point of group
``isotune.extensions`` and is imported for every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from isotune.interfaces.backbone import BackboneEntry
    from isotune.interfaces.backend import BackendOffer
    from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted, StepEnded

hookspec = pluggy.HookspecMarker("isotune")
hookimpl = pluggy.HookimplMarker("isotune")


@hookspec
def isotune_backends() -> list[BackendOffer]:  # type: ignore[empty-body]
    """Offers backends."""


@hookspec
def isotune_backbones() -> list[BackboneEntry]:  # type: ignore[empty-body]
    """Offers backbones beside the catalogue's, with the functions that build them."""


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
    """Called when the run has finished, before ``isotune_run_ended``, which tells of every end."""


@hookspec
def isotune_run_ended(event: RunEnded) -> None:
    """Called once for every run that started, whatever ended it: time to close what is open."""
