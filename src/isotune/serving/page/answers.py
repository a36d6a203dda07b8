"""What the page says, as HTML in which nothing from outside is markup."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isotune.experiment.classifier import Classifier
from isotune.experiment.prediction import Prediction
from isotune.experiment.result import Run
from isotune.explaining.explanation import Explanation
from isotune.exporting.model import ExportedModel
from isotune.printable import printable, shortened
from isotune.reports.examples import NO_LABEL
from isotune.reports.numbers import percent

BARS = 5
"""Number of classes that an answer shows at once; the others are behind a click."""

NAMES = 200
"""Number of classes that the page lists."""

_NAME_LENGTH = 80
"""Number of characters of a class name that are shown."""

# Gradio takes HTML for a template of JavaScript and of Handlebars.
_TEMPLATE = str.maketrans({"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;", "\\": "&#92;"})

EMPTY = '<p class="hint">The answer appears here.</p>'


def text(value: str, limit: int = 1500) -> str:
    """Returns text from outside for HTML, in one line and without what could be markup."""
    return html.escape(shortened(printable(value), limit)).translate(_TEMPLATE)


def share(probability: float) -> str:
    """Returns a probability for people: ``98.7%``, and ``< 0.1%`` rather than zero."""
    return "&lt; 0.1%" if 0 < probability < 0.0005 else percent(probability)


def header(classifier: Classifier) -> str:
    """Returns the name of the model, its figures and its classes."""
    facts = [classifier.spec.backbone.name or "", *_accuracy(classifier)]
    facts.append(f"computes with {classifier.engine}")
    shown = " <span aria-hidden='true'>&middot;</span> ".join(text(fact) for fact in facts if fact)
    return (
        f"<header><h1>{text(classifier.spec.name)}</h1><p>{shown}</p>"
        f"{_classes(classifier.classes)}</header>"
    )


def _accuracy(classifier: Classifier) -> list[str]:
    accuracy = None
    if isinstance(classifier, Run) and classifier.best.evaluated:
        accuracy = classifier.best.val_accuracy
    if isinstance(classifier, ExportedModel) and classifier.manifest.verification:
        accuracy = classifier.manifest.verification.accuracy_after
    return [] if accuracy is None else [f"validation accuracy {percent(accuracy)}"]


def _classes(names: Sequence[str]) -> str:
    items = "".join(f"<li>{text(name, _NAME_LENGTH)}</li>" for name in names[:NAMES])
    if len(names) > NAMES:
        items += f"<li>and {len(names) - NAMES:,} more</li>"
    listed = f'<ul class="classes">{items}</ul>'
    summary = f"<summary>{len(names):,} classes</summary>"
    return listed if len(names) <= 12 else f"<details>{summary}{listed}</details>"


def bars(prediction: Prediction, several: bool = False) -> str:
    """Returns the classes of an image with their probabilities, the most likely first.

    Args:
        prediction: At least one class.
        several: Whether an image may have several labels, all of which are the heading.
    """
    best, probability = prediction[0]
    heading = f"{text(best, _NAME_LENGTH)} <small>{share(probability)}</small>"
    if several:
        others = len(prediction.labels) - BARS
        heading = ", ".join(text(name, _NAME_LENGTH) for name in prediction.labels[:BARS])
        heading = f"{heading} and {others} more" if others > 0 else heading or text(NO_LABEL)
    more = ""
    if rest := prediction[BARS:]:
        more = (
            f"<details><summary>{len(rest)} more</summary>"
            f"<ol class='bars' start='{BARS + 1}'>{''.join(_bar(*each) for each in rest)}</ol>"
            "</details>"
        )
    return (
        f'<h2 class="best">{heading}</h2>'
        f"<ol class='bars'>{''.join(_bar(*each) for each in prediction[:BARS])}</ol>{more}"
    )


def _bar(name: str, probability: float) -> str:
    return (
        f'<li><span class="name">{text(name, _NAME_LENGTH)}</span>'
        f'<data class="share" value="{probability:.9g}">{share(probability)}</data>'
        f'<span class="bar" aria-hidden="true">'
        f'<span style="width: {probability * 100:.2f}%"></span></span></li>'
    )


def problem(sentence: str) -> str:
    """Returns a sentence that says what is wrong; a screen reader reads it at once."""
    return f'<p class="problem" role="alert">{text(sentence)}</p>'


def explanation(found: Explanation) -> str:
    """Returns what the network saw, and which parts of it decided."""
    name = shortened(printable(found.explained or found.predicted), _NAME_LENGTH)
    if found.explained is None:
        caption = f"{found.method}: bright parts got most of the attention"
    else:
        caption = f"{found.method} at {found.stage}: bright parts speak for {name}"
    return (
        "<h2>Why</h2>"
        f"{_figure(found.image, 'The part of the image that the network saw', 'what it saw')}"
        f"{_figure(found.overlay(), f'The same part; {caption}', caption)}"
    )


def no_explanation(sentence: str) -> str:
    """Returns a line that says why there is no explanation."""
    return f'<p class="hint">{text(sentence)}</p>'


def _figure(pixels: NDArray[np.uint8], alternative: str, caption: str) -> str:
    """Returns an image, uint8 of shape (H, W, 3), with text for those who do not see it."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    source = _data_url(file.getvalue(), "image/png")
    return (
        f'<figure><img src="{source}" alt="{text(alternative)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _data_url(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


@dataclass(frozen=True)
class Thumbnail:
    """An example to choose.

    Attributes:
        image: The content of a JPEG file that Isotune wrote.
        label: The name of its class.
    """

    image: bytes
    label: str


def examples(thumbnails: Sequence[Thumbnail], split: str) -> str:
    """Returns buttons with the images of a split, in order; a click sends their position."""
    if not thumbnails:
        return ""
    buttons = []
    for index, each in enumerate(thumbnails):
        source, label = _data_url(each.image, "image/jpeg"), text(each.label, _NAME_LENGTH)
        buttons.append(
            f'<li><button type="button" data-index="{index}" title="{label}">'
            f'<img src="{source}" alt=""><span>{label}</span></button></li>'
        )
    heading = f"<h2>Examples <small>from the split {text(split)}, with their labels</small></h2>"
    return f'<nav aria-label="Examples">{heading}<ul class="examples">{"".join(buttons)}</ul></nav>'


def footer() -> str:
    """Returns what visitors should know: what happens to images, and where programs send them."""
    return (
        "<footer><p>An image that you send stays in the memory of this service for at most ten"
        ' minutes. Programs send theirs to <a href="/docs"><code>POST /predict</code></a></p>'
        "</footer>"
    )
