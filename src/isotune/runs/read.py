"""Reads the JSON files of a run folder, which a stranger may have made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from isotune.errors import RunError
from isotune.runs.schema import MOST_KEYS, FileModel
from isotune.spec.document import Document
from isotune.spec.messages import explain_first
from isotune.storage.untrusted import SMALL, read_small

MOST_EPOCHS = 200_000
"""Bound on the epochs that are read of a run; the sizes of files allow about as many."""

ModelT = TypeVar("ModelT", bound=FileModel)


def read_bytes(path: Path, limit: int = SMALL) -> bytes:
    """Reads a regular file that is no link and has at most `limit` bytes.

    Raises:
        RunError: It is missing, or something else.
    """
    try:
        return read_small(path, limit)
    except OSError as error:
        raise unusable(path, error) from error


def parse_json(data: bytes, where: object) -> Any:
    """Returns the plain data in a file of JSON.

    Raises:
        RunError: It is not JSON.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise damaged(where, "it is nested too deeply") from None
    except ValueError as error:
        raise damaged(where, f"it is not valid JSON: {error}") from error


def checked(model: type[ModelT], data: Any, where: object) -> ModelT:
    """Returns plain data as a part of a file.

    Args:
        model: What it should be.
        data: The plain data.
        where: The file, and perhaps the line, for messages.

    Raises:
        RunError: It is not that; the message names the first field that is wrong.
    """
    if not isinstance(data, dict) or len(data) > MOST_KEYS:
        raise damaged(where, "it should be a mapping of names to values")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        document = Document(data, f"{where}: is damaged")
        raise RunError(explain_first(error, document)) from error


def unusable(path: Path, error: OSError) -> RunError:
    """Returns the error about a file or folder that cannot be read, or is something else."""
    reason = error.strerror or str(error)
    if reason.startswith("is "):  # a link, say
        return RunError(f"{path}: {reason}.")
    return damaged(path, f"it cannot be read: {reason}")


def damaged(where: object, what: str) -> RunError:
    """Returns the error about a file that cannot be used."""
    return RunError(f"{where}: is damaged: {what}.")
