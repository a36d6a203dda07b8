"""The sections of a card that hold figures: data, metrics, curves, classes, mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import assert_never

from isotune.experiment.result import Run
from isotune.exporting.card.document import (
    Block,
    Facts,
    Gallery,
    Matrix,
    Paragraph,
    Plot,
    Rows,
    Section,
)
from isotune.exporting.card.facts import UNKNOWN, CardFacts
from isotune.exporting.card.metadata import dataset_name
from isotune.metrics import METRICS
from isotune.metrics.calibration import BINS, reliability
from isotune.metrics.precision_recall import class_figures
from isotune.reports.calibration import reliability_figure, reliability_table
from isotune.reports.classes import class_table
from isotune.reports.confusion import confusion_figure
from isotune.reports.curves import curves_figure
from isotune.reports.describe import counted_as_true
from isotune.reports.metrics import further, heading, written
from isotune.reports.mistakes import summary
from isotune.reports.numbers import count, percent, significant
from isotune.reports.tables import Table
from isotune.spec.experiment import ExperimentSpec
from isotune.storage.downloads.address import shown
from isotune.training.evaluation import AnyEvaluation, Evaluation, MultiLabelEvaluation

FEW = 12
"""Largest number of classes whose confusion matrix is a table."""

EPOCHS, CONFUSIONS = 30, 20
"""Largest numbers of epochs and of confused pairs of classes in a table."""


def result_sections(facts: CardFacts) -> list[Section]:
    """Returns the sections that hold figures, in order."""
    return [
        _data(facts),
        _metrics(facts),
        _curves(facts),
        _classes(facts),
        *_by_label(facts.evaluation, facts.run),
        _mistakes(facts),
    ]


def _by_label(evaluation: AnyEvaluation, run: Run) -> list[Section]:
    """Returns the sections that differ between images with one label and with several."""
    match evaluation:
        case Evaluation():
            return [_confusion(evaluation, run.spec, run.classes), _calibration(evaluation)]
        case MultiLabelEvaluation():
            return [_labels(evaluation, run.classes)]
        case _:
            assert_never(evaluation)


def _data(facts: CardFacts) -> Section:
    dataset, skipped, trained = facts.run.spec.dataset, facts.summary.skipped, facts.figures
    rows = {
        "Dataset": f"{dataset_name(facts)}, format '{dataset.format}'",
        "Source": "unknown" if dataset.url is None else shown(dataset.url),
        "Images": f"{_number(facts.summary.images.train)} for training (split"
        f" '{dataset.splits.train}'), {_number(trained.val_images)} for validation (split"
        f" '{dataset.splits.val}')",
        "Skipped": f"{_number(skipped.train)} of the training images and {_number(skipped.val)} of"
        " the validation images, which could not be read",
        "Collected": facts.about.data_source or UNKNOWN,
    }
    if dataset.split is not None:
        test, by = facts.summary.images.test, dataset.split.by
        rows["Images"] += "" if test is None else f", {_number(test)} for a test (split 'test')"
        rows["Divided"] = f"at random, by {by}, with the seed {dataset.split.seed}"
        rows["Skipped"] = f"{_number(skipped.all or 0)}, which could not be read"
    blocks: list[Block] = [Facts(rows)]
    if not facts.same_images:
        text = (
            "The figures of this card are not from the validation images of the training: another"
            " dataset was given, or images were added, removed or changed since."
        )
        blocks.append(Paragraph(text))
    second = "validation images" if facts.same_images else "images of this card"
    table = Table(["class", "training images", second])
    for label, name in enumerate(facts.run.classes):
        own = int(facts.evaluation.counts.images[label])
        table.add(name, _number(facts.trained_on(label)), f"{own:,}")
    return Section("Data", [*blocks, Rows(table, "Images by class")])


def _metrics(facts: CardFacts) -> Section:
    table = Table(["metric", "value", "in training"])
    for name, value in facts.evaluation.metrics.items():
        key = f"val_{name}"
        recorded = written(key, facts.run.best.value(key), exact=True)
        table.add(METRICS[name].label, written(key, value, exact=True), recorded)
    text = (
        f"On {facts.images}, computed by {facts.run.engine} for this card, beside the values that"
        f" training recorded in epoch {facts.run.best.epoch} (a dash: not recorded)."
    )
    return Section("Metrics", [Paragraph(text), Rows(table, "Metrics")])


def _curves(facts: CardFacts) -> Section:
    figures = facts.figures
    if not figures.history:
        return Section("Learning curves", [Paragraph("No epoch of the run has ended.")])
    further_names = further(figures.history)
    columns = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", *further_names]
    names = {name: heading(name) for name in further_names}
    names |= {
        "train_loss": "train loss",
        "train_accuracy": "train accuracy",
        "val_loss": "val loss",
        "val_accuracy": "val accuracy",
    }
    table = Table(["epoch", "learning rate", *(names[name] for name in columns)])
    best = None if figures.best is None else figures.best.epoch
    chosen = _spread(len(figures.history), None if best is None else best - 1)
    for metrics in (figures.history[index] for index in chosen):
        mark = f"{metrics.epoch} (best)" if metrics.epoch == best else str(metrics.epoch)
        values = [written(name, metrics.value(name), exact=True) for name in columns]
        table.add(mark, significant(metrics.learning_rate), *values)
    caption = "Epochs"
    if len(chosen) < len(figures.history):
        caption = f"{len(chosen)} of {count(len(figures.history), 'epoch')}"
    plot = Plot(
        lambda: curves_figure([figures]),
        "Loss, accuracy and learning rate over the epochs",
        narrow=lambda: curves_figure([figures], columns=1),
    )
    blocks: list[Block] = [plot, Rows(table, caption)]
    if figures.mixing is not None:
        text = (
            f"Training images were mixed ({figures.mixing}): for the train accuracy,"
            f" {counted_as_true(facts.run.spec.dataset.multi_label)} counted as true."
        )
        blocks.append(Paragraph(text))
    return Section("Learning curves", blocks)


def _spread(total: int, best: int | None) -> list[int]:
    """Returns positions of epochs, evenly spaced, with the first, the last and the best one."""
    evenly = np.linspace(0, total - 1, min(total, EPOCHS)).round().astype(int).tolist()
    return sorted({*evenly, *([] if best is None or best >= total else [best])})


def _classes(facts: CardFacts) -> Section:
    blocks: list[Block] = [
        Rows(class_table(facts.evaluation, facts.run.classes), "Figures of each class")
    ]
    if any(np.isnan(each).any() for each in class_figures(facts.evaluation)[3:]):
        blocks.append(Paragraph("A dash stands where there is no image to divide by."))
    return Section("Classes", blocks)


def _confusion(evaluation: Evaluation, spec: ExperimentSpec, classes: Sequence[str]) -> Section:
    matrix = evaluation.confusion
    if len(classes) <= FEW:
        caption = "Number of images; a row is a true class, a column a predicted one"
        return Section("Confusion", [Matrix(classes, matrix.tolist(), caption)])
    plot = Plot(
        lambda: confusion_figure(matrix, classes, spec.name, spec.dataset.splits.val),
        "Confusion matrix; a row is a true class, a column a predicted one",
    )
    wrong = matrix - np.diag(matrix.diagonal())
    if not wrong.any():
        return Section("Confusion", [plot, Paragraph("No image was classified wrongly.")])
    table = Table(["true class", "predicted class", "images", "of the true class"])
    table.align = ["left", "left", "right", "right"]
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    for true, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if images := int(wrong[true, predicted]):
            share = percent(images / matrix[true].sum())
            table.add(classes[true], classes[predicted], f"{images:,}", share)
    return Section("Confusion", [plot, Rows(table, "The classes that are confused most often")])


def _labels(evaluation: MultiLabelEvaluation, classes: Sequence[str]) -> Section:
    """Returns the section that takes the place of a confusion matrix."""
    table = Table(["class", "found", "missed", "predicted wrongly", "rightly left out"])
    for name, ((neither, wrong), (missed, found)) in zip(
        classes, evaluation.confusion.tolist(), strict=True
    ):
        table.add(name, *(f"{number:,}" for number in (found, missed, wrong, neither)))
    return Section("Confusion", [Rows(table, "Number of images")])


def _calibration(evaluation: Evaluation) -> Section:
    figures = reliability(evaluation)
    error = percent(evaluation.metrics["expected_calibration_error"], 2)
    text = (
        f"Expected calibration error: {error}, the mean distance between confidence and accuracy"
        f" over {BINS} bins of confidence, weighted by images (Guo et al., 2017). Confidence is the"
        " probability of the predicted class."
    )
    plot = Plot(lambda: reliability_figure(figures), "Reliability diagram")
    rows = Rows(reliability_table(figures), "Bins of confidence that have images")
    return Section("Calibration", [Paragraph(text), plot, rows])


def _mistakes(facts: CardFacts) -> Section:
    found = facts.mistakes
    blocks: list[Block] = [Paragraph(f"{summary(found)}.")]
    if found.shown:
        caption = f"The {len(found.shown)} most confident mistakes"
        blocks.append(Gallery(found, caption))
    return Section("Worst mistakes", blocks)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
