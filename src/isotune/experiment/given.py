"""What a program gives a run beside its spec: images with labels, and a model of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from isotune.data.sources.given import GivenDataset, GivenImages
from isotune.errors import SpecError
from isotune.hookspecs import hookimpl
from isotune.interfaces.backbone import GIVEN_MODEL, OWN_WEIGHTS, BackboneEntry
from isotune.plugins import Plugins
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecDraft, SpecSource, read_spec


@dataclass(frozen=True)
class Given:
    """What a program gives a run.

    Attributes:
        train: Pairs of an image and its label, to train on; None if the spec names images.
        val: The same, to validate on; None where the spec divides the training images.
        classes: Class names, in label order.
        model: A native model; None if the spec names a backbone.
        classifier: Path of the model's last layer, such as ``fc``, which a new head replaces.
    """

    train: Iterable[Any] | None = None
    val: Iterable[Any] | None = None
    classes: Sequence[str] | None = None
    model: Any = None
    classifier: str | None = None

    def __post_init__(self) -> None:
        if self.train is None and (self.val is not None or self.classes is not None):
            raise SpecError("train: is missing; give training images with val and classes.")
        if (self.model is None) != (self.classifier is None):
            raise SpecError(
                "model and classifier: belong together: a model, and the path of its last layer,"
                " such as classifier='fc'."
            )
        if isinstance(self.classes, str):
            raise SpecError(
                f"classes: is the text {self.classes!r}, but should be a list of names."
            )
        names = list(map(str, self.classes or ()))
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise SpecError(f"classes: has the name '{double}' twice.")

    @property
    def nothing(self) -> bool:
        """Whether the spec says all."""
        return self.train is None and self.model is None

    def load(self, source: SpecSource, overrides: Iterable[str] = ()) -> ExperimentSpec:
        """Loads the spec of a run that is given this; its other arguments are those of `run`.

        Raises:
            SpecError: The spec is wrong, or names what is given.
        """
        draft = read_spec(source, overrides)
        fields = isinstance(draft.document.data, Mapping)  # or its check says what is wrong
        if fields and self.train is not None:
            draft = _with_images(draft)
        if fields and self.model is not None:
            draft = _with_model(draft)
        return self.attach(draft.spec())

    def attach(self, spec: ExperimentSpec) -> ExperimentSpec:
        """Returns a loaded spec that has the given images.

        Raises:
            SpecError: Its images are others, or those to validate on are missing.
        """
        dataset = spec.dataset
        if self.train is None:
            return spec
        if not isinstance(dataset, GivenDataset):
            raise SpecError(
                f"train: the run has its images from {dataset.path}; leave train and val out."
            )
        splits = {dataset.splits.train: _sequence(self.train, "train")}
        if self.val is not None:
            splits[dataset.splits.val] = _sequence(self.val, "val")
        elif dataset.split is None:
            raise SpecError(
                "val: is missing; give images to validate on, or divide those to train on, with"
                " dataset: {split: {val: 0.2}} in the spec."
            )
        classes = None if self.classes is None else tuple(map(str, self.classes))
        images = dataset.with_images(GivenImages(splits, classes))
        return spec.model_copy(update={"dataset": images})

    @contextmanager
    def offered(self, plugins: Plugins) -> Iterator[None]:
        """Lets backends find the model by its name while the context lasts."""
        if self.model is None:
            yield
            return
        offer = _Offer(self.model, str(self.classifier), plugins.backend_names())
        plugins.register(offer)
        try:
            yield
        finally:
            plugins.unregister(offer)


NOTHING = Given()


class _Offer:
    """A plugin with one backbone."""

    def __init__(self, model: Any, classifier: str, backends: Iterable[str]) -> None:
        builders = {name: lambda: model for name in backends}
        self._entry = BackboneEntry(GIVEN_MODEL, classifier, builders=builders)

    @hookimpl
    def isotune_backbones(self) -> list[BackboneEntry]:
        """Offers the model."""
        return [self._entry]


def check_alone(given: Given) -> None:
    """Checks that other processes, which have only the spec, lack nothing.

    Raises:
        SpecError: They lack what this process is given.
    """
    if not given.nothing:
        raise SpecError(
            "processes: others would have neither the images nor the model that are given in code:"
            " leave processes out, or start the program itself by torchrun or msrun."
        )


def _with_images(draft: SpecDraft) -> SpecDraft:
    before = draft.document.data.get("dataset", {})
    if isinstance(before, Mapping) and before.get("format") == "given":
        return draft  # the spec of such a run
    if not isinstance(before, Mapping) or not {"path", "format", "url"}.isdisjoint(before):
        raise SpecError(
            "dataset: the spec names images, and train gives others; leave one of them out."
        )
    return draft.with_value("dataset.format", "given", "train")


def _with_model(draft: SpecDraft) -> SpecDraft:
    before = draft.document.data.get("backbone")
    if isinstance(before, Mapping) and before.get("name") == GIVEN_MODEL:
        return draft  # the spec of such a run
    if before is not None:
        raise SpecError(
            "backbone: the spec names one, and model gives another; leave one of them out."
        )
    fields = {"name": GIVEN_MODEL, "weights": OWN_WEIGHTS}
    return draft.with_value("backbone", fields, "model")


def _sequence(images: Iterable[Any], name: str) -> Sequence[Any]:
    """Returns images that have positions."""
    wrong = isinstance(images, (str, bytes, Mapping))
    if not wrong and hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        return images  # type: ignore[return-value]
    if wrong or not hasattr(images, "__iter__"):
        raise SpecError(
            f"{name}: is of type {type(images).__name__}, but should be a sequence of pairs of an"
            " image and its label."
        )
    return list(images)
