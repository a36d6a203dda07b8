"""Loads a spec: from a YAML file, a recipe's name or a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

from pydantic import ValidationError

from isotune.errors import SpecError, nearest
from isotune.spec import recipes
from isotune.spec.document import MOST_CHARACTERS, Document, plain, read_document
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.messages import explain
from isotune.spec.overrides import apply_overrides, set_value
from isotune.spec.version import current
from isotune.storage.paths import is_dir, is_file
from isotune.storage.untrusted import read_small

SpecSource = Union[str, Path, Mapping[str, Any], ExperimentSpec]


def load_spec(source: SpecSource, overrides: Iterable[str] = ()) -> ExperimentSpec:
    """Loads and checks a spec.

    Args:
        source: The path of a YAML file, the name of a recipe, a mapping, or a spec.
        overrides: Settings such as ``"optimizer.lr=0.01"``, as after ``--set``.

    Raises:
        SpecError: One line for each error: file, line, field, value and what is allowed.
    """
    return read_spec(source, overrides).spec()


@dataclass(frozen=True)
class SpecDraft:
    """A spec as it was written, before it is checked.

    Attributes:
        document: Its fields.
        folder: The folder in which relative paths are looked up first; None for none.
    """

    document: Document
    folder: Path | None

    def spec(self) -> ExperimentSpec:
        """Returns the checked spec.

        Raises:
            SpecError: As :func:`load_spec`.
        """
        document = self.document
        if not isinstance(document.data, dict):
            raise SpecError(f"{document.source}: should be a mapping with keys such as 'dataset'.")
        try:
            spec = ExperimentSpec.model_validate(document.data)
        except ValidationError as error:
            raise SpecError(*explain(error, document)) from error
        return _anchor(spec, self.folder)

    def with_value(self, name: str, value: Any, source: str) -> SpecDraft:
        """Returns a draft with one field set, as ``--set`` would.

        Args:
            name: Name of the field: ``optimizer.lr``.
            value: Plain data.
            source: Where the value comes from, for messages.

        Raises:
            SpecError: The field is inside of a value that has none.
        """
        return replace(self, document=set_value(self.document, name.split("."), value, source))


def read_spec(source: SpecSource, overrides: Iterable[str] = ()) -> SpecDraft:
    """Reads a spec without checking its fields.

    Args:
        source: As for :func:`load_spec`.
        overrides: As for :func:`load_spec`.

    Raises:
        SpecError: There is no such file or recipe, it is not YAML, it is of a later version, or an
            override has no field.
    """
    document, folder = _document(source)
    return SpecDraft(apply_overrides(current(document), overrides), folder)


def dump_spec(spec: ExperimentSpec) -> dict[str, Any]:
    """Returns the spec, defaults included, as plain data that can be loaded again."""
    return spec.model_dump(mode="json")


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a spec file, for editors and checks."""
    schema = ExperimentSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def read_yaml(path: Path) -> Document:
    """Reads a YAML file that a user wrote.

    Raises:
        SpecError: It is missing, too large, or not YAML in UTF-8.
    """
    try:
        text = read_small(path, MOST_CHARACTERS, follow=True).decode("utf-8-sig")
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{path}: is not UTF-8 text, by its byte {error.start}; save it as UTF-8."
        ) from error
    return read_document(text, str(path))


def _document(source: SpecSource) -> tuple[Document, Path | None]:
    if isinstance(source, ExperimentSpec):
        return Document(dump_spec(source), "spec"), None
    if isinstance(source, Mapping):
        return Document(plain(source, "spec"), "spec"), None
    path = Path(source)
    if is_file(path):
        return read_yaml(path), path.resolve().parent
    names = recipes.names()
    if str(source) in names:
        return read_document(recipes.text(str(source)), f"recipe {source}"), None
    raise SpecError(
        f"{source}: there is no such file or recipe.{nearest(str(source), names)}"
        f" Recipes are: {', '.join(names)}."
    )


def _anchor(spec: ExperimentSpec, folder: Path | None) -> ExperimentSpec:
    """Makes paths absolute if they exist beside the spec's file or in the working directory.

    Others are looked up under ``$ISOTUNE_HOME`` when the run starts.
    """
    update: dict[str, Any] = {}
    for base in (folder, Path.cwd()):
        if base is None:
            continue
        data = base / spec.dataset.path
        is_data = is_dir(data) or (spec.dataset.may_be_file and is_file(data))
        if "dataset" not in update and is_data and not spec.dataset.in_memory:
            path = str(data.resolve())
            update["dataset"] = spec.dataset.model_copy(update={"path": path})
        if "backbone" not in update and is_file(base / spec.backbone.weights):
            path = str((base / spec.backbone.weights).resolve())
            update["backbone"] = spec.backbone.model_copy(update={"weights": path})
    return spec.model_copy(update=update)
