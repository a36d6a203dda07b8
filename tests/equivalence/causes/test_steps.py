"""Classes, batch, start, labels: what a step is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.certificate import Place
from made_evidence import of_step, of_traces
from made_traces import made_trace

Array = NDArray[Any]

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 3, 8, 8))
LOGITS = RNG.normal(size=(6, 4))


def test_label_order():
    place = Place("experiment", "classes", None)
    one = made_trace(classes=("ants", "bees", "cats"), backend="torch")
    other = made_trace(classes=("ants", "cats", "bees"), backend="mindspore")
    assert of_traces(place, one, other) == (
        "The classes are the same in another order: label 1 is 'bees' in torch on cpu and 'cats' in"
        " mindspore on cpu."
    )
    assert of_traces(place, one, made_trace(classes=("ants", "bees"))) is None


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
        "Both sides have the same numbers and loss: it fits the same images in another order."
    )
    assert cause(IMAGES + 1) is None


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
        "The logits agree, and it fits labels in another order: of torch on cpu and mindspore on"
        " cpu, label 1 is 2, 2 is 1."
    )
    assert of_labels([0, 1, 2, 3, 1, 2], [1, 0, 2, 3, 1, 2]) == (
        "The logits agree, but the loss is for other labels: the same ones in another order of"
        " images."
    )
    assert of_labels([0, 1, 2, 3, 1, 2], [0, 1, 2, 3, 1, 1]) == (
        "The logits agree, but the loss is for other labels."
    )
    assert of_labels([0, 1, 2, 3, 1, 2], [0, 1, 2, 3, 1, 2]) is None
    assert of_labels([0, 1, 2, 3, 1, 2], [0, 2, 1, 3, 2, 1], LOGITS + 0.1) is None
