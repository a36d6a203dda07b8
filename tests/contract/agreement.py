"""How far a backend's logits are from the truth.

``PYTHONPATH=tests:examples/numpy_backend python -m contract.agreement [NAME ...]`` prints a
table of all backbones of the catalogue, or of those named, for every installed backend. That
takes some minutes and 4 GB.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.truth import CLASSES, SEED, images
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues, LinearValues
from isotune.interfaces.names import is_parameter
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.testing.subject import Learner, Subject
from isotune.testing.values import state

TINY_RATE = 1e-12
"""Small enough that the weights stay as they are."""


def with_known_weights(subject: Subject) -> Learner:
    """Returns the backbone with a new head and the truth's values."""
    backend, path = subject.backend, subject.entry.classifier
    model = subject.model()
    for place in (path, *subject.entry.auxiliary):
        width = backend.heads.in_features(model, place)
        head = LinearValues(np.zeros((CLASSES, width), np.float32), np.zeros(CLASSES, np.float32))
        convolutional = subject.entry.convolutional
        backend.heads.replace(model, place, HeadValues(head, convolutional=convolutional))
    shapes = {name: v.shape for name, v in backend.state_adapter.export_model(model).items()}
    backend.state_adapter.import_model(model, state(shapes))
    return subject.learner_of(model, plan_of(subject))


def plan_of(subject: Subject) -> TrainingPlan:
    """Returns how the backbone is trained."""
    return TrainingPlan(
        SGDSpec(),
        seed=SEED,
        auxiliary=tuple(path.rpartition(".")[0] for path in subject.entry.auxiliary),
        auxiliary_weight=subject.entry.auxiliary_weight,
    )


def freeze_all_but_heads(learner: Learner, subject: Subject) -> None:
    """Trains the classifiers only; BatchNorm still uses and updates the statistics of batches."""
    heads = tuple(f"{path}." for path in (subject.entry.classifier, *subject.entry.auxiliary))
    names = filter(is_parameter, learner.state())
    body = frozenset(name for name in names if not name.startswith(heads))
    learner.trainer.freeze(FreezePlan(body, batch_norm="train"))


def logits(learner: Learner, name: str) -> dict[str, NDArray[np.float32]]:
    """Returns the logits of the truth's images in evaluation and, after that, in training."""
    data = images(name)
    evaluated, trained = learner.evaluate(data), learner.train([data], [TINY_RATE])[0]
    return {"eval": evaluated, "train": trained.logits, "loss": np.array([trained.loss])}


def distance(actual: Any, expected: Any) -> float:
    """Returns the largest difference as a share of the largest value expected."""
    difference = np.abs(np.subtract(actual, expected, dtype=np.float64))
    return float(difference.max() / np.abs(expected).max())


def main(names: list[str]) -> None:
    from contract.installed import subjects
    from contract.make_truth import computed
    from contract.truth import TRUTH

    print("| backbone | tensors' values | backend | evaluation | training | loss |")
    print("|---|--:|---|--:|--:|--:|")
    for name in names or sorted(TRUTH):
        truth, elements = computed(name), TRUTH[name]["signature"]["elements"]
        found = {}
        for subject in subjects().values():
            if subject.entry.name == name:
                found[subject.backend.name] = logits(with_known_weights(subject), name)
        rows = [(backend, found[backend], truth) for backend in found]
        if {"torch", "mindspore"} <= found.keys():
            rows.append(("both", found["mindspore"], found["torch"]))
        for backend, actual, expected in rows:
            kinds = ("eval", "train", "loss")
            cells = [f"{distance(actual[kind], expected[kind]):.1e}" for kind in kinds]
            print(f"| {name} | {elements:,} | {backend} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
