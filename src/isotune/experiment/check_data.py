"""Checks the images of an experiment before training costs anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from isotune.data.folders import one_form
from isotune.data.integrity.balance import missing_classes, unbalanced_classes
from isotune.data.integrity.class_names import similar_names
from isotune.data.integrity.copies import copies
from isotune.data.integrity.findings import ExaminedSplit, Finding, Kind, Offender
from isotune.data.integrity.readable import unreadable_images
from isotune.data.integrity.shapes import unusual_images
from isotune.experiment.examined_splits import examine
from isotune.interfaces.dataset import ImageSource, class_counts
from isotune.printable import printable
from isotune.spec.load import SpecSource, load_spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.reports.tables import Table

FORMAT = "isotune-check-1"
"""Names the JSON format of a check. Later versions only add to it, or change its name."""


@dataclass(frozen=True, repr=False)
class DataCheck:
    """What is wrong with the images of an experiment.

    Attributes:
        name: The experiment's name.
        classes: The classes of all splits, those of training first.
        counts: Number of images of each class, in their order, by split.
        splits: The splits and what their images look like, training first.
        complete: The same; or, where the spec divides the readable images, all images.
        findings: What is wrong: errors first, and then by kind.
    """

    name: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    splits: tuple[ExaminedSplit, ...]
    complete: tuple[ExaminedSplit, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that would stop a run."""
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings with which a run would train."""
        return tuple(each for each in self.findings if each.severity == "warning")

    def table(self) -> Table:
        """Returns a table with a row for each finding."""
        from isotune.reports.findings import findings_table

        return findings_table(self.findings)

    def figure(self, count: int = 48) -> Figure:
        """Returns a figure of the images that findings are about.

        Args:
            count: Largest number of images.

        Raises:
            IsotuneError: matplotlib is not installed.
        """
        from isotune.reports.findings import findings_figure

        sources = {each.name: each.source for each in (*self.complete, *self.splits)}
        return findings_figure(self.name, self.findings, sources, count)

    def __repr__(self) -> str:
        found = self.table().plain() if self.findings else "nothing was found"
        return f"DataCheck({printable(self.name)})\n{found}"

    def _repr_html_(self) -> str:
        return self.table().html() if self.findings else "<p>Nothing was found.</p>"

    def as_json(self) -> dict[str, Any]:
        """Returns the check in JSON's types, with all offenders."""
        return {
            "format": FORMAT,
            "name": self.name,
            "classes": list(self.classes),
            "counts": {name: list(counts) for name, counts in self.counts.items()},
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_data(
    spec: SpecSource,
    *,
    overrides: Iterable[str] = (),
    splits: Sequence[str] = (),
) -> DataCheck:
    """Returns what is wrong with the images of an experiment.

    All images are decoded once; what they look like is cached. No backend is needed, and nothing is
    changed.

    Args:
        spec: Path of a YAML file, name of a recipe, a mapping, or a spec.
        overrides: ``"dataset.path=flowers"``, as ``--set`` on the command line.
        splits: Names of splits to check beside those to train and to validate on.

    Raises:
        SpecError: The spec is wrong.
        DatasetError: The dataset or the training split is missing or damaged.
    """
    loaded = load_spec(spec, overrides)
    opened = examine(loaded, splits)
    examined = opened.splits
    classes = _all_classes([each.source for each in examined])
    counts = {each.name: _counted(each.source, classes) for each in examined}
    findings = [
        *opened.findings,
        *unreadable_images(opened.complete, loaded.dataset.broken),
        *_similar_classes(classes),
        *missing_classes(classes, counts),
        *unbalanced_classes(examined[0]),
        *copies(examined, loaded.dataset.duplicates),
        *unusual_images(examined),
    ]
    kinds = get_args(Kind)
    findings.sort(key=lambda each: (each.severity != "error", kinds.index(each.kind)))
    return DataCheck(loaded.name, classes, counts, examined, opened.complete, tuple(findings))


def _all_classes(sources: Sequence[ImageSource]) -> tuple[str, ...]:
    """Returns the classes of all sources, in their order, each in its first Unicode form."""
    found: dict[str, str] = {}
    for source in sources:
        for name in source.classes:
            found.setdefault(one_form(name), name)
    return tuple(found.values())


def _counted(source: ImageSource, classes: Sequence[str]) -> tuple[int, ...]:
    """Returns the number of images of each of `classes`."""
    numbers = class_counts(source.labels, len(source.classes)).tolist()
    counts = dict(zip(map(one_form, source.classes), numbers, strict=True))
    return tuple(counts.get(one_form(name), 0) for name in classes)


def _similar_classes(classes: Sequence[str]) -> list[Finding]:
    pairs = similar_names(classes)
    if not pairs:
        return []
    offenders = tuple(
        Offender(f"differ in {reason}", classes=(first, second)) for first, second, reason in pairs
    )
    title = "classes that are likely the same, written in different ways"
    advice = "make one class of them: move the images into one folder, or correct the table"
    count = len({name for first, second, _ in pairs for name in (first, second)})
    return [Finding("similar-classes", "warning", title, advice, count, offenders)]
