"""A trained model as a user holds it: what it predicts, and figures of that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from isotune.data.sources.subset import Subset
from isotune.errors import SpecError
from isotune.experiment.trained_model import TrainedModel
from isotune.printable import html_table, printable
from isotune.reports.numbers import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.reports.examples import Example
    from isotune.reports.label_errors import LabelErrors
    from isotune.reports.mistakes import Mistakes

log = logging.getLogger(__name__)


class Classifier(TrainedModel):
    """A trained model with figures of its predictions and mistakes."""

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self._facts().items())
        return printable(f"{type(self).__name__}({self.spec.name}: {facts})")

    def _repr_html_(self) -> str:
        rows = [("experiment", self.spec.name), *self._facts().items()]
        return html_table(("", ""), ("left", "left"), rows)

    def _facts(self) -> dict[str, str]:
        """Returns what is shown of the model, by its name."""
        classes = count(len(self.classes), "class", "classes")
        return {"model": f"{self.spec.backbone.name}, {classes}"}

    def show_predictions(
        self, count: int = 16, split: str | None = None, *, flip: bool = False
    ) -> Figure:
        """Returns a figure of images with predictions, taken evenly from a split.

        A notebook shows it as it is; ``savefig`` writes it.

        Args:
            count: Number of images, if there are as many.
            split: The split's name; None takes the validation split.
            flip: As for :meth:`evaluate_source`.

        Raises:
            IsotuneError: matplotlib is not installed.
            DatasetError: the split's images are missing or broken.
        """
        from isotune.reports.drawing import check_matplotlib
        from isotune.reports.predictions import prediction_figure

        check_matplotlib()
        examples = self.examples(count, split, flip=flip)
        return prediction_figure(examples, self.spec.name, self.split_name(split), flip)

    def show_mistakes(
        self, count: int = 16, split: str | None = None, *, flip: bool = False
    ) -> Figure:
        """Returns a figure of the mistakes on a split that the model is most confident of.

        Arguments and errors are those of :meth:`show_predictions`.
        """
        from isotune.reports.drawing import check_matplotlib
        from isotune.reports.mistakes import mistakes_figure

        check_matplotlib()
        return mistakes_figure(self.mistakes(count, split, flip=flip))

    def show_confusion(self, split: str | None = None, *, flip: bool = False) -> Figure:
        """Returns a figure of a split's confusion matrix; errors as of :meth:`show_predictions`.

        Raises:
            SpecError: An image may have several labels, so that there is no such matrix.
        """
        from isotune.reports.confusion import confusion_figure
        from isotune.reports.drawing import check_matplotlib

        check_matplotlib()
        if self.spec.dataset.multi_label:
            raise SpecError(
                f"{self.path}: its images may have several labels, so that none is confused with"
                " another: `isotune evaluate` shows what is found and missed of each class."
            )
        matrix = self.evaluate(split, flip=flip).confusion
        name, part = self.spec.name, self.split_name(split)
        return confusion_figure(matrix, self.classes, name, part, flip)

    def examples(
        self, count: int, split: str | None = None, *, flip: bool = False
    ) -> list[Example]:
        """Predicts `count` images taken evenly from a split, so that every class has its share.

        Arguments and errors are those of :meth:`show_predictions`.
        """
        from isotune.reports.examples import evenly, examples_at

        source = self.open_images(split)
        shown = Subset(source, evenly(len(source), count))
        if not len(shown):
            return []
        return examples_at(range(len(shown)), shown, self.evaluate_source(shown, flip=flip))

    def mistakes(self, count: int, split: str | None = None, *, flip: bool = False) -> Mistakes:
        """Evaluates a split and returns the mistakes that the model is most confident of.

        Arguments and errors are those of :meth:`show_predictions`.
        """
        from isotune.reports.mistakes import find_mistakes

        source = self.open_images(split)
        evaluation = self.evaluate_source(source, flip=flip)
        name, split = self.spec.name, self.split_name(split)
        return find_mistakes(source, evaluation, count, name=name, split=split, flip=flip)

    def label_errors(self, split: str | None = None) -> LabelErrors:
        """Evaluates a split and returns the images whose labels the model doubts.

        They are found by confident learning, which needs a model that was not trained on the
        images. Arguments and errors are those of :meth:`evaluate`.
        """
        from isotune.reports.label_errors import find_label_errors

        name, part = self.spec.name, self.split_name(split)
        if part == self.spec.dataset.splits.train:
            log.warning(
                "the model was trained on the split '%s' and has learned its labels, wrong ones"
                " too; isotune cross-validate predicts each image with a model that was not.",
                part,
            )
        source = self.open_images(split)
        probabilities = self.evaluate_source(source).probabilities
        return find_label_errors(source, probabilities, name=name, part=part)
