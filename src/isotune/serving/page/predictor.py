"""Answers the page's images with the service that answers programs, within the same limits."""

from __future__ import annotations

import logging

from isotune.errors import DatasetError, IsotuneError, RunError
from isotune.experiment.classifier import Classifier
from isotune.experiment.prediction import Prediction
from isotune.experiment.result import Run
from isotune.explaining.explanation import Explanation
from isotune.serving.door import Door
from isotune.serving.limits import Refusal
from isotune.serving.page.images import SentImage
from isotune.serving.service import Service

log = logging.getLogger(__name__)

TOP = 20
"""Number of classes of an answer."""


class PageError(IsotuneError):
    """An image is not answered; the message says why."""


class Predictor:
    """Predicts the class of an image that a visitor of the page has sent.

    Args:
        service: The model.
        door: Bounds the requests that wait, those of programs included.
    """

    def __init__(self, service: Service, door: Door) -> None:
        self._service = service
        self._door = door

    @property
    def classifier(self) -> Classifier:
        """The model."""
        return self._service.classifier

    async def predict(self, image: SentImage) -> Prediction:
        """Returns the classes of an image with their probabilities, the most likely first.

        Raises:
            IsotuneError: The image was refused or cannot be read, too many requests wait, or the
                model failed.
        """
        if image.problem is not None:
            raise PageError(image.problem)
        try:
            with self._door.entered():
                [outcome] = await self._service.predict([image.content], TOP, [image.name])
        except Refusal as refusal:
            raise PageError(refusal.detail) from refusal
        except RunError as error:
            log.error("%s", error)
            raise PageError("the model failed at this image; its log says why.") from error
        if isinstance(outcome, DatasetError):
            raise outcome
        return outcome

    async def explain(self, image: SentImage) -> Explanation:
        """Returns which parts of an image decided about its prediction.

        Raises:
            IsotuneError: The model cannot be explained, the image cannot be read, or too many
                requests wait.
        """
        classifier = self._service.classifier
        if not isinstance(classifier, Run):
            raise PageError(
                "An exported model has no gradients to explain it by; serve the run to see why."
            )
        run = classifier
        try:
            with self._door.entered():
                return await self._service.compute(lambda: run.explain(image.content))
        except Refusal as refusal:
            raise PageError(refusal.detail) from refusal
