"""Classes, batch, start, labels: what a step is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.certificates.certificate import Place
from made_evidence import of_step, of_traces
from made_traces import made_trace

Array = NDArray[Any]

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 3, 8, 8))
LOGITS = RNG.normal(size=(6, 4))


def test_swapped_tensors():
    place = Place("start", "query.weight", None)
    one = made_trace(start={"query.weight": "1", "key.weight": "2"}, backend="torch")
    other = made_trace(start={"query.weight": "2", "key.weight": "1"}, backend="mindspore")
    assert of_traces(place, one, other) == (
        "'query.weight' and 'key.weight' have each other's values in mindspore on cpu."
    )
    shared = made_trace(start={"query.weight": "2", "key.weight": "2"}, backend="mindspore")
    twice = made_trace(start={"query.weight": "3", "key.weight": "1"}, backend="mindspore")
    assert of_traces(place, one, shared) is None
    assert of_traces(place, one, twice) == (
        "The values of 'query.weight' in torch on cpu are those of 'key.weight' in mindspore on"
        " cpu."
    )


def test_batches():
    def cause(other: Array) -> str | None:
        return of_step("batch", "", ({"input/images": IMAGES}, {"input/images": other}))

    assert cause(IMAGES) == "The images agree, so that it is the labels that differ."
    assert cause(IMAGES[::-1]) == (
        "Both sides' images have the same numbers in another order: it fits images in another"
        " order, or flipped or moved ones."
    )
    scaled = IMAGES * np.array([0.5, 2, 1])[:, None, None] + np.array([0, 0.1, -0.2])[:, None, None]
    assert cause(scaled) == (
        "It fits another mean or deviation in the normalization: by channel, mindspore on cpu has"
        " 0.5 x +0, 2 x +0.1, 1 x -0.2 of the x of torch on cpu."
    )
    assert cause(IMAGES + IMAGES**2) is None


def gradient(labels: list[int]) -> Array:
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    found: Array = (shares - np.eye(4)[labels]) / len(labels)
    return found


def of_labels(one: list[int], other: list[int], logits: Array = LOGITS) -> str | None:
    return of_step(
        "loss",
        "loss",
        (
            {"loss/logits": LOGITS, "backward/": gradient(one), "loss/loss": np.array(1.0)},
            {"loss/logits": logits, "backward/": gradient(other), "loss/loss": np.array(1.5)},
        ),
    )


def test_labels_of_the_loss():
    assert of_labels([0, 1, 2, 3, 1, 2], [0, 2, 1, 3, 2, 1]) == (
        "The logits agree, and it fits labels in another order: mindspore on cpu has 2 for 1, 1 for"
        " 2 of torch on cpu."
    )
    assert of_labels([0, 1, 2, 3, 1, 2], [1, 0, 2, 3, 1, 2]) == (
        "The logits agree, but the loss is for other labels: the same ones in another order of"
        " images."
    )
    assert of_labels([0, 1, 2, 3, 1, 2], [0, 1, 2, 3, 1, 1]) == (
        "The logits agree, but the loss is for other labels."
    )
    assert of_labels([0, 1, 2, 3, 1, 2], [0, 1, 2, 3, 1, 2]) == (
        "The logits and their gradients agree: it fits another term of the loss, such as that of"
        " auxiliary classifiers, or what is made of it afterwards."
    )
    assert of_labels([0, 1, 2, 3, 1, 2], [0, 2, 1, 3, 2, 1], LOGITS + 0.1) is None


LABELS = np.array([0, 1, 2, 3, 1, 2])


def of_gradients(one: Array, other: Array) -> str | None:
    known = {"loss/logits": LOGITS, "loss/loss": np.array(1.0)}
    return of_step("loss", "loss", ({**known, "backward/": one}, {**known, "backward/": other}))


def test_label_smoothing_and_weights_of_classes():
    plain = gradient([*LABELS])
    targets = np.eye(4)[LABELS]
    smoothed = plain + (targets - (0.9 * targets + 0.1 / 4)) / len(LABELS)
    assert of_gradients(plain, smoothed) == (
        "The logits agree, and it fits label smoothing of 0 in torch on cpu and 0.1 in mindspore on"
        " cpu."
    )
    weights = np.array([1, 1, 2, 1])[LABELS]
    weighted = plain * (weights / weights.mean())[:, None]
    assert of_gradients(plain, weighted) == (
        "The logits agree, and it fits other weights of the classes in mindspore on cpu than in"
        " torch on cpu: 1 for label 0, 1 for label 1, 2 for label 2, 1 for label 3."
    )
    assert of_gradients(plain, 2 * plain) == (
        "The gradient is 2 times as large in mindspore on cpu as in torch on cpu."
    )
    by_image = plain * np.linspace(1, 2, len(LABELS))[:, None]
    assert of_gradients(plain, by_image) is None
