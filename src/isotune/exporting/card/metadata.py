"""The metadata of a card as the Hugging Face Hub reads it.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md specifies them.
"""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

from isotune.exporting.card.facts import CardFacts
from isotune.metrics import METRICS
from isotune.printable import printable

TASK, LIBRARY = "image-classification", "isotune"

HUB_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "roc_auc": "roc_auc",
}
"""Identifiers of the Hub (https://hf.co/metrics) by the names of our metrics; it has no others."""

HUB_DATASETS = {"folder": "imagefolder"}
"""What the Hub calls dataset formats; others have the same name there."""


def metadata(facts: CardFacts) -> dict[str, Any]:
    """Returns the metadata, in the order in which a card lists them.

    Without the author's word, the license is unknown and the dataset's identifier left out.
    """
    spec, published = facts.run.spec, facts.published
    base = {"base_model": published.hub} if published and published.hub else {}
    family = [printable(facts.run.entry.family)] if facts.run.entry.family else []
    return {
        "license": facts.about.license or "unknown",
        "library_name": LIBRARY,
        "pipeline_tag": TASK,
        "tags": list(dict.fromkeys([TASK, LIBRARY, "transfer-learning", *family])),
        **base,
        **({"datasets": facts.about.datasets} if facts.about.datasets else {}),
        "metrics": [HUB_METRICS[name] for name in _metrics(facts)],
        "model-index": [{"name": printable(spec.name), "results": [_result(facts)]}],
    }


def dataset_name(facts: CardFacts) -> str:
    """Returns the last part of the dataset's path: the rest says where it is on one machine."""
    path = facts.run.spec.dataset.path
    return printable(PurePath(path).name or path)


def _metrics(facts: CardFacts) -> dict[str, float]:
    values = facts.evaluation.metrics
    return {name: values[name] for name in HUB_METRICS if math.isfinite(values[name])}


def _result(facts: CardFacts) -> dict[str, Any]:
    dataset = facts.run.spec.dataset
    return {
        "task": {"type": TASK, "name": "Image Classification"},
        "dataset": {
            "type": HUB_DATASETS.get(dataset.format, printable(dataset.format)),
            "name": dataset_name(facts),
            "split": printable(dataset.splits.val),
        },
        "metrics": [
            {"type": HUB_METRICS[name], "name": METRICS[name].label, "value": round(value, 6)}
            for name, value in _metrics(facts).items()
        ],
    }
