"""Summarizes the model of an experiment without training it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from isotune.catalogue.entries import chosen_backbone
from isotune.data.images import find_classes
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.build import build_with_heads, freezing_plans
from isotune.models.summary import summarize_layers
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.reports.model_summary import PrintableSummary
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecSource, load_spec
from isotune.training.isolation import isolated
from isotune.training.plan import check_outputs, plan_with


def summary(
    spec: SpecSource,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    classes: int | None = None,
    plugins: Plugins = default_plugins,
) -> PrintableSummary:
    """Summarizes the model that an experiment trains; no weights are read and nothing is written.

    Args:
        spec: As for ``isotune.run``.
        backend: As for ``isotune.run``; the summary is the same on each.
        device: As for ``isotune.run``.
        overrides: As for ``isotune.run``.
        classes: Number of classes; None reads it from the dataset, which is downloaded if it is
            missing.
        plugins: Where backends and backbones are found.

    Returns:
        The layers, shown as a table with totals.

    Raises:
        IsotuneError: one of its kinds, with a sentence that says what to change.
    """
    loaded = load_spec(spec, overrides)
    backend = backend or plugins.only_usable()
    entry = chosen_backbone(loaded.backbone, backend, plugins)
    opened = plugins.open_backend(backend, device)
    if classes is None:
        classes = len(find_classes(loaded.dataset))
    check_outputs(loaded, classes)
    with isolated(opened):
        model, _ = build_with_heads(loaded, entry, opened, classes)
    shapes = opened.state_adapter.model_shapes(model)
    plan = plan_with(loaded, entry, None)
    return summarize_model(loaded, shapes, freezing_plans(loaded, entry, shapes), plan)


def summarize_model(
    spec: ExperimentSpec,
    shapes: Mapping[str, tuple[int, ...]],
    freezing: Callable[[int], FreezePlan],
    plan: TrainingPlan,
) -> PrintableSummary:
    """Returns the summary of an experiment's model.

    Args:
        spec: The experiment.
        shapes: Shapes of the model's tensors by canonical name, in the model's order.
        freezing: Returns the freeze plan of an epoch, counted from 1.
        plan: Has the learning-rate scales.
    """
    changes = [epoch for epoch in spec.freeze.unfreeze if epoch <= spec.epochs]
    rows = summarize_layers(shapes, freezing, changes, plan.lr_scale)
    return PrintableSummary(spec.backbone.name, rows)
