"""What a card is made from: the run's files, the catalogue, and one evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from isotune.data.folders import one_form
from isotune.experiment.listed_images import listed_split
from isotune.experiment.result import Run
from isotune.exporting.card.about import About
from isotune.interfaces.backbone import PublishedWeights
from isotune.interfaces.versions import versions
from isotune.reports.comparison import RunFigures, read_figures
from isotune.reports.mistakes import Mistakes, find_mistakes
from isotune.reports.numbers import count
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.images import ImagesSummary, read_images, summarize_images
from isotune.runs.schema import Manifest, Summary
from isotune.storage.untrusted import open_regular
from isotune.training.evaluation import AnyEvaluation
from isotune.weights.fetch import present_weights

UNKNOWN = "unknown; the author has not said"
"""What stands for what only the author knows."""

NOTHING = About()
"""An author who says nothing."""

PART = 1 << 20
"""Number of bytes that are hashed together."""

MISTAKES = 12
"""Number of mistakes that a card shows."""


@dataclass(frozen=True)
class CardFacts:
    """What is known of a run's model.

    Attributes:
        run: The run.
        about: What its author says.
        figures: What the run folder says of the training.
        summary: What the run says of itself.
        manifest: The manifest of the checkpoint that the model is from; None if the run has not
            kept it.
        evaluation: The model on the validation images.
        mistakes: The most confident mistakes, named by the images' names in their split.
        evaluated: The images of the evaluation.
        listed: The images of the training; None for runs of Isotune 0.1.0, which have no list.
        versions: Versions of the packages that evaluated the model.
        pretrained: SHA-256 of the file of pretrained weights as it is now, as hexadecimal digits;
            None if there were none or the file is not on this machine.
    """

    run: Run
    about: About
    figures: RunFigures
    summary: Summary
    manifest: Manifest | None
    evaluation: AnyEvaluation
    mistakes: Mistakes
    evaluated: ImagesSummary
    listed: ImagesSummary | None
    versions: Mapping[str, str]
    pretrained: str | None

    @property
    def published(self) -> PublishedWeights | None:
        """The published weights that training started from, if it did from some."""
        return self.run.entry.weights.get(self.run.spec.backbone.weights)

    @property
    def is_best(self) -> bool:
        """Whether the model is that of the run's best epoch."""
        best = self.figures.best
        return best is not None and best.steps == self.run.best.steps

    @property
    def same_images(self) -> bool:
        """Whether the images of the evaluation are the validation images of the training.

        They are taken for it where the run has no list.
        """
        if self.listed is None:
            return True
        return self.listed.fingerprints.get("val") == self.evaluated.fingerprints.get("val")

    @property
    def images(self) -> str:
        """How many images the evaluation has, and which."""
        number = len(self.evaluation.labels)
        if self.same_images:
            return count(number, "validation image")
        return f"{count(number, 'image')} of another dataset"

    def trained_on(self, label: int) -> int | None:
        """Returns the number of training images of a class; None if it is unknown."""
        if self.listed is None:
            return None
        return self.listed.counts.get("train", {}).get(one_form(self.run.classes[label]), 0)


def gather(run: Run, data: str | Path | None, about: About = NOTHING) -> CardFacts:
    """Evaluates a run's model once, and reads what its folder says.

    Args:
        run: The run.
        data: Folder of the dataset, if it is not where the spec says.
        about: What the author says.

    Raises:
        DatasetError: The validation images are missing or broken.
        RunError: A file of the run is damaged, or an output of the model is not finite.
    """
    spec, split = run.spec, run.spec.dataset.splits.val
    listed = read_images(run.path)
    source = run.open_images(split, data)
    evaluation = run.evaluate_source(source)
    images = list(listed_split("val", source, spec.dataset, data))
    positions = {source.identify(index): image.name for index, image in enumerate(images)}
    mistakes = find_mistakes(source, evaluation, MISTAKES, name=spec.name, split=split)
    shown = [replace(each, identity=positions[each.identity]) for each in mistakes.shown]
    return CardFacts(
        run=run,
        about=about,
        figures=read_figures(run.path),
        summary=run.folder.summary(),
        manifest=CheckpointStore(run.folder.checkpoints).manifest_at(run.best.steps),
        evaluation=evaluation,
        mistakes=replace(mistakes, shown=shown),
        evaluated=summarize_images(images),
        listed=None if listed is None else summarize_images(listed),
        versions=versions(run.backend),
        pretrained=_digest(present_weights(run.entry, spec.backbone.weights)),
    )


def _digest(path: Path | None) -> str | None:
    """Returns the SHA-256 of a file, or None if there is none that can be read."""
    if path is None:
        return None
    digest = hashlib.sha256()
    try:
        with open_regular(path, follow=True) as file:
            while part := file.read(PART):
                digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()
