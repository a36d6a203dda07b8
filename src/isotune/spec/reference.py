"""The spec reference (``docs/spec.md``), written from the models and their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import annotated_types
import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from isotune.spec.base import Meaning, SpecModel, literal
from isotune.spec.dataset import DATASET_FORMATS, DEFAULT_FORMAT, DatasetSpec
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.fields import Member, is_model, members, shorthand, split
from isotune.spec.observer import OBSERVERS, ObserverSpec
from isotune.spec.transforms import TRANSFORMS, TransformSpec

INTRODUCTION = """\
# Spec reference

<!-- Written by `isotune schema --markdown`; change the docstrings of the models instead. -->

An experiment spec is a YAML file. It is checked before anything runs: a key that is unknown, a
value of the wrong type or out of range is an error that names the file, the line and what is
allowed. Values are never converted: `"4"` is not a number. Numbers, `true` and `false` are read as
in YAML 1.2, so `1e-3` is a number and `no` is text.

Any field can be overridden: `isotune run spec.yaml --set optimizer.lr=0.01` or, from Python,
`isotune.run("spec.yaml", overrides=["optimizer.lr=0.01"])`. `isotune schema` prints the JSON Schema
for editors. Transforms, dataset formats, schedules and observers of installed plugins belong to
both, and to the output of `isotune schema --markdown`.
"""
SHORT_FORMS = """\
An item of a pipeline is a transform's name, its name with its main option, or its name with
several options:

```yaml
transforms:
  train:
    - random_resized_crop: {size: 224, scale: [0.5, 1]}
    - random_horizontal_flip
    - random_apply: {transforms: [{gaussian_blur: 9}, random_grayscale], p: 0.3}
  val: [{resize: 256}, {center_crop: 224}]
```
"""
OBSERVERS_FORMS = """\
An item is an observer's name, or its name with options. What they log: [trackers](trackers.md).

```yaml
observers: [csv, {mlflow: {experiment: bees}}]
```
"""
PLURALS = {
    str: "strings",
    TransformSpec: "[transforms](#transform-kinds)",
    ObserverSpec: "[observers](#observers)",
}
_TYPES: dict[Any, str] = {bool: "true or false", str: "text", type(None): "null"}


def reference() -> str:
    """Returns the reference of all fields, as Markdown."""
    sections = [INTRODUCTION, "## Fields\n", _table(ExperimentSpec, "")]
    for name, field in ExperimentSpec.model_fields.items():
        models = [kind for kind, _ in members(field) if is_model(kind)]
        if models:
            sections += [f"## {name}\n", *_part(name, models)]
    sections += ["## observers\n", OBSERVERS_FORMS]
    for name, kind in OBSERVERS.items():
        sections += [f"### {name}\n", _summary(kind), _table(kind, "observers", skip=("name",))]
    return "\n".join(sections).rstrip() + "\n"


def _part(name: str, models: list[type[SpecModel]]) -> Iterator[str]:
    key = shorthand((name,))
    if key is not None:
        yield f"`{name}: VALUE` stands for `{name}: {{{key}: VALUE}}`.\n"
    for model in models:
        if len(models) > 1:
            yield f"### {name}: {literal(model, 'name')}\n"
        yield "The fields of every format:\n" if model is DatasetSpec else _summary(model)
        yield _table(model, name, skip=("name",) if len(models) > 1 else ())
    nested: dict[str, type[SpecModel]] = {}
    for field, info in [pair for model in models for pair in model.model_fields.items()]:
        nested.update((field, kind) for kind, _ in members(info) if is_model(kind))
    for field, model in nested.items():
        yield f"### {name}.{field}\n"
        yield _summary(model)
        yield _table(model, f"{name}.{field}")
    if name == "dataset":
        yield from _formats()
    if name == "transforms":
        yield from _transforms()


def _formats() -> Iterator[str]:
    for name, kind in DATASET_FORMATS.items():
        common = [key for key in DatasetSpec.model_fields if key not in _own_meanings(kind)]
        yield f"### dataset: {name}\n"
        yield _summary(kind)
        yield _table(kind, "dataset", skip=("format", *common))


def _transforms() -> Iterator[str]:
    yield "### Transform kinds\n"
    yield SHORT_FORMS
    for name, kind in TRANSFORMS.items():
        forms = [f"`{name}`"] if kind.bare else []
        if kind.main is not None:
            forms.append(f"`{name}: {kind.main.upper()}`")
        yield f"#### {name}\n"
        yield _summary(kind)
        yield f"Short form: {' or '.join(forms)}.\n" if forms else ""
        yield _table(kind, "transforms", skip=("name",))


def _table(model: type[SpecModel], path: str, skip: tuple[str, ...] = ()) -> str:
    meanings = _meanings(model)
    rows = []
    for name, field in model.model_fields.items():
        if name not in skip:
            value, default = _field_value(name, field, path), _default(field)
            if model is DatasetSpec and name == "format":
                value = _either([f"`{kind}`" for kind in DATASET_FORMATS.names()])
                default = f"`{DEFAULT_FORMAT}`"
            rows.append(f"| `{name}` | {value} | {default} | {meanings.get(name, '')} |")
    if not rows:
        return ""
    return "\n".join(["| field | value | default | meaning |", "|---|---|---|---|", *rows, ""])


def _field_value(name: str, field: FieldInfo, path: str) -> str:
    inner = [kind for kind, _ in members(field) if is_model(kind)]
    if inner:
        place = f"{path}.{name}" if path else name
        null = " or null" if type(None) in get_args(field.annotation) else ""
        return f"see [{place}](#{place.replace('.', '')}){null}"
    return _value(list(members(field)))


def _value(members: list[Member]) -> str:
    """Says in words what a field takes."""
    for kind, marks in members:
        meaning = next((mark for mark in marks if isinstance(mark, Meaning)), None)
        if meaning is not None and kind is not type(None):
            null = ", or null" if any(other is type(None) for other, _ in members) else ""
            return f"{meaning.sentence}{null}"
    return _either([word for kind, marks in members for word in _words(kind, marks)])


def _words(kind: Any, marks: tuple[Any, ...]) -> list[str]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [f"`{value}`" for value in arguments]
    if kind in (int, float):
        number = "whole number" if kind is int else "number"
        return [" ".join([number, " and ".join(_bounds(marks))]).strip()]
    if origin is dict:
        key, value = (_value(list(split(argument))) for argument in arguments)
        return [f"mapping from {key}{',' * (',' in key)} to {value}"]
    if origin in (list, tuple):
        inner, _ = next(split(arguments[0]))
        each = PLURALS.get(inner) or _value(list(split(arguments[0]))).replace("number", "numbers")
        length = f"{len(arguments)} " if origin is tuple and arguments[-1] is not Ellipsis else ""
        return [f"list of {length}{each}"]
    return [_TYPES.get(kind, getattr(kind, "__name__", str(kind)))]


def _bounds(marks: tuple[Any, ...]) -> Iterator[str]:
    for mark in marks:
        for bound in mark.metadata if isinstance(mark, FieldInfo) else [mark]:
            if isinstance(bound, annotated_types.Gt):
                yield f"above {bound.gt}"
            elif isinstance(bound, annotated_types.Ge):
                yield f"at least {bound.ge}"
            elif isinstance(bound, annotated_types.Lt):
                yield f"below {'2^63' if bound.lt == 2**63 else bound.lt}"
            elif isinstance(bound, annotated_types.Le):
                yield f"at most {bound.le}"


def _either(words: list[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SpecModel):
        name = getattr(value, "name", None)
        return "its defaults" if name is None else f"`{name}`"
    if isinstance(value, float) and value not in (0, 1):
        return f"`{value:.6g}`"
    data = [round(each, 6) for each in value] if isinstance(value, tuple) else value
    text = yaml.safe_dump(data, default_flow_style=True, width=1000).removesuffix("\n...\n")
    return f"`{text.strip()}`"


def _summary(model: type[SpecModel]) -> str:
    text = inspect.getdoc(model) or ""
    return _markdown(re.split(r"\n\n?Attributes:\n", text)[0]) + "\n"


def _meanings(model: type[SpecModel]) -> dict[str, str]:
    """Returns what the docstrings of a model and its bases say about its fields."""
    meanings: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if is_model(base):
            meanings.update(_own_meanings(base))
    return meanings


def _own_meanings(model: type[SpecModel]) -> dict[str, str]:
    text = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {6,}.*)*)", text, re.MULTILINE)
    return {name: _markdown(" ".join(entry.split())) for name, entry in entries}


def _markdown(text: str) -> str:
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`").replace("|", "\\|")
