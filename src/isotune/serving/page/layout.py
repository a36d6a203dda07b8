"""The page's components and what happens when they are used. Imports Gradio."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import gradio
from gradio.data_classes import ImageData

from isotune.errors import DatasetError, IsotuneError
from isotune.serving.page import answers
from isotune.serving.page.examples import Examples
from isotune.serving.page.images import SentImage, SentImages
from isotune.serving.page.predictor import Predictor

THEME = gradio.themes.Base(
    primary_hue="blue",
    neutral_hue="gray",
    font=("system-ui", "sans-serif"),  # strings, since Gradio fetches its own fonts from Google
    font_mono=("ui-monospace", "monospace"),
)

_CLICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-index]');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""

_ANNOUNCED = "element.setAttribute('aria-live', 'polite');"  # to who does not see it change


class InMemory:
    """What differs from Gradio's component for an image: the images are in memory.

    Gradio's own takes a path on this machine from its client, and keeps files on the disk.

    Attributes:
        sent: The images that were sent.
    """

    sent: SentImages

    def preprocess(self, payload: ImageData | None) -> SentImage | None:
        """Returns the image that the browser names; None if there is none."""
        if payload is None:
            return None
        return self.sent.get(payload.path or "") or SentImage(
            "the image", problem="the image is no longer here; send it again."
        )

    def postprocess(self, value: str | None) -> ImageData | None:
        """Returns what shows the image of this name."""
        return None if value is None else ImageData(path=value, orig_name="image")

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Returns the name, whatever the client calls a path: nothing is read or downloaded."""
        return self.move_resource_to_block_cache(url_or_file_path)

    def move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Returns the name: nothing is read or downloaded."""
        return None if url_or_file_path is None else str(url_or_file_path)


def image_field(sent: SentImages) -> Any:
    """Returns a component's class. Its name is by which a browser finds what shows it."""
    # Not by a class statement: Gradio would write a file beside this one for each such class.
    bases, attributes = (InMemory, gradio.Image), {"sent": sent, "__module__": __name__}
    return ABCMeta.__new__(type(gradio.Image), "Image", bases, attributes)


def build(
    predictor: Predictor, images: SentImages, examples: Examples, title: str
) -> gradio.Blocks:
    """Returns the page.

    Args:
        predictor: What answers.
        images: Where the images are that visitors send.
        examples: Images to choose from.
        title: The title in the browser's tab.
    """
    classifier = predictor.classifier
    page = gradio.Blocks(analytics_enabled=False, title=title, fill_width=True)
    with page:
        gradio.HTML(answers.header(classifier), elem_id="model")
        with gradio.Row(elem_id="columns"):
            with gradio.Column(elem_id="sent"):
                image = image_field(images)(
                    label="Image",
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    height=340,
                    buttons=[],
                    placeholder="Drop an image here\n- or -\nchoose a file, or paste one",
                    alt_text="The image that was sent",
                    elem_id="image",
                )
            with gradio.Column(elem_id="result"):
                answer = gradio.HTML(answers.EMPTY, js_on_load=_ANNOUNCED, elem_id="answer")
                explanation = gradio.HTML("", elem_id="explanation")
            chosen = gradio.HTML(
                answers.examples(examples.thumbnails, examples.split),
                js_on_load=_CLICK,
                elem_id="examples",
            )
        gradio.HTML(answers.footer(), elem_id="about")
        _connect(predictor, images, examples, (image, chosen, answer, explanation))
    return page


def _connect(
    predictor: Predictor, images: SentImages, examples: Examples, parts: tuple[Any, Any, Any, Any]
) -> None:
    image, chosen, answer, explanation = parts
    several = predictor.classifier.thresholds is not None

    async def predict(sent: SentImage | None) -> tuple[Any, str, str]:
        """Answers an image; one that is refused leaves the field."""
        if sent is None:
            return gradio.skip(), answers.EMPTY, ""
        try:
            return gradio.skip(), answers.bars(await predictor.predict(sent), several), ""
        except IsotuneError as error:
            return None, answers.problem(str(error)), ""

    async def explain(sent: SentImage | None) -> str:
        """Shows why; only an image that was answered is still there."""
        if sent is None or sent.problem:
            return ""
        try:
            return answers.explanation(await predictor.explain(sent))
        except IsotuneError as error:
            return answers.no_explanation(str(error))

    def choose(event: gradio.EventData) -> str | None:
        try:
            name, content = examples.file(int(event.index))
        except (DatasetError, TypeError, ValueError, AttributeError):
            return None
        return images.add(SentImage(name, content))

    # Without Gradio's queue: the service bounds what waits, and the page needs one route less.
    common: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    for trigger in (
        image.input,
        chosen.click(choose, None, image, show_progress="hidden", **common).then,
    ):
        trigger(
            predict,
            image,
            [image, answer, explanation],
            show_progress_on=answer,
            trigger_mode="always_last",
            **common,
        ).then(explain, image, explanation, show_progress="minimal", **common)
