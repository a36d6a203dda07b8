"""Reads the file of a search space.

Fields by their names, in the order in which they are set, as ``--set`` would set them::

    optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
    optimizer.name: [sgd, adamw]
    head:
      - linear
      - name: mlp
        hidden: [256]
        dropout: {low: 0, high: 0.8}

A list holds choices. One that is a mapping may bring values of its own that vary, which count only
in trials that choose it. Inside of it a list is a field's value, and ``{choices: [...]}`` varies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from pydantic import ValidationError

from isotune.errors import SpecError
from isotune.spec.document import Document, plain
from isotune.spec.document import Path as YamlPath
from isotune.spec.load import read_yaml
from isotune.spec.messages import explain
from isotune.spec.space.file import ChoicesSpec, Domain, RangeSpec, SpaceFile
from isotune.spec.space.parameters import Choice, Choices, Parameter, Range, Space

SpaceSource = Union[str, Path, Mapping[str, Any]]

LONGEST_LABEL = 40
"""Number of characters of a choice that are shown whole."""


def read_space(source: SpaceSource) -> Space:
    """Reads a search space, without a spec.

    Args:
        source: Path of a YAML file, or a mapping.

    Raises:
        SpecError: It cannot be read, or is not a search space.
    """
    if isinstance(source, Mapping):
        document = Document(plain(source, "space"), "space")
    else:
        document = read_yaml(Path(source))
    if not isinstance(document.data, dict) or not document.data:
        raise SpecError(
            f"{document.source}: should be a mapping of fields to ranges or choices, such as"
            " 'optimizer.lr: {low: 1e-4, high: 1e-1, log: true}'."
        )
    try:
        fields = SpaceFile.model_validate(document.data).root
    except ValidationError as error:
        raise SpecError(*explain(error, document)) from error
    reader = _Reader(document)
    parameters = tuple(reader.parameter(name, name, fields[name], (name,)) for name in fields)
    _check_order(parameters)
    return Space(parameters, document.source, document.data)


@dataclass(frozen=True)
class _Reader:
    """Turns what a file says into parameters."""

    document: Document

    def parameter(self, name: str, field: str, domain: Domain, path: YamlPath) -> Parameter:
        where = self.document.where(path)
        if isinstance(domain, RangeSpec):
            whole = all(
                isinstance(each, int) for each in (domain.low, domain.high, domain.step or 1)
            )
            values: Range | Choices = Range(domain.low, domain.high, domain.log, domain.step, whole)
        else:
            values = Choices(tuple(self._choices(name, field, domain, path)))
            labels = values.ends()
            if len(set(labels)) < len(labels):
                raise SpecError(f"{where}: {name}: holds a choice twice.")
        return Parameter(name, field, values, where)

    def _choices(
        self, name: str, field: str, domain: ChoicesSpec, path: YamlPath
    ) -> Iterator[Choice]:
        if (*path, "choices") in self.document.places:
            path = (*path, "choices")
        labels = _labels(domain.choices)
        for position, (label, value) in enumerate(zip(labels, domain.choices, strict=True)):
            if not isinstance(value, dict):
                yield Choice(label, value)
                continue
            inner: list[Parameter] = []
            outside = f"[{label}]" if len(labels) > 1 else ""
            constant = self._split(field, outside, value, (*path, position), inner)
            yield Choice(label, constant, tuple(inner))

    def _split(
        self,
        field: str,
        outside: str,
        value: dict[str, Any],
        path: YamlPath,
        inner: list[Parameter],
    ) -> dict[str, Any]:
        """Returns the values of a mapping that are constant; appends the others to `inner`."""
        constant = {}
        for key, each in value.items():
            name = f"{field}.{key}"
            if isinstance(each, (RangeSpec, ChoicesSpec)):
                inner.append(self.parameter(f"{name}{outside}", name, each, (*path, key)))
            elif isinstance(each, dict):
                constant[key] = self._split(name, outside, each, (*path, key), inner)
            else:
                constant[key] = each
        return constant


def _labels(choices: Sequence[Any]) -> list[str]:
    """Returns a name of each choice: text as it is, and of a mapping its name if that says it."""
    names = [each.get("name") if isinstance(each, dict) else each for each in choices]
    labels = []
    for number, (name, choice) in enumerate(zip(names, choices, strict=True), 1):
        text = json.dumps(choice, default=lambda domain: domain.model_dump(mode="json"))
        if isinstance(name, str) and names.count(name) == 1:
            labels.append(name)
        elif not isinstance(choice, dict) or len(text) <= LONGEST_LABEL:
            labels.append(text)
        else:
            labels.append(f"{name or ''}#{number}")
    return labels


def _check_order(parameters: Sequence[Parameter]) -> None:
    """Refuses a value that would replace one that is set before it."""
    for number, later in enumerate(parameters):
        for earlier in parameters[:number]:
            if earlier.field.startswith(f"{later.field}."):
                raise SpecError(
                    f"{later.where}: {later.field} would replace {earlier.field}, which is set"
                    " before it; put it first."
                )
