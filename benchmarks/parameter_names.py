"""Compares other libraries' models with the backbones that take their weights, by their logits.

    python benchmarks/parameter_names.py [LIBRARY | LIBRARY/MODEL ...]

Needs timm, transformers and mindcv, whichever of them is named. Each model gets random values;
its state goes through :func:`isotune.weights.dialects.canonical.to_canonical` into torchvision's
model, and both evaluate the same images. Writes the table ``docs/parameter-names.md`` and the names
for ``tests/weights/dialects/test_names.py``, of what is named; other rows stay.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from isotune.catalogue.entries import BUILT_IN
from isotune.catalogue.layouts import layout
from isotune.errors import WeightsError
from isotune.interfaces.names import NO_STATE
from isotune.weights.dialects.canonical import to_canonical
from isotune.weights.match import match_exact
from isotune.weights.save import save_weights
from isotune_torch.backbone import BUILDERS

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path.insert(0, str(TESTS))

from parameter_cases import CASES, REASONS, UNTOLD, Case  # noqa: E402

from weights.dialects.names import FILE, packed, signature, stored, traced  # noqa: E402

TABLE = ROOT / "docs" / "parameter-names.md"
EQUAL = 2e-5
"""Largest relative difference of logits that counts as equal: float32, and epsilons of LayerNorm
that cannot be made equal."""

ENTRIES = {entry.name: entry for entry in BUILT_IN}
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        library: the other library.
        model: its model.
        backbone: the backbone, or an empty string if there is none.
        difference: largest difference of logits, relative to the largest; None if not taken.
        note: how the models differ.
    """

    library: str
    model: str
    backbone: str
    difference: float | None
    note: str = ""


def random_value(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Returns values with which signals stay of order 1, by the last part of a name."""
    last = name.rpartition(".")[2]
    if last in ("running_var", "moving_variance"):
        return between(name, shape, 0.5, 2.0)
    if last in ("gamma", "gamma_", "layer_scale_parameter") or (
        last == "weight" and len(shape) == 1
    ):
        return between(name, shape, 0.25, 0.75)
    if last == "logit_scale":
        return between(name, shape, 0.0, 2.0)
    if last == "weight":
        bound = float(np.sqrt(6 / np.prod(shape[1:])))
        return between(name, shape, -bound, bound)
    return between(name, shape, -0.2, 0.2)


def between(name: str, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float32]:
    """Returns random numbers in [low, high) that depend on `name` alone."""
    unit = np.random.default_rng(crc32(name.encode())).random(shape, np.float32)
    values: NDArray[np.float32] = unit * np.float32(high - low) + np.float32(low)
    return values


def images(backbone: str) -> NDArray[np.float32]:
    """Returns two random images, of the size that a backbone's weights ask for if it matters."""
    sizes = {"inception": 299, "swin_v2": 256, "swin": 224, "vgg": 224, "vit": 224}
    size = next((size for start, size in sizes.items() if backbone.startswith(start)), 128)
    return between("images", (2, 3, size, size), -2.0, 2.0)


def torch_model(model: torch.nn.Module, backbone: str) -> tuple[Arrays, NDArray[Any]]:
    """Fills a model with random values; returns its state and its logits in evaluation."""
    state = model.state_dict()
    for name, value in state.items():
        if value.is_floating_point() and name.rpartition(".")[2] not in NO_STATE:
            value.copy_(torch.from_numpy(random_value(name, tuple(value.shape))))
    model.eval().double()
    with torch.no_grad():
        logits = model(torch.from_numpy(images(backbone)).double())
    arrays = {name: value.numpy() for name, value in state.items()}
    return arrays, getattr(logits, "logits", logits).numpy()


def timm_model(case: Case) -> tuple[Arrays, NDArray[Any]]:
    import timm

    return torch_model(timm.create_model(case.model, pretrained=False), case.backbone)


def hugging_face_model(case: Case) -> tuple[Arrays, NDArray[Any]]:
    import transformers

    kind = getattr(transformers, f"{case.model}ForImageClassification")
    config = getattr(transformers, f"{case.model}Config")(num_labels=1000, **case.options)
    return torch_model(kind(config), case.backbone)


def mindcv_model(case: Case) -> tuple[Arrays, NDArray[Any]]:
    import mindcv
    from mindspore import Tensor

    model = mindcv.create_model(case.model)
    state = {}
    for parameter in model.get_parameters():
        if case.is_constant(parameter.name):
            state[parameter.name] = parameter.asnumpy()
            continue
        state[parameter.name] = random_value(parameter.name, tuple(parameter.shape))
        parameter.set_data(Tensor(state[parameter.name], parameter.dtype))
    model.set_train(False)
    return state, model(Tensor(images(case.backbone))).asnumpy()


MODELS: Mapping[str, Callable[[Case], tuple[Arrays, NDArray[Any]]]] = {
    "timm": timm_model,
    "Hugging Face": hugging_face_model,
    "MindCV": mindcv_model,
}


def logits_of(backbone: str, tensors: Arrays) -> NDArray[Any]:
    """Returns the logits of torchvision's model, in float64, with these weights."""
    model = BUILDERS[backbone]()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.pth"
        save_weights(path, tensors, backbone)
        model.load_state_dict(torch.load(path, weights_only=True), strict=True)
    model.eval().double()
    with torch.no_grad():
        result: NDArray[Any] = model(torch.from_numpy(images(backbone)).double()).numpy()
    return result


def compared(case: Case) -> tuple[Row, dict[str, Any]]:
    """Returns the row of a model, and what the tests need of it."""
    state, expected = MODELS[case.library](case)
    shapes = layout(case.backbone) or {}
    found = to_canonical(state, ENTRIES[case.backbone], case.model, shapes)
    tensors = match_exact(shapes, found.tensors, case.model)
    difference = np.abs(logits_of(case.backbone, tensors) - expected).max() / np.abs(expected).max()
    notes = [] if difference < EQUAL else [n for n in found.notes if "rescaled" not in n]
    row = Row(case.library, case.title, case.backbone, float(difference), "; ".join(notes))
    names = {name: tuple(value.shape) for name, value in state.items() if value.ndim}
    trace = traced(names, case.backbone, case.model)
    return row, {"names": packed(names), "signature": signature(trace), "file": case.model}


def rows(libraries: list[str]) -> Iterator[tuple[Row, dict[str, Any] | None]]:
    """Yields the rows of libraries, with what the tests need of each that is taken."""
    for case in CASES:
        if case.library in libraries or f"{case.library}/{case.title}" in libraries:
            try:
                yield compared(case)
            except WeightsError as error:
                yield Row(case.library, case.title, case.backbone, None, str(error)[:200]), None
    for (library, model), reason in REASONS.items():
        yield Row(library, model, "", None, reason), None
    for (library, model, backbone), reason in UNTOLD.items():
        yield Row(library, model, backbone, None, reason), None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", nargs="*", default=list(MODELS), help=", ".join(MODELS))
    libraries = parser.parse_args().libraries
    wanted = {f"{case.library}/{case.title}" for case in CASES}
    kept = {key: value for key, value in stored().items() if key in wanted}
    for row, names in rows(libraries):
        difference = "" if row.difference is None else f"{row.difference:.1e}"
        print(row.library, row.model, row.backbone, difference, row.note[:150], flush=True)
        kept[f"{row.library}/{row.model}"] = {"row": asdict(row), **(names or {})}
        FILE.write_bytes(gzip.compress(lines(kept).encode(), mtime=0))
        TABLE.write_text(table([Row(**value["row"]) for value in kept.values()]), "utf-8")


def lines(values: Mapping[str, Any]) -> str:
    """Returns JSON with a line for each model."""
    items = (f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in values.items())
    return "{\n" + ",\n".join(items) + "\n}\n"


def taken_of(row: Row) -> str:
    """Returns whether a backbone takes the weights of a model."""
    if row.difference is None:
        return "without a warning" if row.backbone else "no"
    return "yes" if row.difference < EQUAL else "with a warning"


def table(found: list[Row]) -> str:
    """Returns the page of the documentation."""
    text = [
        "# Whose weights a backbone takes",
        "",
        "Models of other libraries with random weights, one of each kind, against torchvision's",
        "with the same weights as `isotune convert` writes them: the largest difference of logits,",
        "relative to the largest. `benchmarks/parameter_names.py` measured it and wrote this page:",
        "timm and Hugging Face in float64, MindCV in float32.",
        "",
        "| library | model | backbone | taken | difference | how they differ |",
        "|---|---|---|---|--:|---|",
    ]
    for row in sorted(found, key=lambda row: list(MODELS).index(row.library)):
        taken = taken_of(row)
        difference = "" if row.difference is None else f"{row.difference:.0e}"
        cells = (row.library, row.model, row.backbone, taken, difference, row.note)
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
